"""Estimates from so many points at a time."""

import numpy as np
import pytest

from clipdim.dimension import TooFewPointsError, estimate, estimate_in_parts


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return rng.normal(size=(650, 4)) @ rng.normal(size=(4, 9))


@pytest.mark.parametrize(("estimator", "aggregation"), [("mle", "harmonic"), ("mle", "arithmetic"), ("twonn", "none")])
def test_mean_over_disjoint_parts_that_are_independent(points, estimator, aggregation):
    """Found anew from the parts, which the pointwise values of the maximum likelihood estimate give away."""
    settings = {"estimator": estimator, "aggregation": "harmonic" if aggregation == "none" else aggregation}
    found = estimate_in_parts(points, 200, random_state=3, **settings)
    dealt = np.random.default_rng(3).permutation(650)[:600].reshape(3, 200)
    parts = [estimate(points[np.sort(rows)], **settings) for rows in dealt]
    power = -1 if aggregation == "harmonic" else 1
    centres = np.array([part.estimate for part in parts]) ** power
    widths = np.array([part.low for part in parts]) ** power - centres
    assert found.estimate == pytest.approx(centres.mean() ** power)
    assert found.low**power == pytest.approx(centres.mean() + np.sign(widths[0]) * np.sqrt(np.sum(widths**2)) / 3)
    assert found.low < found.estimate < found.high
    assert (found.n_points, found.aggregation) == (600, aggregation)
    if estimator == "mle":
        assert np.isnan(found.pointwise).sum() == 50
        expected = np.nanmean(found.pointwise ** float(power)) ** power
        assert found.estimate == pytest.approx(expected)


def test_one_part_of_all_points_is_the_estimate(points):
    whole, part = estimate(points), estimate_in_parts(points, len(points))
    np.testing.assert_array_equal(part.pointwise, whole.pointwise)
    ends = ("estimate", "low", "high")
    assert [getattr(part, end) for end in ends] == pytest.approx([getattr(whole, end) for end in ends], rel=1e-12)


def test_does_not_depend_on_the_number_of_points():
    """Six dimensions read higher the more points there are, but not from equally many at a time."""
    cloud = np.random.default_rng(0).normal(size=(4000, 6))
    assert estimate(cloud).low > estimate(cloud[:200]).high
    few, many = estimate_in_parts(cloud[:200], 200), estimate_in_parts(cloud, 200)
    assert few.low < many.estimate < few.high
    assert many.high - many.low < (few.high - few.low) / 3


def test_interval_holds_the_expectation():
    """Of 40 samples of 200 points each, read 100 at a time; 95 % are 38."""
    found = [estimate_in_parts(np.random.default_rng(seed).normal(size=(200, 3)), 100) for seed in range(40)]
    expectation = 1 / np.mean([1 / one.estimate for one in found])
    assert sum(one.low < expectation < one.high for one in found) >= 34


def test_seed_and_anchors(points):
    first, same, other = (estimate_in_parts(points, 100, random_state=seed).estimate for seed in (0, 0, 1))
    assert first == same != other
    assert estimate_in_parts(points, 100, n_anchors=350).n_points == 300
    some = estimate_in_parts(points, 300, n_anchors=50)
    assert (some.n_points, np.isfinite(some.pointwise).sum()) == (300, 50)


def test_anchors_of_a_part_are_drawn_by_the_seed(points):
    """Around those only, with neighbours from the whole part."""
    every = estimate(points).pointwise
    for seed in (0, 5):
        found = estimate_in_parts(points, len(points), n_anchors=50, random_state=seed)
        drawn = np.sort(np.random.default_rng(seed).choice(650, 50, replace=False))
        np.testing.assert_array_equal(np.flatnonzero(np.isfinite(found.pointwise)), drawn)
        np.testing.assert_allclose(found.pointwise[drawn], every[drawn])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_per_part": 651}, TooFewPointsError, "650 points are too few for parts of 651; ask for smaller parts"),
        ({"n_per_part": 20}, TooFewPointsError, "20 distinct points"),
        ({"n_per_part": 3}, ValueError, "n_per_part must be an integer of at least 4, got 3"),
        ({"n_per_part": "equal"}, TypeError, "n_per_part must be an integer .* got 'equal'"),
        ({"n_per_part": 100, "n_anchors": 1.5}, TypeError, "n_anchors must be an integer of at least 4, got 1.5"),
        ({"n_per_part": 100, "random_state": -1}, ValueError, "random_state must be an integer of at least 0"),
        ({"n_per_part": 100, "estimator": "danco"}, ValueError, "estimator must be one of .* got 'danco'"),
    ],
)
def test_errors(points, arguments, error, message):
    with pytest.raises(error, match=message):
        estimate_in_parts(points, **arguments)
    with pytest.raises(ValueError, match="dense numeric array"):
        estimate_in_parts(points[:, 0], 100)
