"""How far a confidence can be trusted, and the map that makes it trustworthy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clipdim import _check

# half a vote of 15, so that a share of 0 or 1 has finite odds
_HALF_VOTE = 1 / 30
_PRIOR_SHARES = np.linspace(0.05, 1, 20)
_PRIOR_CELLS = 5


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, in those bins of equal width of the confidence that hold cells.

    Attributes
    ----------
    confidence
        Mean confidence of the cells of each bin, ascending.
    accuracy
        Fraction of them that are right.
    n_cells
        Number of them.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    n_cells: np.ndarray

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean over the cells of the gap between confidence and accuracy of their bin."""
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self.n_cells))


@dataclass(frozen=True)
class Calibration:
    """A logistic map from the votes on a cell to the chance that the winner is right.

    The intercept is the log odds at even votes and typical, median, distance.
    """

    intercept: float
    of_share: float
    of_distance: float
    typical_distance: float

    def confidence(self, share: ArrayLike, distance: ArrayLike) -> np.ndarray:
        """Chance that each winner is right, (n,), from its share of the votes and the distance to the voters."""
        odds, remoteness = _features(share, distance, self.typical_distance)
        return _chance(self.intercept + self.of_share * odds + self.of_distance * remoteness)


def calibrate(share: ArrayLike, distance: ArrayLike, correct: ArrayLike) -> Calibration:
    """Learn from votes of known outcome how likely others are right, by logistic regression (Platt, 1999).

    To the cells come a hundred made-up ones at the typical distance, whose chance to be right is their share of the
    votes: with few cells, or few errors among them, the confidence stays near the share. Cells farther from their
    voters than usual mostly come out with less of it, which is what shows cells unlike any that has a label.
    """
    from sklearn.linear_model import LogisticRegression

    share, distance = np.asarray(share, dtype=np.float64), np.asarray(distance, dtype=np.float64)
    correct = np.asarray(correct, dtype=bool)
    if len(share) == 0 or not share.shape == distance.shape == correct.shape:
        msg = f"as many shares, distances and outcomes are needed, got {share.shape}, {distance.shape}, {correct.shape}"
        raise ValueError(msg)
    _check_chances(share, "share")
    if not (np.isfinite(distance) & (distance >= 0)).all():
        msg = f"distances must be finite and at least 0, got {distance.min()} to {distance.max()}"
        raise ValueError(msg)
    typical = max(float(np.median(distance)), float(np.finfo(np.float32).tiny))
    X = np.stack(_features(share, distance, typical), axis=1)
    prior, _ = _features(_PRIOR_SHARES, np.full(len(_PRIOR_SHARES), typical), typical)
    # a made-up cell is in part right and in part wrong
    X_prior = np.stack([prior, np.zeros_like(prior)], axis=1)
    outcomes = np.concatenate([correct, np.ones(len(prior), dtype=bool), np.zeros(len(prior), dtype=bool)])
    weights = np.concatenate([np.ones(len(X)), _PRIOR_CELLS * _chance(prior), _PRIOR_CELLS * _chance(-prior)])
    fit = LogisticRegression(max_iter=1_000).fit(np.vstack([X, X_prior, X_prior]), outcomes, sample_weight=weights)
    of_share, of_distance = fit.coef_[0].tolist()
    return Calibration(float(fit.intercept_[0]), of_share, of_distance, typical)


def reliability(confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = 10) -> Reliability:
    """Compare the confidence of predictions with how often they are right.

    Parameters
    ----------
    confidence
        Chance that each prediction is right, as the predictor says, in [0, 1], (n,).
    correct
        Whether it is right, (n,).
    n_bins
        Number of bins of equal width in [0, 1].

    Returns
    -------
    The bins that hold cells; their ``expected_error`` is one number for all.

    Raises
    ------
    TypeError
        If `n_bins` is not an integer.
    ValueError
        If there are no predictions, the lengths differ, a confidence is outside [0, 1], or `n_bins` is below 1.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017.

    Examples
    --------
    >>> found = reliability([0.9, 0.9, 0.9, 0.9, 0.2], [True, True, True, False, False])
    >>> found.accuracy.tolist(), round(found.expected_error, 2)
    ([0.0, 0.75], 0.16)
    """
    confidence, correct = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if len(confidence) == 0 or confidence.shape != correct.shape:
        msg = f"as many confidences as outcomes are needed, at least one, got {confidence.shape} and {correct.shape}"
        raise ValueError(msg)
    _check_chances(confidence, "confidence")
    n_bins = _check.integer("n_bins", n_bins, least=1, hint="for instance 10")
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    n_cells = np.bincount(bins, minlength=n_bins)
    filled = n_cells > 0
    mean, accuracy = (np.bincount(bins, x, n_bins)[filled] / n_cells[filled] for x in (confidence, correct))
    return Reliability(mean, accuracy, n_cells[filled])


def _features(share: ArrayLike, distance: ArrayLike, typical: float) -> tuple[np.ndarray, np.ndarray]:
    share = np.asarray(share, dtype=np.float64)
    # a cell among copies of itself is at the smallest distance that float32 tells apart
    relative = np.maximum(np.asarray(distance, dtype=np.float64) / typical, np.finfo(np.float32).eps)
    return np.log((share + _HALF_VOTE) / (1 - share + _HALF_VOTE)), np.log(relative)


def _chance(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds))


def _check_chances(values: np.ndarray, name: str) -> None:
    if not ((values >= 0) & (values <= 1)).all():
        msg = f"each {name} must be in [0, 1], got {values.min()} to {values.max()}"
        raise ValueError(msg)
