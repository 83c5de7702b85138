import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from clipdim.evaluation.calibration import calibrate, reliability


def test_reliability_equals_scikit_learn():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=2_000)
    correct = rng.uniform(size=2_000) < confidence**2
    found = reliability(confidence, correct, n_bins=8)
    accuracy, mean = calibration_curve(correct, confidence, n_bins=8)
    np.testing.assert_allclose(found.accuracy, accuracy)
    np.testing.assert_allclose(found.confidence, mean)
    assert found.n_cells.sum() == 2_000
    assert found.expected_error == pytest.approx(np.sum(found.n_cells / 2_000 * np.abs(accuracy - mean)))


def test_reliability_has_the_ends_and_no_empty_bins():
    found = reliability([0.0, 1.0, 1.0], [False, True, False])
    assert found.n_cells.tolist() == [1, 2]
    assert found.confidence.tolist() == [0, 1]
    assert found.accuracy.tolist() == [0, 0.5]


def votes_of_known_chance(n, seed=0):
    """Shares and distances, and the chance to be right that belongs to them."""
    rng = np.random.default_rng(seed)
    share, distance = rng.uniform(0.3, 1, size=n), rng.lognormal(sigma=0.5, size=n)
    odds = np.log((share + 1 / 30) / (1 - share + 1 / 30))
    chance = 1 / (1 + np.exp(0.5 - 1.5 * odds + 2 * np.log(distance)))
    return share, distance, chance, rng.uniform(size=n) < chance


def test_calibrated_chances_are_the_true_ones():
    share, distance, _, correct = votes_of_known_chance(20_000)
    learned = calibrate(share, distance, correct)
    new_share, new_distance, chance, right = votes_of_known_chance(20_000, seed=1)
    confidence = learned.confidence(new_share, new_distance)
    np.testing.assert_allclose(confidence, chance, atol=0.03)
    assert reliability(confidence, right).expected_error < 0.015
    assert reliability(new_share, right).expected_error > 0.05


def test_scale_of_the_distances_does_not_matter():
    share, distance, _, correct = votes_of_known_chance(500)
    small, large = calibrate(share, distance, correct), calibrate(share, 1_000 * distance, correct)
    np.testing.assert_allclose(small.confidence(share, distance), large.confidence(share, 1_000 * distance), rtol=1e-6)


@pytest.mark.parametrize("right", [True, False])
def test_all_alike_is_no_certainty(right):
    share = np.random.default_rng(0).uniform(0.5, 1, size=300)
    confidence = calibrate(share, np.ones(300), np.full(300, right)).confidence([0.4, 1.0], [1.0, 1.0])
    assert np.all((confidence > 0) & (confidence < 1))
    assert (confidence[1] > 0.95) == right


def test_few_cells_stay_near_the_share():
    learned = calibrate([0.9, 0.8, 0.6], [1.0, 1.0, 1.0], [True, True, False])
    share = np.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(learned.confidence(share, np.ones(9)), share, atol=0.08)


def test_copies_have_a_finite_confidence():
    learned = calibrate([1.0, 0.5, 1.0], [0.0, 0.0, 0.0], [True, False, True])
    assert np.isfinite(learned.confidence([1.0, 1.0], [0.0, 3.0])).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reliability([], []), "at least one"),
        (lambda: reliability([0.5], [True, False]), "as many confidences"),
        (lambda: reliability([1.5], [True]), r"confidence must be in \[0, 1\], got 1.5"),
        (lambda: reliability([np.nan], [True]), r"confidence must be in \[0, 1\]"),
        (lambda: reliability([0.5], [True], n_bins=0), "n_bins must be an integer of at least 1, got 0"),
        (lambda: calibrate([], [], []), "as many shares"),
        (lambda: calibrate([0.5], [1.0, 2.0], [True]), "as many shares"),
        (lambda: calibrate([-0.5], [1.0], [True]), r"share must be in \[0, 1\], got -0.5"),
        (lambda: calibrate([0.5], [np.inf], [True]), "distances must be finite"),
        (lambda: calibrate([0.5], [-1.0], [True]), "distances must be finite and at least 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
