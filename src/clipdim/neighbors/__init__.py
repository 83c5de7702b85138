"""Nearest neighbours of plain arrays, for the dimension and for the classification."""

from clipdim.neighbors.distinct import distinct_points
from clipdim.neighbors.search import Neighbors, draw_rows, nearest_neighbors, nearest_points
from clipdim.neighbors.threads import in_threads

__all__ = ["Neighbors", "distinct_points", "draw_rows", "in_threads", "nearest_neighbors", "nearest_points"]
