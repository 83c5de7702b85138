"""Paired modalities as arrays: of the files in a folder, of the mosaic's paired donors, and simulated ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
from mudata import MuData
from sklearn.decomposition import PCA

import clipdim
from benchmarks.shared.data import dense

N_COMPONENTS = 50
LABELS = ("cell_type", "celltype_l2", "celltype", "cell_type_adt_gated")
UNKNOWN = ("unknown", "nan", "")


@dataclass(frozen=True)
class Paired:
    """Two modalities of the same cells, ready to fit."""

    name: str
    inputs: dict[str, np.ndarray]
    """(cells x features) for both."""
    labels: np.ndarray | None
    """(cells,) cell types, empty where unknown."""

    def sample(self, n_cells: int, seed: int) -> "Paired":
        """Draw some of the cells."""
        cells = np.sort(np.random.default_rng(seed).permutation(self.n_cells)[:n_cells])
        inputs = {name: x[cells] for name, x in self.inputs.items()}
        return Paired(self.name, inputs, None if self.labels is None else self.labels[cells])

    @property
    def n_cells(self) -> int:
        """Cells of both modalities."""
        return len(next(iter(self.inputs.values())))


def read(folder: Path) -> Iterator[Paired]:
    """Yield all pairs of modalities of the files in a folder, of the mosaic and of simulations."""
    for path in sorted(folder.glob("*.h5mu")):
        yield from _of(path.stem, mudata.read_h5mu(path))
    mosaic = clipdim.datasets.pbmc_mosaic()
    both = mosaic["rna"].obs_names.intersection(mosaic["prot"].obs_names)
    yield from _of("pbmc_mosaic, paired donors", mosaic[both].copy())
    for n_shared in (3, 10):
        counts = clipdim.datasets.simulate_citeseq(6_000, n_shared=n_shared)
        yield from _of(f"simulate_citeseq, {n_shared} shared", counts)
    for make in (clipdim.datasets.linear, clipdim.datasets.nonlinear):
        for n_shared in (2, 5):
            clean = make(6_000, n_shared=n_shared)
            inputs = {name: np.asarray(adata.X) for name, adata in clean.mod.items()}
            yield Paired(f"{make.__name__}, {n_shared} shared", inputs, None)


def _of(name: str, mdata: MuData) -> Iterator[Paired]:
    labels = _labels(mdata)
    for pair in combinations(mdata.mod, 2):
        inputs = {modality: _features(mdata, modality) for modality in pair}
        yield Paired(name if len(mdata.mod) == 2 else f"{name}: {', '.join(pair)}", inputs, labels)


def _labels(mdata: MuData) -> np.ndarray | None:
    tables = [mdata.obs, *(adata.obs.reindex(mdata.obs_names) for adata in mdata.mod.values())]
    for column in LABELS:
        for table in tables:
            if column in table:
                found = table[column].astype(object).where(table[column].notna(), "").astype(str)
                return found.where(~found.isin(UNKNOWN), "").to_numpy()
    return None


def _features(mdata: MuData, modality: str) -> np.ndarray:
    """Principal components of counts as ``clipdim.pp`` makes them; of other features 50 where there are more."""
    values = dense(mdata[modality].X, np.float64)
    if np.array_equal(values, np.round(values)) and values.min() >= 0 and values.max() > 1_000:
        part = MuData({modality: mdata[modality].copy()})
        preprocess = clipdim.pp.rna if modality == "rna" else clipdim.pp.protein
        preprocess(part, modality=modality)
        return np.asarray(part[modality].obsm["X_pca"], dtype=np.float32)
    spread = values.std(axis=0)
    if values.shape[1] > 1 and _uncorrelated(values[:, spread > 0]):  # components already
        return values.astype(np.float32)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    if values.shape[1] > N_COMPONENTS:
        scaled = PCA(min(N_COMPONENTS, len(values) - 1), random_state=0).fit_transform(scaled)
    return scaled.astype(np.float32)


def _uncorrelated(values: np.ndarray) -> bool:
    correlations = np.corrcoef(values, rowvar=False)
    return bool(np.square(correlations - np.eye(len(correlations))).mean() < 1e-3)


def to_mudata(inputs: Mapping[str, np.ndarray]) -> MuData:
    """Return modalities whose ``X`` are the features."""
    from anndata import AnnData

    names = pd.Index([f"cell{number}" for number in range(len(next(iter(inputs.values()))))])
    return MuData({name: AnnData(x, obs=pd.DataFrame(index=names)) for name, x in inputs.items()})
