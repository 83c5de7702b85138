"""Nearest neighbours of plain arrays, for the dimension and for the classification."""

from clipdim.neighbors.brute import brute_force
from clipdim.neighbors.distinct import distinct_points
from clipdim.neighbors.search import BACKENDS, Neighbors, draw_rows, nearest_neighbors, nearest_points
from clipdim.neighbors.threads import in_threads

__all__ = [
    "BACKENDS",
    "Neighbors",
    "brute_force",
    "distinct_points",
    "draw_rows",
    "in_threads",
    "nearest_neighbors",
    "nearest_points",
]
