"""Classes of cells by the votes of their nearest labelled cells."""

from dataclasses import dataclass

import numpy as np

from clipdim import _check
from clipdim.neighbors import nearest_neighbors, nearest_points

_BLOCK = 16_384


@dataclass(frozen=True)
class Votes:
    """Outcome of the votes on each cell."""

    code: np.ndarray
    share: np.ndarray
    distance: np.ndarray


def votes(points: np.ndarray, codes: np.ndarray, queries: np.ndarray, *, n_neighbors: int = 15) -> Votes:
    """Let the nearest labelled cells vote on the class of the queries, the nearer with more weight.

    The weights are Gaussian, with half the distance to the farthest voter as the standard deviation: they follow the
    density of the cells. Classes are integers from 0; fewer vote where there are fewer labelled cells.
    """
    distances, rows = nearest_points(points, queries, _voters(n_neighbors, len(points)))
    return _count(distances, codes[rows])


def votes_among(
    points: np.ndarray,
    codes: np.ndarray,
    rows: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    n_neighbors: int = 15,
) -> Votes:
    """Let labelled cells vote on some of their own number, by ascending rows, as if these were new.

    With groups, as batches, only cells of other groups vote on a cell. Without, or where there is one group, all but
    the cell itself vote.
    """
    if groups is None or (groups == groups[0]).all():
        found = nearest_neighbors(points, _voters(n_neighbors, len(points) - 1), rows=rows, backend="exact")
        return _count(found.distances, codes[found.indices])
    result = Votes(np.empty(len(rows), dtype=np.intp), np.empty(len(rows)), np.empty(len(rows)))
    for group in np.unique(groups[rows]):
        own, others = groups[rows] == group, groups != group
        part = votes(points[others], codes[others], points[rows[own]], n_neighbors=n_neighbors)
        result.code[own], result.share[own], result.distance[own] = part.code, part.share, part.distance
    return result


def _voters(n_neighbors: int, n_points: int) -> int:
    n_neighbors = _check.integer("n_neighbors", n_neighbors, least=1, hint="for instance 15")
    if n_points < 1:
        msg = "no labelled cell is there to vote; label more cells"
        raise ValueError(msg)
    return min(n_neighbors, n_points)


def _count(distances: np.ndarray, codes: np.ndarray) -> Votes:
    """Count the votes of neighbours in ascending order of distance, both (n, n_neighbors)."""
    n_classes = int(codes.max(initial=0)) + 1
    winner, share = np.empty(len(codes), dtype=np.intp), np.empty(len(codes))
    for start in range(0, len(codes), _BLOCK):
        block = slice(start, start + _BLOCK)
        farthest = np.maximum(distances[block, -1:], np.finfo(np.float64).tiny)
        weights = np.exp(-2 * (distances[block] / farthest) ** 2)
        # one bin for each pair of cell and class; argmax takes the first of equal votes
        bins = codes[block] + n_classes * np.arange(len(weights))[:, None]
        totals = np.bincount(bins.ravel(), weights.ravel(), len(weights) * n_classes).reshape(-1, n_classes)
        winner[block] = totals.argmax(axis=1)
        # rounding may take it above 1
        share[block] = np.minimum(totals.max(axis=1) / weights.sum(axis=1), 1)
    return Votes(winner, share, distances.mean(axis=1))
