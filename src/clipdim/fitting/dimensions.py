"""The intrinsic dimension of a finished run."""

import numpy as np

from clipdim import _mudata, dimension
from clipdim.fitting.monitor import NEIGHBORS

N_FINAL_ANCHORS = 10_000


def default_anchors(n_points: int) -> int | None:
    """Return around how many of the points to estimate; `None` is all: then time grows with their number only."""
    return N_FINAL_ANCHORS if n_points > 2 * N_FINAL_ANCHORS else None


def final_dimension(points: np.ndarray, cells: str) -> _mudata.Dimension:
    """Intrinsic dimension of an embedding, with its interval; NaN when there are too few distinct cells."""
    try:
        found = dimension.estimate(points, n_neighbors=NEIGHBORS, n_anchors=default_anchors(len(points)))
        estimate, low, high = found.estimate, found.low, found.high
    except dimension.TooFewPointsError:
        estimate = low = high = np.nan
    return _mudata.Dimension(
        estimate=float(estimate),
        low=float(low),
        high=float(high),
        estimator="mle",
        aggregation="harmonic",
        n_neighbors=NEIGHBORS,
        n_cells=len(points),
        cells=cells,
    )
