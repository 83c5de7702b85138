"""Intrinsic dimension as so many points show it, so that clouds of different size can be compared."""

import numpy as np
from numpy.typing import ArrayLike

from clipdim import _check
from clipdim.dimension.estimation import Estimate, TooFewPointsError, estimate, require_points
from clipdim.dimension.intervals import interval


def estimate_in_parts(
    X: ArrayLike,
    n_per_part: int,
    *,
    estimator: str = "mle",
    n_neighbors: int = 20,
    aggregation: str = "harmonic",
    n_anchors: int | None = None,
    random_state: int = 0,
) -> Estimate:
    """Estimate the intrinsic dimension that so many points of a cloud show, with a 95 % interval.

    The more points, the closer the neighbours and the smaller the scale on which the dimension is read; a cloud of 200
    points reads lower than the same one of 2,000. Here the points are dealt at random into as many disjoint parts of
    the given size as they fill, each is estimated by itself, and the mean is taken. So nearly all points count, and
    clouds of different size are read on an equal footing. Parts are independent samples of the population: the interval
    includes the dealing, and is narrower the more parts there are.

    Parameters
    ----------
    X
        Points, (n, d), numeric and finite.
    n_per_part
        Points of each part, at least 4 and at most n; up to `n_per_part` - 1 points are left over.
    estimator, n_neighbors, aggregation
        As in :func:`clipdim.dimension.estimate`.
    n_anchors
        Use no more parts than hold so many points; where one part has more, estimate around so many of it. `None`: all.
    random_state
        Seed of the dealing and of the draw of anchors.

    Returns
    -------
    As :func:`clipdim.dimension.estimate`, and the same numbers where there is one part of all points; `n_points` are
    the distinct ones within each part, `pointwise` is NaN for points that were left over.

    Raises
    ------
    TooFewPointsError
        If there are fewer points than `n_per_part`, or too few distinct ones in a part; a ValueError.
    TypeError
        If a number is not an integer, or a choice not a string.
    ValueError
        If `X` is not two-dimensional, not numeric or not finite, or an argument is not one of those accepted.

    References
    ----------
    Politis, Romano and Wolf, Subsampling, Springer 1999, on statistics of parts of a sample.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(2000, 8))
    >>> all_points, few_at_a_time = estimate(X), estimate_in_parts(X, 100)
    >>> few_at_a_time.high < all_points.low
    True
    """
    values = require_points(X)
    n_per_part = _check.integer("n_per_part", n_per_part, least=4)
    random_state = _check.seed(random_state)
    n_parts = len(values) // n_per_part
    if n_anchors is not None:
        n_anchors = _check.integer("n_anchors", n_anchors, least=4, hint="or None for all points")
        n_parts = min(n_parts, max(1, n_anchors // n_per_part))
    if n_parts == 0:
        msg = f"{len(values)} points are too few for parts of {n_per_part}; ask for smaller parts"
        raise TooFewPointsError(msg)
    order = np.random.default_rng(random_state).permutation(len(values))[: n_parts * n_per_part]
    parts = np.sort(order.reshape(n_parts, n_per_part), axis=1)
    found = [
        estimate(
            values[rows],
            estimator=estimator,
            n_neighbors=n_neighbors,
            aggregation=aggregation,
            n_anchors=n_anchors,
            random_state=random_state,
        )
        for rows in parts
    ]
    one = found[0]
    with np.errstate(divide="ignore"):
        # the scale on which values are averaged and intervals are symmetric
        ends = np.array([(each.estimate, each.low) for each in found]) ** (-1 if one.aggregation == "harmonic" else 1)
    width = float(np.linalg.norm(ends[:, 1] - ends[:, 0])) / n_parts
    centre, low, high = interval(float(ends[:, 0].mean()), width, one.aggregation)
    pointwise = None
    if one.pointwise is not None:
        pointwise = np.full(len(values), np.nan)
        pointwise[parts] = [each.pointwise for each in found]
    n_points, exact = sum(each.n_points for each in found), all(each.exact for each in found)
    return Estimate(centre, low, high, pointwise, estimator, one.aggregation, one.n_neighbors, n_points, exact)
