"""Places: cells that are neighbours in one modality's embedding, with their coordinates in the embeddings of all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors, kneighbors_graph

# neighbourhoods never cross a gap in the graph of so many neighbours
GRAPH_NEIGHBORS = 10
# fewer cells around an anchor say nothing of correlations of a dozen columns
FEWEST_NEIGHBORS = 60
MOST_NEIGHBORS = 400
# of the cells of a part: small enough to be nearly flat, large enough to be wider than the noise
NEIGHBOR_SHARE = 1 / 7
# of more cells neighbourhoods would be narrower, and the answer another one
MOST_CELLS = 4_000
# anchors for each time that their neighbours would hold all cells
COVERAGE = 3
# rows whose lengths differ by less from 1 lie on the sphere
UNIT = 1e-3
# of the cells that may lie in islands too small for a neighbourhood
LOST = 0.2


@dataclass(frozen=True)
class Island:
    """Cells of one part and group that no gap divides in one modality's embedding."""

    part: int
    group: int
    modality: int
    """The one that chooses the neighbours."""
    rows: np.ndarray


@dataclass(frozen=True)
class Places:
    """Neighbourhoods of equal size."""

    coordinates: list[np.ndarray]
    """Of each modality, (places x neighbours x columns), in the tangent space, centred."""
    cells: np.ndarray
    """(places x neighbours) which cells these are: the same cell may be in several places and parts."""
    part: np.ndarray
    """(places,)"""


def islands(embeddings: Sequence[np.ndarray], labels: np.ndarray, rng: np.random.Generator) -> list[Island]:
    """Return the islands of each modality's embedding within each label, a part and group, from a draw of its cells."""
    found = []
    for part in np.unique(labels[:, 0]):
        of_part = np.flatnonzero(labels[:, 0] == part)
        rows = np.sort(rng.choice(of_part, min(len(of_part), MOST_CELLS), replace=False))
        for group in np.unique(labels[rows, 1]):
            own = rows[labels[rows, 1] == group]
            if len(own) < FEWEST_NEIGHBORS:
                continue
            for modality, points in enumerate(embeddings):
                graph = kneighbors_graph(points[own], GRAPH_NEIGHBORS)
                number = connected_components(graph, directed=False)[1]
                found += [Island(int(part), int(group), modality, own[number == one]) for one in np.unique(number)]
    return found


def neighborhood_size(found: Sequence[Island], labels: np.ndarray) -> int:
    """Neighbours for each anchor: a share of the cells, and few enough that nearly all islands hold as many; or 0."""
    sizes = np.sort([len(island.rows) for island in found if len(island.rows) >= FEWEST_NEIGHBORS])
    if not len(sizes):
        return 0
    of_part = min(np.unique(labels[:, 0], return_counts=True)[1].max(), MOST_CELLS)
    wanted = int(np.clip(of_part * NEIGHBOR_SHARE, 100, MOST_NEIGHBORS))
    lost = np.cumsum(sizes) / sizes.sum()
    return int(min(wanted, sizes[np.searchsorted(lost, LOST)]))


def draw_places(
    embeddings: Sequence[np.ndarray],
    cells: np.ndarray,
    found: Sequence[Island],
    n_neighbors: int,
    rng: np.random.Generator,
) -> Places:
    """Draw anchors in each island that is large enough, each with its neighbours."""
    drawn = [
        (island.part, island.rows[near])
        for island in found
        if len(island.rows) >= n_neighbors
        for near in _around_anchors(embeddings[island.modality][island.rows], n_neighbors, rng)
    ]
    rows = np.array([near for _, near in drawn])
    coordinates = [flattened(points, rows) for points in embeddings]
    return Places(coordinates, cells[rows], np.array([part for part, _ in drawn]))


def _around_anchors(points: np.ndarray, n_neighbors: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    n_anchors = max(1, round(COVERAGE * len(points) / n_neighbors)) if len(points) > n_neighbors else 1
    anchors = points[rng.choice(len(points), n_anchors, replace=False)]
    yield from NearestNeighbors(n_neighbors=n_neighbors).fit(points).kneighbors(anchors, return_distance=False)


def flattened(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Centred coordinates of each place, (places x neighbours x columns); on a sphere, where its curvature is gone."""
    lengths = np.linalg.norm(points, axis=1)
    values = points[rows].astype(np.float64)
    if np.abs(lengths - 1).max() < UNIT:
        return tangent(values)
    return values - values.mean(axis=1, keepdims=True)


def tangent(points: np.ndarray) -> np.ndarray:
    """Map unit vectors, (places x neighbours x columns), by the sphere's logarithm at the mean of each place.

    On the sphere itself its curvature would count as one more direction.
    """
    middle = points.mean(axis=1, keepdims=True)
    middle /= np.linalg.norm(middle, axis=2, keepdims=True).clip(1e-12)
    cosine = np.clip((points * middle).sum(axis=2, keepdims=True), -1, 1)
    flat = points - cosine * middle
    flat *= np.arccos(cosine) / np.linalg.norm(flat, axis=2, keepdims=True).clip(1e-9)
    return flat - flat.mean(axis=1, keepdims=True)
