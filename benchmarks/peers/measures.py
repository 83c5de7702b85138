"""What is measured of an embedding or a graph of known and new cells."""

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from peer import Embedded, Job
from scipy.sparse import csr_matrix
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from clipdim.evaluation import knn_labels, match_scores

N_NEIGHBORS = 15
# coarse cell types are found below .1, where a shorter grid misled
RESOLUTIONS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0)


def measures(job: Job, found: Embedded) -> dict[str, float]:
    """Scores of the new cells; those of Leiden clusters are of all cells."""
    n, scores = job.known.n_obs, {}
    if job.data.label is not None:
        labels = pd.concat([job.known.obs[job.data.label], job.new.obs[job.data.label]]).astype(object)
        scores |= _label_scores(found, labels, n, job.seed)
    if found.modalities:
        rna, protein = (x[n:] for x in found.modalities.values())
        both = [match_scores(a, b, alpha=0.005) for a, b in ((rna, protein), (protein, rna))]
        scores["top-0.5 %"] = float(np.mean([score.top_alpha for score in both]))
        scores["FOSCTTM"] = float(np.mean([score.foscttm for score in both]))
    if job.data.batch is not None and found.joint is not None:
        batches = pd.concat([job.known.obs[job.data.batch], job.new.obs[job.data.batch]]).to_numpy().astype(str)
        named = knn_labels(found.joint[:n], batches[:n], found.joint[n:], n_neighbors=N_NEIGHBORS)
        scores["run named"] = float((named == batches[n:]).mean())
    return scores


def _label_scores(found: Embedded, labels: pd.Series, n_known: int, seed: int) -> dict[str, float]:
    """Accuracy from labelled known cells to labelled new ones, and agreement of clusters with the labels."""
    labelled, names = labels.notna().to_numpy(), labels.fillna("").to_numpy().astype(str)
    train, test = labelled.copy(), labelled.copy()
    train[n_known:], test[:n_known] = False, False
    if found.graph is None:
        predicted = knn_labels(found.joint[train], names[train], found.joint[test], n_neighbors=N_NEIGHBORS)
    else:
        predicted = _labels_by_graph(found.graph[0], names, train, test)
    right = pd.Series(predicted == names[test])
    scores = {"15-NN accuracy": float(right.mean())}
    scores["15-NN accuracy, balanced"] = float(right.groupby(names[test]).mean().mean())
    return scores | _leiden(found, names, labelled, seed)


def _labels_by_graph(distances: csr_matrix, names: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Majority of the nearest known cells among a cell's neighbours in the graph, at most 15."""
    found = []
    for row in np.flatnonzero(test):
        span = slice(distances.indptr[row], distances.indptr[row + 1])
        neighbors = distances.indices[span][np.argsort(distances.data[span])]
        neighbors = neighbors[train[neighbors]][:N_NEIGHBORS]
        values, counts = np.unique(names[neighbors], return_counts=True)
        found.append(values[counts.argmax()] if len(values) else "")
    return np.array(found)


def _leiden(found: Embedded, names: np.ndarray, known: np.ndarray, seed: int) -> dict[str, float]:
    """Agreement of clusters and labels at the resolution where it is best."""
    adata = AnnData(obs=pd.DataFrame(index=[f"cell{i}" for i in range(len(names))]))
    if found.graph is None:
        adata.obsm["X"] = np.ascontiguousarray(found.joint, dtype=np.float32)
        # exact ones: approximate ones need two minutes of compilation in each process
        sc.pp.neighbors(adata, use_rep="X", n_neighbors=N_NEIGHBORS, random_state=seed, transformer="sklearn")
    else:
        adata.obsp["connectivities"], adata.uns["neighbors"] = found.graph[1], {"connectivities_key": "connectivities"}
    ari, nmi = [], []
    for resolution in RESOLUTIONS:
        sc.tl.leiden(
            adata, resolution, flavor="igraph", n_iterations=2, directed=False, random_state=seed, key_added="cluster"
        )
        clusters = adata.obs["cluster"].to_numpy()[known]
        ari.append(adjusted_rand_score(names[known], clusters))
        nmi.append(normalized_mutual_info_score(names[known], clusters))
    return {"ARI": float(max(ari)), "NMI": float(max(nmi))}
