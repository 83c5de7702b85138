import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from clipdim.evaluation.private import PrivateMap


@pytest.fixture
def cells():
    """Inputs of three shared latents and a private one, which a late axis of the joint embedding has a little of."""
    rng = np.random.default_rng(0)
    shared, private = rng.normal(size=(1_000, 3)), rng.normal(size=(1_000, 1))
    inputs = np.hstack([shared, private]) @ rng.normal(size=(4, 7))
    joint = np.hstack([0.5 * shared, 0.005 * private]) @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    return inputs.astype(np.float32), joint.astype(np.float32), private


def test_what_a_late_axis_of_the_joint_embedding_has_stays_private(cells):
    inputs, joint, private = cells
    found = PrivateMap.learn(inputs, joint, n_dims=1)(inputs, joint)
    assert abs(np.corrcoef(found[:, 0], private[:, 0])[0, 1]) > 0.99
    without = PrivateMap.learn(inputs, joint, n_dims=1, penalty=1e-9)(inputs, joint)
    assert without.var() < 0.01 * found.var()


def test_without_a_penalty_nothing_is_left_that_the_joint_embedding_tells(cells):
    inputs, joint, _ = cells
    learned = PrivateMap.learn(inputs, joint[:, :2], n_dims=7, penalty=1e-9)
    found = learned(inputs, joint[:, :2])
    # all dimensions together are the residual of a regression, in units of the overall spread
    spread = np.sqrt(inputs.var(axis=0).sum())
    residual = inputs - LinearRegression().fit(joint[:, :2], inputs).predict(joint[:, :2])
    assert found.var(axis=0).sum() == pytest.approx((residual / spread).var(axis=0).sum(), rel=1e-3)
    found = found[:, found.std(axis=0) > 1e-3]  # the inputs are of four latents
    assert LinearRegression().fit(joint[:, :2], found).score(joint[:, :2], found) == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(np.corrcoef(found.T), np.eye(found.shape[1]), atol=1e-3)


def test_no_more_dimensions_than_features_or_cells(cells):
    inputs, joint, _ = cells
    assert PrivateMap.learn(inputs, joint, n_dims=20)(inputs, joint).shape == (1_000, 7)
    assert PrivateMap.learn(inputs[:5], joint[:5], n_dims=20)(inputs, joint).shape == (1_000, 5)


def test_arrays_give_the_same_map_back(cells):
    inputs, joint, _ = cells
    learned = PrivateMap.learn(inputs, joint, n_dims=2)
    again = PrivateMap.from_arrays(learned.to_arrays())
    np.testing.assert_array_equal(again(inputs, joint), learned(inputs, joint))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"axes": None}, KeyError, "axes is missing; run clipdim.tl.private again"),
        ({"mean": None, "spread": None}, KeyError, "mean, spread is missing"),
        ({"mean": np.zeros((7, 1))}, ValueError, r"mean .* has shape \(7, 1\) where the others ask for \(7,\)"),
        ({"spread": np.ones(2)}, ValueError, r"spread .* has shape \(2,\)"),
        ({"coefficients": np.zeros((7, 4))}, ValueError, r"coefficients .* \(7, 4\) where the others ask for \(4, 7\)"),
        ({"axes": np.zeros((6, 2))}, ValueError, r"axes .* has shape \(6, 2\) where the others ask for \(7, 2\)"),
        ({"axes": np.zeros(7)}, ValueError, r"axes .* has shape \(7,\)"),
        ({"joint_mean": np.full(4, np.nan)}, ValueError, "joint_mean .* must hold finite numbers"),
        ({"mean": np.array(["a"] * 7)}, ValueError, "mean .* must hold finite numbers"),
    ],
)
def test_damaged_arrays_are_named(cells, change, error, message):
    inputs, joint, _ = cells
    arrays = PrivateMap.learn(inputs, joint, n_dims=2).to_arrays() | change
    with pytest.raises(error, match=message):
        PrivateMap.from_arrays({name: values for name, values in arrays.items() if values is not None})


def test_bad_settings(cells):
    inputs, joint, _ = cells
    with pytest.raises(ValueError, match="n_dims must be an integer of at least 1, got 0"):
        PrivateMap.learn(inputs, joint, n_dims=0)
    with pytest.raises(TypeError, match="penalty must be a number at least 0, got 'a'"):
        PrivateMap.learn(inputs, joint, n_dims=1, penalty="a")
