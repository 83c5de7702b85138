"""Intervals for statistics of points whose neighbourhoods overlap."""

from collections.abc import Callable

import numpy as np

from clipdim.neighbors import Neighbors

AGGREGATIONS = ("harmonic", "arithmetic")
# of a two-sided interval of 95 %
CONFIDENCE = 0.975


def interval_of_mean(local: np.ndarray, neighbors: Neighbors, aggregation: str) -> tuple[float, float, float]:
    """Return the mean of pointwise values that share neighbours, and the ends of its 95 % interval."""
    from scipy.stats import norm

    # the harmonic mean is linear in 1 / local, which is also closer to normal
    values = 1 / local if aggregation == "harmonic" else local
    width = float(norm.ppf(CONFIDENCE)) * overlap_standard_error(values, neighbors)
    return interval(float(values.mean()), width, aggregation)


def interval(centre: float, width: float, aggregation: str) -> tuple[float, float, float]:
    """Return the estimate and the ends of its interval, from the mean on the scale of the aggregation."""
    if aggregation != "harmonic":
        return centre, centre - width, centre + width
    with np.errstate(divide="ignore"):
        low, found, high = 1 / np.array([centre + width, centre, max(centre - width, 0.0)])
    return float(found), float(low), float(high)


def overlap_standard_error(values: np.ndarray, neighbors: Neighbors) -> float:
    """Estimate the standard error of the mean of pointwise values that share neighbours.

    The covariance of two values is weighted by the share of points that their neighbourhoods (the point itself and its
    k neighbours) have in common, a spatial heteroskedasticity and autocorrelation consistent variance (Conley, Journal
    of Econometrics 1999) with the neighbourhood graph in place of a distance band. With W the (n_queries, n) incidence
    matrix and e the centred values it is ||W' e||^2 / ((k + 1) n_queries^2), so it is never negative.
    """
    n_queries, k = neighbors.indices.shape
    centred = values - values.mean()
    reached = np.concatenate([neighbors.queries, neighbors.indices.ravel()])
    total = np.bincount(reached, weights=np.concatenate([centred, np.repeat(centred, k)]))
    return float(np.sqrt(np.sum(total**2) / (k + 1)) / n_queries)


def compact_blocks(X: np.ndarray, n_blocks: int) -> list[np.ndarray]:
    """Cut points into compact blocks of about equal size, each given by its row numbers.

    The largest block is halved at the median of its widest coordinate until there are enough.
    """
    blocks = [np.arange(len(X))]
    while len(blocks) < n_blocks:
        block = blocks.pop(int(np.argmax([len(block) for block in blocks])))
        widest = np.argmax(X[block].std(axis=0))
        order = np.argsort(X[block, widest])
        blocks += [block[order[: len(block) // 2]], block[order[len(block) // 2 :]]]
    return blocks


def jackknife_standard_error(
    statistic: Callable[[np.ndarray], float], values: np.ndarray, blocks: list[np.ndarray]
) -> float:
    """Estimate the standard error of a statistic by leaving out one block of values at a time (Künsch, 1989)."""
    left_out = np.array([statistic(np.delete(values, block, axis=0)) for block in blocks])
    n_blocks = len(blocks)
    return float(np.sqrt((n_blocks - 1) / n_blocks * np.sum((left_out - left_out.mean()) ** 2)))
