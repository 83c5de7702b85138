"""Intrinsic dimension of plain arrays."""

from clipdim.dimension.estimation import AGGREGATIONS, Estimate, TooFewPointsError, estimate
from clipdim.dimension.estimators import ESTIMATORS, lpca, mle, twonn
from clipdim.dimension.parts import estimate_in_parts
from clipdim.neighbors import Neighbors as Neighbors
from clipdim.neighbors import distinct_points as distinct_points
from clipdim.neighbors import nearest_neighbors as nearest_neighbors

__all__ = [
    "AGGREGATIONS",
    "ESTIMATORS",
    "Estimate",
    "TooFewPointsError",
    "estimate",
    "estimate_in_parts",
    "lpca",
    "mle",
    "twonn",
]
