"""Agreement of the Leiden clusters of a graph of neighbours with labels."""

from itertools import product

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy.sparse import csr_matrix
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

N_NEIGHBORS = 15
MEASURES = ("ARI", "NMI")
# coarse cell types are found below .1
RESOLUTIONS = np.geomspace(0.005, 2, 15)
# one alone may miss a clustering that others find
SEEDS = range(3)


def neighbors(embedding: np.ndarray, seed: int) -> csr_matrix:
    """Weights of the graph of neighbours that scanpy clusters."""
    adata = AnnData(embedding)
    # exact ones: approximate ones need another minute of compilation
    sc.pp.neighbors(adata, use_rep="X", n_neighbors=N_NEIGHBORS, random_state=seed, transformer="sklearn")
    return adata.obsp["connectivities"]


def agreement(graph: csr_matrix, labels: pd.Series) -> dict[str, float]:
    """Best agreement of clusters and labels over resolutions and seeds; cells without a label are not counted."""
    adata = AnnData(obs=pd.DataFrame(index=[f"cell{i}" for i in range(len(labels))]))
    adata.obsp["connectivities"], adata.uns["neighbors"] = graph, {"connectivities_key": "connectivities"}
    known = labels.notna().to_numpy()
    names = labels[known].astype(str).to_numpy()
    found = []
    for resolution, seed in product(RESOLUTIONS, SEEDS):
        sc.tl.leiden(
            adata, resolution, flavor="igraph", n_iterations=2, directed=False, random_state=seed, key_added="cluster"
        )
        clusters = adata.obs["cluster"].to_numpy()[known]
        found.append([adjusted_rand_score(names, clusters), normalized_mutual_info_score(names, clusters)])
    return dict(zip(MEASURES, np.max(found, axis=0).tolist(), strict=True))
