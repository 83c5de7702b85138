"""Scores of scib-metrics: whether an embedding keeps the biology and mixes the batches. Needs the extra ``peers``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.neighbors import NearestNeighbors

if TYPE_CHECKING:
    from scib_metrics.nearest_neighbors import NeighborsResults

BIO, BATCH = "Bio conservation", "Batch correction"


def scib_scores(
    embeddings: Mapping[str, np.ndarray],
    labels: pd.Series,
    batches: pd.Series | None = None,
    before: str | None = None,
) -> pd.DataFrame:
    """
    One row for each embedding, one column for each measure, and the mean of each kind.

    Cells without a label are left out. Without batches only the biology is scored. ``before`` names the embedding whose
    variance by batch the others are compared with ("PCR comparison"); without one that measure is left out.
    """
    from scib_metrics.benchmark import BatchCorrection, Benchmarker, BioConservation

    known = labels.notna().to_numpy()
    obs = {"label": labels.astype(str), "batch": "all" if batches is None else batches.astype(str)}
    adata = AnnData(obs=pd.DataFrame(obs, index=labels.index)[known].astype("category"))
    for name, values in embeddings.items():
        adata.obsm[name] = np.ascontiguousarray(values[known], dtype=np.float32)
    benchmark = Benchmarker(
        adata,
        "batch",
        "label",
        list(embeddings),
        # labels that few batches have, which without batches would be all labels
        bio_conservation_metrics=BioConservation(isolated_labels=batches is not None),
        batch_correction_metrics=None if batches is None else BatchCorrection(pcr_comparison=before is not None),
        pre_integrated_embedding_obsm_key=before or next(iter(embeddings)),  # or it would look for one in X
        progress_bar=False,
    )
    benchmark.prepare(neighbor_computer=_neighbors)
    benchmark.benchmark()
    return benchmark.get_results(min_max_scale=False).drop("Metric Type").astype(float).loc[list(embeddings)]


def _neighbors(x: np.ndarray, k: int) -> "NeighborsResults":
    """Return exact neighbours; those that scib-metrics takes by itself need a minute of compilation."""
    from scib_metrics.nearest_neighbors import NeighborsResults

    distances, indices = NearestNeighbors(n_neighbors=k).fit(x).kneighbors(x)
    return NeighborsResults(indices=indices, distances=distances)
