"""Scaling and principal components as one record: learned from one sample, applied to it and to any other."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import issparse

from clipdim._mudata import Prepared
from clipdim._warn import warn

SEEDS = 2**32  # what scanpy takes
MAX_VALUE = 10.0
BLOCK = 8192


@dataclass(frozen=True)
class Projection:
    """An affine map from normalised values to principal components, with the features' names."""

    features: np.ndarray
    """(p,) names"""
    mean: np.ndarray
    """(p,) of the normalised values"""
    std: np.ndarray
    """(p,) of the normalised values"""
    center: np.ndarray
    """(p,) mean of the scaled values, which clipping moves away from 0"""
    loadings: np.ndarray
    """(p, n_comps)"""
    max_value: float
    """Scaled values are clipped to this many standard deviations."""

    @property
    def basis(self) -> str:
        """Fingerprint: two samples with the same one have the same components."""
        digest = hashlib.sha256("\0".join(self.features).encode())
        for values in (self.mean, self.std, self.center, self.loadings, self.max_value):
            digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        return digest.hexdigest()[:16]

    def present(self, names: pd.Index) -> np.ndarray:
        """Which of the features are among the names, (p,) bool."""
        return names.get_indexer(pd.Index(self.features)) >= 0

    def project(self, X: Any, names: pd.Index) -> np.ndarray:
        """Principal components of normalised values, float32 (cells x n_comps).

        Columns are matched by name. A feature that is not there counts as the reference's mean.
        """
        here = self.present(names)
        values = X[:, names.get_indexer(pd.Index(self.features[here]))]
        if issparse(values):
            values = values.tocsr()
        mean, std, center, loadings = (part[here] for part in (self.mean, self.std, self.center, self.loadings))
        out = np.empty((values.shape[0], loadings.shape[1]), dtype=np.float32)
        for start in range(0, len(out), BLOCK):
            block = values[start : start + BLOCK]
            dense = (block.toarray() if issparse(block) else block).astype(np.float64)
            scaled = np.clip((dense - mean) / std, -self.max_value, self.max_value)
            out[start : start + BLOCK] = (scaled - center) @ loadings
        return out

    def loadings_of(self, names: pd.Index) -> np.ndarray:
        """Return the loadings of all the names, zero where a name is not a feature, float32 (names x n_comps)."""
        rows = pd.Index(self.features).get_indexer(names)
        return np.where(rows[:, None] >= 0, self.loadings[rows], 0).astype(np.float32)

    def to_uns(self) -> dict[str, Any]:
        """Arrays, numbers and strings for ``.uns``."""
        return {"basis": self.basis, **{field.name: getattr(self, field.name) for field in fields(self)}}

    @classmethod
    def from_uns(cls, record: Mapping[str, Any]) -> "Projection":
        """Inverse of ``to_uns``."""
        values = {field.name: np.asarray(record[field.name]) for field in fields(cls) if field.name != "max_value"}
        return cls(**values, max_value=float(record["max_value"]))


def learn(
    values: np.ndarray, names: pd.Index, *, n_comps: int | None, modality: str, random_state: int
) -> tuple[Projection, dict[str, np.ndarray]]:
    """Learn scaling and principal components of dense float32 values (cells x features), which are overwritten.

    Constant features are left out. ``n_comps=None`` is one less than the features that are left.
    """
    import scanpy as sc

    varies = np.ptp(values, axis=0) > 0
    if not varies.any():
        msg = f"no feature of modality {modality!r} varies over its {len(values)} cells, so it has no components"
        raise ValueError(msg)
    cells = AnnData(values if varies.all() else values[:, varies])
    n_cells, n_features = cells.shape
    largest = min(n_cells - 1, n_features)
    if n_comps is None:
        n_comps = min(max(n_features - 1, 1), largest)
    elif n_comps > largest:
        msg = (
            f"n_comps={n_comps} is reduced to {largest}: modality {modality!r} has {n_cells} cells "
            f"and {n_features} features that vary"
        )
        warn(msg)
        n_comps = largest
    sc.pp.scale(cells, max_value=MAX_VALUE)
    # exact and fast for tall matrices; arpack avoids a features-by-features matrix for wide ones
    solver = "covariance_eigh" if n_cells > n_features else "arpack"
    center = np.asarray(cells.X).mean(axis=0, dtype=np.float64)
    sc.pp.pca(cells, n_comps=n_comps, svd_solver=solver, random_state=random_state)
    projection = Projection(
        features=names[varies].to_numpy(dtype=object),
        mean=cells.var["mean"].to_numpy(dtype=np.float64),
        std=cells.var["std"].to_numpy(dtype=np.float64),
        center=center,
        loadings=np.asarray(cells.varm["PCs"], dtype=np.float32),
        max_value=MAX_VALUE,
    )
    return projection, {name: np.asarray(cells.uns["pca"][name]) for name in ("variance", "variance_ratio")}


def prepare(
    X: Any,
    names: pd.Index,
    projection: Projection,
    *,
    record: dict[str, Any],
    variance: dict[str, np.ndarray] | None = None,
    highly_variable: np.ndarray | None = None,
) -> Prepared:
    """Put together what is written in a modality of normalised values (cells x features)."""
    return Prepared(
        X=X,
        X_pca=projection.project(X, names),
        loadings=projection.loadings_of(names),
        record={**record, **projection.to_uns()},
        variance=variance,
        highly_variable=highly_variable,
    )
