"""How well an embedding holds the classes of its cells."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from clipdim import _check
from clipdim.evaluation.matching import BLOCK_VALUES, TILE_TARGETS, check_pair, check_rows
from clipdim.neighbors import in_threads, nearest_neighbors, nearest_points


@dataclass(frozen=True)
class ClassScores:
    """Accuracy of predicted labels.

    Attributes
    ----------
    overall
        Fraction of cells whose prediction is their label.
    balanced
        Mean over the classes present of the fraction of their cells that are predicted right.
    by_class
        That fraction for each class present.
    n_cells
        Cells of each class present.
    """

    overall: float
    balanced: float
    by_class: dict[str, float]
    n_cells: dict[str, int]


def label_match(u: ArrayLike, v: ArrayLike, labels: ArrayLike, *, rows: ArrayLike | None = None) -> np.ndarray:
    """Label of the target that is most similar to each query, by inner product.

    Parameters
    ----------
    u
        Embedding of the queries, (n, d).
    v
        Embedding of the targets, the same cells in the same order, (n, d).
    labels
        Labels of the targets, (n,).
    rows
        Queries to predict, row numbers of `u`, (n_queries,); `None` means all. The targets are always all cells.

    Returns
    -------
    Predicted labels of the queries, (n_queries,). Of equally similar targets the first counts.

    Raises
    ------
    ValueError
        If the embeddings differ in shape, are empty, or hold NaN or infinity, the number of labels is another, or
        `rows` are not row numbers.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> label_match(np.eye(3), np.eye(3)[[0, 2, 1]], ["B", "T", "NK"]).tolist()
    ['B', 'NK', 'T']
    """
    u, v = check_pair(u, v)
    labels = _labels(labels, len(u))
    rows = check_rows(rows, len(u))
    width = min(TILE_TARGETS, len(u))
    size = BLOCK_VALUES // width

    def part(numbers: np.ndarray) -> np.ndarray:
        blocks = np.split(rows[numbers], range(size, len(numbers), size))
        buffer = torch.empty((min(size, len(numbers)), width))
        return np.concatenate([_most_similar(torch.from_numpy(u[block]), v, buffer) for block in blocks])

    return labels[np.concatenate(in_threads(part, len(rows)))]


def _most_similar(queries: torch.Tensor, v: np.ndarray, buffer: torch.Tensor) -> np.ndarray:
    width = buffer.shape[1]
    best = np.zeros(len(queries), dtype=np.intp)
    highest = np.full(len(queries), -np.inf, dtype=np.float32)
    for start in range(0, len(v), width):
        targets = torch.from_numpy(v[start : start + width])
        # the last tile is narrower
        out = buffer.view(-1)[: len(queries) * len(targets)].view(len(queries), len(targets))
        similarity = torch.mm(queries, targets.T, out=out).numpy()
        column = similarity.argmax(axis=1)
        found = similarity[np.arange(len(queries)), column]
        best = np.where(found > highest, start + column, best)
        highest = np.maximum(highest, found)
    return best


def knn_labels(
    train: ArrayLike,
    train_labels: ArrayLike,
    query: ArrayLike | None = None,
    *,
    n_neighbors: int = 15,
    rows: ArrayLike | None = None,
) -> np.ndarray:
    """Most frequent label among the nearest training cells, by Euclidean distance.

    Parameters
    ----------
    train
        Embedding of the training cells, (n_train, d).
    train_labels
        Their labels, (n_train,).
    query
        Embedding of other cells, (n_query, d); `None` predicts the training cells, each from the others only.
    n_neighbors
        Number of neighbours that vote; fewer where there are fewer training cells.
    rows
        Cells to predict, row numbers of `query`, or of `train` without it; `None` means all. All training cells vote.

    Returns
    -------
    Predicted labels, (n_query,), (n_train,) or (n_rows,). Equal votes go to the label that sorts first.

    Raises
    ------
    TypeError
        If `n_neighbors` is not an integer.
    ValueError
        If `n_neighbors` is below 1, there are no cells to learn from, an embedding is not (cells, dimensions) or holds
        NaN or infinity, the number of labels is another, or `rows` are not row numbers.

    Examples
    --------
    >>> knn_labels([[0.0], [0.1], [5.0], [5.1]], ["B", "B", "T", "T"], [[0.2], [4.0]], n_neighbors=2).tolist()
    ['B', 'T']
    """
    train = _embedding(train)
    labels = _labels(train_labels, len(train))
    others = len(train) - (query is None)
    n_neighbors = _check.integer("n_neighbors", n_neighbors, least=1, hint="for instance 15")
    if others < 1:
        msg = f"{len(train)} training cells are too few to learn labels from; label more cells"
        raise ValueError(msg)
    k = min(n_neighbors, others)
    if query is None:
        neighbors = nearest_neighbors(train, k, rows=check_rows(rows, len(train)), backend="exact").indices
    else:
        query = _embedding(query)
        if query.shape[1] != train.shape[1]:
            msg = f"the cells to predict have {query.shape[1]} dimensions, the training cells {train.shape[1]}"
            raise ValueError(msg)
        neighbors = nearest_points(train, query[check_rows(rows, len(query))], k)[1]
    classes, codes = np.unique(labels, return_inverse=True)
    # one bin for each pair of cell and class; argmax takes the first of equal votes
    bins = codes[neighbors] + len(classes) * np.arange(len(neighbors))[:, None]
    votes = np.bincount(bins.ravel(), minlength=len(neighbors) * len(classes)).reshape(-1, len(classes))
    return classes[votes.argmax(axis=1)]


def class_scores(labels: ArrayLike, predicted: ArrayLike) -> ClassScores:
    """Accuracy of predicted labels: overall, balanced, and for each class.

    Parameters
    ----------
    labels
        True labels, (n,).
    predicted
        Predicted labels, (n,).

    Returns
    -------
    The scores; only classes among the true labels count.

    Raises
    ------
    ValueError
        If there are no cells, or the numbers of labels and predictions differ.

    Examples
    --------
    >>> scores = class_scores(["B", "B", "B", "T"], ["B", "B", "T", "T"])
    >>> scores.overall, scores.by_class["T"], round(scores.balanced, 3)
    (0.75, 1.0, 0.833)
    """
    labels = np.asarray(labels)
    predicted = _labels(predicted, len(labels))
    if len(labels) == 0:
        msg = "there are no cells to score"
        raise ValueError(msg)
    right = labels == predicted
    classes = np.unique(labels)
    by_class = {str(name): float(right[labels == name].mean()) for name in classes}
    return ClassScores(
        overall=float(right.mean()),
        balanced=float(np.mean(list(by_class.values()))),
        by_class=by_class,
        n_cells={str(name): int(np.sum(labels == name)) for name in classes},
    )


def _labels(labels: ArrayLike, n: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (n,):
        msg = f"{n} cells need as many labels, got an array of shape {labels.shape}"
        raise ValueError(msg)
    return labels


def _embedding(X: ArrayLike) -> np.ndarray:
    X = np.asarray(X)
    X = X.astype(np.result_type(X.dtype, np.float32), copy=False)
    if X.ndim != 2 or not np.isfinite(X).all():
        msg = f"an embedding must be finite and of shape (cells, dimensions), got shape {X.shape}"
        raise ValueError(msg)
    return X
