"""How well an embedding holds the classes of its cells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import KNeighborsClassifier

from clipdim.evaluation.matching import _BLOCK_VALUES, _pair


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


def label_match(u: ArrayLike, v: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Label of the target that is most similar to each query, by inner product.

    Parameters
    ----------
    u
        Embedding of the queries, (n, d).
    v
        Embedding of the targets, the same cells in the same order, (n, d).
    labels
        Labels of the targets, (n,).

    Returns
    -------
    Predicted labels of the queries, (n,).

    Raises
    ------
    ValueError
        If the embeddings differ in shape, are empty, or hold NaN or infinity, or the number of labels is another.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> label_match(np.eye(3), np.eye(3)[[0, 2, 1]], ["B", "T", "NK"]).tolist()
    ['B', 'NK', 'T']
    """
    u, v = _pair(u, v)
    labels = _labels(labels, len(u))
    block_size = max(1, _BLOCK_VALUES // len(u))
    best = [np.argmax(u[start : start + block_size] @ v.T, axis=1) for start in range(0, len(u), block_size)]
    return labels[np.concatenate(best)]


def knn_labels(
    train: ArrayLike, train_labels: ArrayLike, query: ArrayLike | None = None, *, n_neighbors: int = 15
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

    Returns
    -------
    Predicted labels, (n_query,) or (n_train,). Equal votes go to the label that sorts first.

    Raises
    ------
    ValueError
        If `n_neighbors` is below 1, there are no cells to learn from, an embedding holds NaN, or the number of labels
        is another.

    Examples
    --------
    >>> knn_labels([[0.0], [0.1], [5.0], [5.1]], ["B", "B", "T", "T"], [[0.2], [4.0]], n_neighbors=2).tolist()
    ['B', 'T']
    """
    train = np.asarray(train)
    labels = _labels(train_labels, len(train))
    others = len(train) - (query is None)
    if not isinstance(n_neighbors, int | np.integer) or n_neighbors < 1:
        msg = f"n_neighbors={n_neighbors!r} must be an integer of at least 1, for instance 15"
        raise ValueError(msg)
    if others < 1:
        msg = f"{len(train)} training cells are too few to learn labels from; label more cells"
        raise ValueError(msg)
    classifier = KNeighborsClassifier(n_neighbors=min(n_neighbors, others)).fit(train, labels)
    return classifier.predict(None if query is None else np.asarray(query))


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
