"""The estimators of the intrinsic dimension; another one is another entry here, and measures and figures have it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clipdim.dimension.intervals import CONFIDENCE, compact_blocks, jackknife_standard_error

if TYPE_CHECKING:
    from clipdim.neighbors import Neighbors

_N_BLOCKS = 20


@dataclass(frozen=True)
class Estimator:
    """An estimator of the intrinsic dimension from distinct points, (n, d), and the neighbours of some of them.

    `overall` gives the dimension and the ends of its 95 % interval, for an estimator without pointwise values;
    `n_neighbors` are those that it takes whatever is asked for.
    """

    name: str
    label: str
    pointwise: Callable[[np.ndarray, "Neighbors"], np.ndarray] | None = None
    overall: Callable[[np.ndarray, "Neighbors"], tuple[float, float, float]] | None = None
    n_neighbors: int | None = None

    def settle(self, n_neighbors: int, aggregation: str) -> tuple[int, str]:
        """Return the neighbours and the aggregation that it works with where these are asked for."""
        return self.n_neighbors or n_neighbors, "none" if self.pointwise is None else aggregation


def _mle(points: np.ndarray, neighbors: "Neighbors") -> np.ndarray:
    log_distances = np.log(neighbors.distances)
    log_ratios = log_distances[:, -1:] - log_distances[:, :-1]
    # all neighbours at the same distance: the pointwise estimate is infinite
    with np.errstate(divide="ignore"):
        return 1 / log_ratios.mean(axis=1)


def _lpca(points: np.ndarray, neighbors: "Neighbors") -> np.ndarray:
    from skdim.id import lPCA

    if points.shape[1] < 2:
        msg = "estimator='lpca' needs at least 2 columns, got 1; use estimator='mle'"
        raise ValueError(msg)
    k = neighbors.indices.shape[1]
    fitted = lPCA().fit_pw(points, precomputed_knn=neighbors.indices, n_neighbors=k)
    return fitted.dimension_pw_.astype(np.float64)


def _twonn(points: np.ndarray, neighbors: "Neighbors") -> tuple[float, float, float]:
    from scipy.stats import t
    from skdim.id import TwoNN

    def dimension(distances: np.ndarray) -> float:
        return float(TwoNN(dist=True).fit(distances).dimension_)

    found = dimension(neighbors.distances)
    n_blocks = min(_N_BLOCKS, len(neighbors.queries))
    blocks = compact_blocks(points[neighbors.queries], n_blocks)
    width = t.ppf(CONFIDENCE, n_blocks - 1) * jackknife_standard_error(dimension, neighbors.distances, blocks)
    return found, found - width, found + width


ESTIMATORS = {
    estimator.name: estimator
    for estimator in (
        Estimator("mle", "MLE", pointwise=_mle),
        Estimator("twonn", "TwoNN", overall=_twonn, n_neighbors=2),
        Estimator("lpca", "local PCA", pointwise=_lpca),
    )
}
