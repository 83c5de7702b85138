"""What preprocessing reads of a modality and of a reference, and what it writes in a modality."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from scipy.sparse import issparse

from clipdim import _keys
from clipdim._mudata.columns import obs_column
from clipdim._mudata.features import unique_names
from clipdim._mudata.pairing import modality_names

CHUNK = 2**22
LARGEST_LOG = 25.0  # log1p of any count of a cell is below this


@dataclass(frozen=True)
class Prepared:
    """Everything that is written in a modality, complete before anything of it is changed."""

    X: Any
    X_pca: np.ndarray
    loadings: np.ndarray
    """(features x components)"""
    record: dict[str, Any]
    """What another sample needs from this one."""
    variance: dict[str, np.ndarray] | None
    """As in scanpy's ``.uns["pca"]``; None when the components are those of a reference."""
    highly_variable: np.ndarray | None = None
    """Which features are used, of an RNA, whose ``X`` is logarithms."""


def find_modality(mdata: MuData, names: Sequence[str], *, given: str | None, call: str) -> str:
    """Name of the modality: the one given, else the only one that is called one of ``names``."""
    if given is not None:
        return modality_names(mdata, [given])[0]
    found = [name for name in mdata.mod if name in names]
    if len(found) != 1:
        number = "none" if not found else " and ".join(map(repr, found))
        msg = (
            f"cannot tell which modality is meant: of the usual names {list(names)} the MuData has {number}; "
            f"its modalities are {list(mdata.mod)}; name one: {call}"
        )
        raise ValueError(msg)
    return found[0]


def with_columns_of(mdata: MuData, other: MuData) -> MuData:
    """Return a new MuData, with the columns that its cells have in another."""
    mdata.obs = other.obs.reindex(mdata.obs_names)
    return mdata


def raw_counts(mdata: MuData, modality: str, *, otherwise: str = "") -> tuple[Any, pd.Index]:
    """Return the raw counts as they lie in the modality, (cells x features), not copied, and the features' names.

    ``otherwise`` ends the errors about values that are no counts: what to do without counts.
    """
    adata, name = mdata[modality], f"mdata[{modality!r}]"
    in_layer = _keys.COUNTS in adata.layers
    counts: Any = adata.layers[_keys.COUNTS] if in_layer else adata.X
    where = f"{name}.layers[{_keys.COUNTS!r}]" if in_layer else f"{name}.X"
    if not (isinstance(counts, np.ndarray) or (issparse(counts) and counts.format in ("csr", "csc"))):
        msg = f"{where} is {type(counts).__name__}, expected a numpy array or a scipy CSR or CSC matrix in memory"
        raise TypeError(msg)
    if 0 in counts.shape:
        msg = f"{where} has shape {counts.shape} (cells, features): there is nothing to preprocess"
        raise ValueError(msg)
    features = unique_names(adata.var_names, modality)
    if counts.dtype.kind not in "iuf":
        msg = f"{where} has dtype {counts.dtype}, expected numbers: raw counts"
        raise TypeError(msg)
    problem = _why_not_counts(counts.data if issparse(counts) else counts.ravel(order="K"))
    if problem:
        msg = (
            f"values of modality {modality!r} ({where}) {problem}; put raw counts in {name}.layers['counts']{otherwise}"
        )
        raise ValueError(msg)
    return counts, features


def _why_not_counts(values: np.ndarray) -> str:
    low, high, finite, whole = 0.0, 0.0, True, True
    for start in range(0, values.size, CHUNK):  # in pieces, so that no second copy of a large matrix is made
        piece = values[start : start + CHUNK]
        low, high = min(low, float(piece.min())), max(high, float(piece.max()))
        finite = finite and bool(np.isfinite(piece).all())
        whole = whole and finite and bool((piece == np.rint(piece)).all())
    if not finite:
        return "have NaN or infinite entries"
    if low < 0:
        return f"are negative down to {low:.3g}: looks scaled or a latent space"
    if not whole:
        return f"are not integers, maximum {high:.3g}: looks {'log-' if high < LARGEST_LOG else ''}normalised"
    return "" if high > 0 else "are all zero"


def batches_of(mdata: MuData, modality: str, batch_key: str) -> np.ndarray:
    """Batch of each cell of the modality, as strings, (cells of the modality,)."""
    labels = obs_column(mdata, batch_key, modality=modality).astype(object)
    if labels.isna().any():
        msg = (
            f"batch_key={batch_key!r} is missing for {int(labels.isna().sum())} of {len(labels)} cells of modality "
            f"{modality!r}; fill the column, or leave those cells out"
        )
        raise ValueError(msg)
    return labels.map(str).to_numpy(dtype=object)


def stored_record(reference: Any, modality: str, function: str) -> Mapping[str, Any]:
    """Return what ``pp.<function>`` left in the reference, in the modality of this name or in its only one."""
    if not isinstance(reference, MuData):
        msg = f"reference must be a MuData preprocessed by clipdim.pp.{function}, got {type(reference).__name__}"
        raise TypeError(msg)
    records = {name: adata.uns.get(_keys.PREPROCESSING) for name, adata in reference.mod.items()}
    fitting = {name: record for name, record in records.items() if record and str(record["function"]) == function}
    record = fitting.get(modality) or (next(iter(fitting.values())) if len(fitting) == 1 else None)
    if record is None:
        msg = (
            f"the reference has modalities {list(reference.mod)}, of which {list(fitting) or 'none'} were preprocessed "
            f"by clipdim.pp.{function}; call clipdim.pp.{function}(reference) on its raw counts first"
            + (f" (the query's modality is {modality!r}: give both the same name)" if fitting else "")
        )
        raise ValueError(msg)
    return record


def write_prepared(mdata: MuData, prepared: Mapping[str, Prepared], *, copy: bool) -> MuData | None:
    """Write the results of each modality, with ``copy`` in a new MuData; raw counts stay in their layer."""
    result = mdata.copy() if copy else mdata
    for modality, of_modality in prepared.items():
        _write(result, modality, of_modality)
    return result if copy else None


def _write(mdata: MuData, modality: str, prepared: Prepared) -> None:
    adata = mdata[modality]
    if _keys.COUNTS not in adata.layers:
        adata.layers[_keys.COUNTS] = adata.X
    adata.X = prepared.X
    adata.obsm[_keys.X_PCA] = prepared.X_pca
    adata.varm[_keys.LOADINGS] = prepared.loadings
    if prepared.highly_variable is not None:
        adata.var["highly_variable"] = prepared.highly_variable
        adata.uns["log1p"] = {"base": None}  # by which scanpy knows that X is logarithms
    adata.uns[_keys.PREPROCESSING] = prepared.record
    if prepared.variance is None:
        adata.uns.pop("pca", None)  # the variances of other components would mislead
    else:
        adata.uns["pca"] = prepared.variance
