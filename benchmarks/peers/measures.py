"""What is measured of an embedding or a graph of known and new cells."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from benchmarks.peers.leiden import N_NEIGHBORS, agreement
from benchmarks.peers.peer import Embedded, Job
from benchmarks.shared.scores import matching
from clipdim.evaluation import knn_labels


def measures(job: Job, found: Embedded) -> dict[str, float]:
    """Scores of the new cells; clusters of an embedding are scored later, those of a graph here, of all cells."""
    n, scores = job.known.n_obs, {}
    if job.data.label is not None:
        labels = pd.concat([job.known.obs[job.data.label], job.new.obs[job.data.label]]).astype(object)
        scores |= _label_scores(found, labels, n)
    if found.modalities:
        rna, protein = (x[n:] for x in found.modalities.values())
        scores |= matching(rna, protein)
    if job.data.batch is not None and found.joint is not None:
        batches = pd.concat([job.known.obs[job.data.batch], job.new.obs[job.data.batch]]).to_numpy().astype(str)
        named = knn_labels(found.joint[:n], batches[:n], found.joint[n:], n_neighbors=N_NEIGHBORS)
        scores["run named"] = float((named == batches[n:]).mean())
    return scores


def _label_scores(found: Embedded, labels: pd.Series, n_known: int) -> dict[str, float]:
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
    return scores if found.graph is None else scores | agreement(found.graph[1], labels)


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
