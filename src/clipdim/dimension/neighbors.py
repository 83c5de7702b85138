"""Exact nearest neighbours of distinct points, by the backend that is fastest for the shape of the data."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

# 12,000 points of full rank, one core: the tree takes as long as brute force at 10 columns, 4 times as long at 20
_TREE_MAX_COLUMNS = 10
_BLOCK = 4096
# distances below this many roundings of the data's own dtype say nothing
_ROUNDINGS = 16


@dataclass(frozen=True)
class Neighbors:
    """Neighbours of the query points.

    Attributes
    ----------
    distances
        Euclidean distances, ascending, (n_queries, n_neighbors), float64.
    indices
        Rows of those neighbours, (n_queries, n_neighbors).
    queries
        Rows of the query points, ascending, (n_queries,).
    """

    distances: np.ndarray
    indices: np.ndarray
    queries: np.ndarray


def distinct_points(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the distinct rows of an array.

    Rows are the same when they are equal, or when they are closer than the rounding of the array's dtype (16 machine
    epsilons times the root mean square norm of the rows): the same cell run twice through an encoder may differ there.

    Parameters
    ----------
    X
        Points, (n, d), floating.

    Returns
    -------
    First row of each distinct point, ascending, (n_distinct,), and for each row of `X` the place of its point in
    that list, (n,).

    Examples
    --------
    >>> import numpy as np
    >>> rows, point = distinct_points(np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0]]))
    >>> rows.tolist(), point.tolist()
    ([0, 1], [0, 1, 0])
    """
    tolerance = _ROUNDINGS * np.finfo(X.dtype).eps * np.sqrt(np.mean(np.sum(np.square(X, dtype=np.float64), axis=1)))
    # adding 0 turns -0.0 into 0.0, so that equal rows have equal bytes
    rows = np.ascontiguousarray(X + 0.0).view(np.dtype((np.void, X.dtype.itemsize * X.shape[1]))).ravel()
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    points = X[first].astype(np.float64)
    # a projection brings no two points further apart, so a tree in 3 dimensions finds every pair to look at
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(X.shape[1], min(3, X.shape[1]))))[0]
    pairs = cKDTree(points @ axes).query_pairs(tolerance, output_type="ndarray")
    pairs = pairs[np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1) <= tolerance]
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(points), len(points)))
    n_distinct, label = connected_components(graph, directed=False)
    label = label[inverse]
    first = np.full(n_distinct, len(X))
    np.minimum.at(first, label, np.arange(len(X)))
    order = np.argsort(first)
    return first[order], np.argsort(order)[label]


def nearest_neighbors(
    X: np.ndarray, n_neighbors: int, *, n_anchors: int | None = None, random_state: int = 0
) -> Neighbors:
    """Find the nearest neighbours of each point, or of a random subset, among all other points.

    A k-d tree (scipy) up to 10 columns, brute force (scikit-learn) above. Both give float64 distances taken from the
    differences of coordinates, not from the expanded square, which is inexact for close points.

    Parameters
    ----------
    X
        Distinct points, (n, d), finite.
    n_neighbors
        Neighbours of each point, itself not counted; less than n.
    n_anchors
        Number of query points, drawn at random; `None` or n and above means all. The neighbours always come from
        all points.
    random_state
        Seed of the draw.

    Returns
    -------
    Distances, rows of the neighbours, rows of the query points.

    Examples
    --------
    >>> import numpy as np
    >>> nearest_neighbors(np.array([[0.0], [1.0], [3.0]]), 2).distances.tolist()
    [[1.0, 3.0], [1.0, 2.0], [2.0, 3.0]]
    """
    n = len(X)
    queries = np.arange(n)
    if n_anchors is not None and n_anchors < n:
        queries = np.sort(np.random.default_rng(random_state).choice(n, n_anchors, replace=False))
    points = X.astype(np.float64)
    points -= points.mean(axis=0)
    if X.shape[1] <= _TREE_MAX_COLUMNS:
        candidates = cKDTree(points).query(points[queries], n_neighbors + 1)[1]
    else:
        brute = NearestNeighbors(n_neighbors=n_neighbors + 1, algorithm="brute").fit(points)
        candidates = brute.kneighbors(points[queries], return_distance=False)
    distances = np.empty((len(queries), n_neighbors))
    indices = np.empty((len(queries), n_neighbors), dtype=np.intp)
    for start in range(0, len(queries), _BLOCK):
        block = slice(start, start + _BLOCK)
        exact = np.linalg.norm(points[candidates[block]] - points[queries[block], None], axis=2)
        exact[candidates[block] == queries[block, None]] = np.inf
        order = np.argsort(exact, axis=1)[:, :n_neighbors]
        distances[block] = np.take_along_axis(exact, order, axis=1)
        indices[block] = np.take_along_axis(candidates[block], order, axis=1)
    return Neighbors(distances, indices, queries)
