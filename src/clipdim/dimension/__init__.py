"""Intrinsic dimension of plain arrays."""

from clipdim.dimension.estimation import AGGREGATIONS, Estimate, TooFewPointsError, estimate
from clipdim.dimension.estimators import ESTIMATORS, lpca, mle, twonn
from clipdim.dimension.neighbors import Neighbors, distinct_points, nearest_neighbors

__all__ = [
    "AGGREGATIONS",
    "ESTIMATORS",
    "Estimate",
    "Neighbors",
    "TooFewPointsError",
    "distinct_points",
    "estimate",
    "lpca",
    "mle",
    "nearest_neighbors",
    "twonn",
]
