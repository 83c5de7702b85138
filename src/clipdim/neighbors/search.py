"""Nearest neighbours by the backend that is fastest for the shape of the data."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.spatial import cKDTree
from threadpoolctl import ThreadpoolController

from clipdim import _check

BACKENDS = ("auto", "exact", "tree", "brute", "pynndescent")
# 12,000 and 100,000 points of full rank, one core: at 6 columns the tree takes as long as brute force, at 10 five times
_TREE_MAX_COLUMNS = 6
# all of 100,000 points in 32 columns, one core: brute force takes four times as long as pynndescent, more with more
# queries, but pynndescent is first compiled
_BRUTE_MAX_QUERIES = 200_000
# candidates beyond the neighbours: as many may be equally distant, or reordered by the rounding of expanded squares
_SPARE = 5
# queries ranked at once, whose candidates stay in the cache
_BLOCK = 1024


@dataclass(frozen=True)
class Neighbors:
    """Neighbours of the query points.

    Euclidean distances, ascending, float64, and rows, (n_queries, n_neighbors) each; the query points' own rows,
    ascending. Where not exact, an approximate search may have missed some of the nearest.
    """

    distances: np.ndarray
    indices: np.ndarray
    queries: np.ndarray
    exact: bool = True


def draw_rows(n: int, n_drawn: int | None, *, random_state: int = 0, name: str = "n_queries") -> np.ndarray:
    """Draw random rows without replacement, ascending; `None` or n and above takes all. `name` is for errors."""
    # checked even where nothing is drawn: the next data set may be larger
    seed = _check.seed(random_state)
    if n_drawn is not None:
        n_drawn = _check.integer(name, n_drawn, least=1, hint="for instance 10_000, or None for all")
    if n_drawn is None or n_drawn >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, n_drawn, replace=False))


def nearest_neighbors(
    X: np.ndarray,
    n_neighbors: int,
    *,
    n_anchors: int | None = None,
    rows: np.ndarray | None = None,
    backend: str = "auto",
    random_state: int = 0,
) -> Neighbors:
    """Find the nearest neighbours of each point, or of some points, among all others of (n, d) finite points.

    The query points are `rows`, ascending, or `n_anchors` drawn at random. Whichever backend finds the neighbours,
    their distances are float64 and taken from the differences of coordinates, not from the expanded square, which is
    inexact for close points. Of equally distant points the first comes first.

    - `"tree"`: a k-d tree (scipy).
    - `"brute"`: brute force in float64 (scikit-learn).
    - `"pynndescent"`: approximate, in time nearly linear in n (Dong, Moses and Li, WWW 2011). On 100,000 points in 32
      columns (8 dimensions and noise) it finds .9994 of 20 neighbours, and the dimension by maximum likelihood reads
      7.076 in place of 7.079. The same seed gives the same neighbours for the same number of threads. Its first call
      compiles, for about 20 seconds.
    - `"exact"`: the tree up to 6 columns, brute force above.
    - `"auto"`: pynndescent for the neighbours of more than 200,000 points in more than 6 columns, where it takes a
      quarter of the time of brute force or less; else exact.
    """
    n = len(X)
    if n_neighbors >= n:
        msg = (
            f"each of {n} points has {n - 1} others, not n_neighbors={n_neighbors}; ask for fewer, or pass more points"
        )
        raise ValueError(msg)
    if rows is None:
        rows = draw_rows(n, n_anchors, random_state=random_state, name="n_anchors")
    elif n_anchors is not None:
        msg = f"n_anchors={n_anchors!r} is a draw of rows, and rows are given too; pass one of them"
        raise ValueError(msg)
    backend = _choose(backend, X.shape[1], len(rows))
    # a point is its own first neighbour
    if backend == "pynndescent":
        candidates = _descend(X, n_neighbors + 1, random_state)[rows]
    else:
        candidates = _search(X, X[rows], n_neighbors + 1, backend)
    distances, indices = _rank(X, X[rows], candidates, n_neighbors, own=rows)
    return Neighbors(distances, indices, rows, exact=backend != "pynndescent")


def nearest_points(points: np.ndarray, queries: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the points nearest to each query, exactly: distances, ascending, and rows, (n_queries, n_neighbors) each."""
    if n_neighbors > len(points):
        msg = f"{len(points)} points are too few for n_neighbors={n_neighbors}; ask for fewer, or pass more points"
        raise ValueError(msg)
    candidates = _search(points, queries, n_neighbors, _choose("exact", points.shape[1], 0))
    return _rank(points, queries, candidates, n_neighbors)


def _choose(backend: str, n_columns: int, n_queries: int) -> str:
    if _check.choice("backend", backend, BACKENDS) not in ("auto", "exact"):
        return backend
    if n_columns <= _TREE_MAX_COLUMNS:
        return "tree"
    return "brute" if backend == "exact" or n_queries <= _BRUTE_MAX_QUERIES else "pynndescent"


def _search(points: np.ndarray, queries: np.ndarray, n_neighbors: int, backend: str) -> np.ndarray:
    """Rows of points, (n_queries, at least n_neighbors), that hold the nearest of each query."""
    n_candidates = min(n_neighbors + _SPARE, len(points))
    if backend == "tree":
        # a list of numbers keeps the axis of neighbours even for one
        every = list(range(1, n_candidates + 1))
        return cKDTree(points).query(queries, every, workers=torch.get_num_threads())[1]
    from sklearn.neighbors import NearestNeighbors

    centre = points.mean(axis=0, dtype=np.float64)
    search = NearestNeighbors(n_neighbors=n_candidates, algorithm="brute")
    # scikit-learn takes as many threads as there are cores
    with _libraries().limit(limits=torch.get_num_threads(), user_api="openmp"):
        return search.fit(points - centre).kneighbors(queries - centre, return_distance=False)


@cache
def _libraries() -> ThreadpoolController:
    """Libraries with threads of their own; to list them takes milliseconds."""
    return ThreadpoolController()


def _descend(points: np.ndarray, n_neighbors: int, random_state: int) -> np.ndarray:
    import numba
    from pynndescent import NNDescent  # type: ignore[import-untyped]

    n_threads = torch.get_num_threads()
    n_jobs = min(n_threads, numba.get_num_threads())
    # numba has now started its threads, and with OpenMP that changes torch's number
    torch.set_num_threads(n_threads)
    single = (points - points.mean(axis=0, dtype=np.float64)).astype(np.float32)
    seed = random_state % 2**32  # numpy's old generator takes no more
    found = NNDescent(single, n_neighbors=n_neighbors, random_state=seed, n_jobs=n_jobs).neighbor_graph[0]
    # where it found too few it left gaps
    if len(gaps := np.flatnonzero((found < 0).any(axis=1))):
        found[gaps] = nearest_points(points, points[gaps], n_neighbors)[1]
    return found


def _rank(
    points: np.ndarray, queries: np.ndarray, candidates: np.ndarray, n_neighbors: int, *, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distances and rows of the nearest candidates of each query, but for its own row."""
    distances = np.empty((len(queries), n_neighbors))
    rows = np.empty((len(queries), n_neighbors), dtype=np.intp)
    for start in range(0, len(queries), _BLOCK):
        block = slice(start, start + _BLOCK)
        # ascending, so that the first of equally distant ones comes first
        places = np.sort(candidates[block], axis=1)
        apart = points[places].astype(np.float64)
        apart -= queries[block, None]
        exact = np.einsum("ijk,ijk->ij", apart, apart)
        if own is not None:
            exact[places == own[block, None]] = np.inf
        order = np.argsort(exact, axis=1, kind="stable")[:, :n_neighbors]
        distances[block] = np.sqrt(np.take_along_axis(exact, order, axis=1))
        rows[block] = np.take_along_axis(places, order, axis=1)
    return distances, rows
