"""Ridge CCA against scikit-learn, naive eigenproblems and loops over folds."""

from itertools import combinations

import numpy as np
import pytest
from scipy.linalg import block_diag, eigh
from sklearn.cross_decomposition import CCA

from clipdim.contrast import Moments, ridge_cca

SIZES = {"a": 5, "b": 4, "c": 3}


def related(n_cells=200, names="ab", n_shared=3, seed=0):
    """Modalities that show common latents, each with noise of its own and features of unequal spread."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n_cells, n_shared)) * np.arange(n_shared, 0, -1)
    found = {}
    for name in names:
        p = SIZES[name]
        noise = rng.normal(size=(n_cells, p)) @ rng.normal(size=(p, p))
        found[name] = (latent @ rng.normal(size=(n_shared, p)) + noise) * rng.uniform(0.5, 2, size=p) + rng.normal(
            size=p
        )
    return found


def covariance(x, y, centre_x=None, centre_y=None):
    """Product of two modalities' deviations from the means, over the number of cells."""
    x = x - (x.mean(axis=0) if centre_x is None else centre_x)
    y = y - (y.mean(axis=0) if centre_y is None else centre_y)
    return x.T @ y / len(x)


def naive_weights(covariances, names, ridge, n_variates):
    """Block eigenproblem of the covariances between modalities and those within, each with a ridge."""
    sizes = [len(covariances[name, name]) for name in names]
    places = np.cumsum([0, *sizes])
    between = np.zeros((places[-1], places[-1]))
    for i, j in combinations(range(len(names)), 2):
        own = slice(*places[i : i + 2]), slice(*places[j : j + 2])
        between[own] = covariances[names[i], names[j]]
        between[own[::-1]] = between[own].T
    within = [covariances[name, name] for name in names]
    within = [c + ridge * np.trace(c) / len(c) * np.eye(len(c)) for c in within]
    vectors = eigh(between, block_diag(*within))[1][:, ::-1][:, :n_variates]
    found = {}
    for name, start, end in zip(names, places, places[1:], strict=False):
        w = vectors[start:end]
        found[name] = w / np.sqrt(np.diagonal(w.T @ covariances[name, name] @ w))
    return found


def all_covariances(inputs):
    return {(first, second): covariance(inputs[first], inputs[second]) for first in inputs for second in inputs}


def of_spread_one(found):
    """Weights of variates of spread 1."""
    return {name: w / found.spreads(name) for name, w in found.weights.items()}


def assert_same_up_to_sign(found, expected, rtol=1e-6):
    """One sign for each variate, the same in all modalities."""
    signs = None
    for name, w in expected.items():
        own = np.sign((found[name] * w).sum(axis=0))
        signs = own if signs is None else signs
        np.testing.assert_array_equal(own, signs)
        np.testing.assert_allclose(found[name] * signs, w, rtol=rtol, atol=rtol * np.abs(w).max())


def folds_of(n_cells, n_folds=5, random_state=0):
    return np.random.default_rng(random_state).permutation(np.arange(n_cells) % n_folds)


def test_without_a_ridge_it_is_the_cca_of_scikit_learn():
    inputs = related()
    found = ridge_cca(inputs, ridge=0)
    oracle = CCA(n_components=4, max_iter=100_000, tol=1e-14, scale=False).fit(inputs["a"], inputs["b"])
    scores = dict(zip("ab", oracle.transform(inputs["a"], inputs["b"]), strict=True))
    ours = {name: found.transform(name, inputs[name]) for name in "ab"}
    assert ours["a"].shape == (200, 4)
    for name in "ab":
        ours[name], scores[name] = (x / x.std(axis=0) for x in (ours[name], scores[name]))
        np.testing.assert_allclose(ours[name].mean(axis=0), 0, atol=1e-12)
    assert_same_up_to_sign(ours, scores, rtol=1e-4)
    correlations = [[np.corrcoef(x["a"][:, k], x["b"][:, k])[0, 1] for k in range(4)] for x in (ours, scores)]
    np.testing.assert_allclose(*correlations, rtol=1e-6)


@pytest.mark.parametrize("ridge", [0.0, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("names", ["ab", "abc"])
def test_weights_equal_the_naive_eigenproblem(names, ridge):
    inputs = related(names=names)
    found = ridge_cca(inputs, 4, ridge=ridge)
    assert found.ridge == ridge
    assert_same_up_to_sign(of_spread_one(found), naive_weights(all_covariances(inputs), names, ridge, 4))
    for name, x in inputs.items():
        np.testing.assert_allclose(found.means[name], x.mean(axis=0))


@pytest.mark.parametrize("ridge", [0.0, 1.0])
@pytest.mark.parametrize("names", ["ab", "abc"])
def test_correlations_are_those_of_cells_left_out(names, ridge):
    """In each fold by the weights of the others; the products of all folds are added."""
    inputs = related(100, names=names)
    found = ridge_cca(inputs, 3, ridge=ridge, random_state=7)
    folds, products = folds_of(100, random_state=7), {}
    centred = {name: x - x.mean(axis=0) for name, x in inputs.items()}
    for fold in range(5):
        rest = {
            (first, second): covariance(centred[first][folds != fold], centred[second][folds != fold], 0, 0)
            for first in names
            for second in names
        }
        weights = naive_weights(rest, names, ridge, 3)
        scores = {name: centred[name][folds == fold] @ weights[name] for name in names}
        for first in names:
            for second in names:
                own = (scores[first] * scores[second]).sum(axis=0)
                products[first, second] = products.get((first, second), 0) + own
    assert list(found.correlations) == list(combinations(names, 2))
    for (first, second), rho in found.correlations.items():
        squares = products[first, first] * products[second, second]
        np.testing.assert_allclose(rho, (products[first, second] / np.sqrt(squares)).clip(0), rtol=1e-6, atol=1e-12)


def test_variates_have_the_spread_of_their_correlation():
    """Their product is then what joins two modalities in the logarithm of the likelihood ratio."""
    inputs = related(500)
    found = ridge_cca(inputs, ridge=0.1)
    rho = found.correlations["a", "b"]
    for name, x in inputs.items():
        np.testing.assert_allclose(found.transform(name, x).std(axis=0), np.sqrt(rho / (1 - rho**2)), rtol=1e-6)
        np.testing.assert_allclose(found.spreads(name), np.sqrt(rho / (1 - rho**2)), rtol=1e-12)
    assert found.information == pytest.approx(-np.log(1 - rho**2).sum() / 2)


def test_of_three_modalities_the_spread_is_that_of_the_closest_two():
    inputs = related(500, names="abc")
    inputs["c"] = inputs["c"] + 5 * np.random.default_rng(1).normal(size=(500, 3))
    found = ridge_cca(inputs, 3, ridge=0.1)
    rho = {pair: found.correlations[pair] for pair in combinations("abc", 2)}
    for name in "abc":
        best = np.max([one for pair, one in rho.items() if name in pair], axis=0)
        np.testing.assert_allclose(found.spreads(name), np.sqrt(best / (1 - best**2)))
    assert found.information == pytest.approx(np.mean([-np.log(1 - one**2).sum() / 2 for one in rho.values()]))


def test_a_correlation_of_one_or_none_has_a_finite_spread():
    x = np.random.default_rng(0).normal(size=(100, 3))
    found = ridge_cca({"a": x, "b": x + 1}, ridge=0)
    np.testing.assert_allclose(found.correlations["a", "b"], 1)
    assert np.isfinite(found.transform("a", x)).all()
    assert np.isfinite(found.information)
    unrelated = ridge_cca({"a": x, "b": np.random.default_rng(1).normal(size=(100, 3))}, ridge=1)
    assert (unrelated.correlations["a", "b"] < 0.35).all()
    assert (unrelated.transform("a", x).std(axis=0) > 0).all()


def test_of_several_ridges_the_one_of_most_information_in_cells_left_out_is_taken():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(60, 1))
    # one strong common direction among many weak ones, and the other way round
    strong = {name: np.hstack([5 * latent, rng.normal(size=(60, 25))]) for name in "ab"}
    weak = {name: np.hstack([0.05 * latent, rng.normal(size=(60, 3))]) for name in "ab"}
    for inputs, best in ((strong, 1.0), (weak, 0.0)):
        alone = {ridge: ridge_cca(inputs, ridge=ridge) for ridge in (0.0, 1.0)}
        assert alone[best].information > alone[1 - best].information
        chosen = ridge_cca(inputs, ridge=(0.0, 1.0))
        assert chosen.ridge == best
        np.testing.assert_array_equal(chosen.weights["a"], alone[best].weights["a"])


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_groups_equal_centring_by_hand(names):
    inputs = related(names=names)
    groups = np.random.default_rng(3).integers(3, size=200)
    shifted = {name: x + 10 * groups[:, None] * np.arange(1, x.shape[1] + 1) for name, x in inputs.items()}
    by_hand = {name: x - [x[groups == g].mean(axis=0) for g in groups] for name, x in shifted.items()}
    found, expected = ridge_cca(shifted, 3, groups=groups, ridge=1.0), ridge_cca(by_hand, 3, ridge=1.0)
    assert_same_up_to_sign(found.weights, expected.weights)
    for pair, rho in expected.correlations.items():
        np.testing.assert_allclose(found.correlations[pair], rho, rtol=1e-6)
    np.testing.assert_allclose(found.means["a"], shifted["a"].mean(axis=0))
    # else the first variate would be the groups'
    assert not np.allclose(ridge_cca(shifted, 3, ridge=1.0).weights["a"], found.weights["a"], rtol=0.1)


def lacking(n_cells=240):
    """Complete inputs, which cells have what, and rows and inputs in random orders of those that have it."""
    rng, complete = np.random.default_rng(5), related(n_cells, names="abc")
    kind = rng.permutation(n_cells) % 4
    has = np.stack([kind != 3, kind != 1, kind != 2], axis=1)
    rows, inputs = np.full((n_cells, 3), -1), {}
    for place, (name, x) in enumerate(complete.items()):
        order = rng.permutation(np.flatnonzero(has[:, place]))
        rows[order, place] = np.arange(len(order))
        inputs[name] = x[order]
    return complete, has, rows, inputs


@pytest.mark.parametrize("grouped", [False, True])
def test_missing_modalities_equal_covariances_of_the_cells_that_have_both(grouped):
    complete, has, rows, inputs = lacking()
    groups = np.random.default_rng(1).integers(2, size=240) if grouped else np.zeros(240, dtype=int)
    if grouped:
        for place, (name, x) in enumerate(complete.items()):
            x += 5 * groups[:, None]
            inputs[name][rows[has[:, place], place]] = x[has[:, place]]
    covariances = {}
    for (i, first), (j, second) in ((one, two) for one in enumerate("abc") for two in enumerate("abc")):
        both = has[:, i] & has[:, j]
        x, y, own = complete[first][both], complete[second][both], groups[both]
        x, y = (z - [z[own == g].mean(axis=0) for g in own] for z in (x, y))
        covariances[first, second] = covariance(x, y)
    found = ridge_cca(inputs, 3, ridge=1.0, rows=rows, groups=groups if grouped else None)
    expected = naive_weights(covariances, "abc", 1.0, 3)
    assert_same_up_to_sign({name: of_spread_one(found)[name] for name in "abc"}, expected)
    for place, name in enumerate("abc"):
        np.testing.assert_allclose(found.means[name], complete[name][has[:, place]].mean(axis=0))
    assert {frozenset(pair) for pair in found.correlations} == {frozenset(pair) for pair in combinations("abc", 2)}


def test_correlations_of_cells_that_lack_modalities_are_those_of_complete_ones():
    complete, _, rows, inputs = lacking(8_000)
    found, expected = (ridge_cca(x, 3, ridge=1.0, **rest) for x, rest in ((inputs, {"rows": rows}), (complete, {})))
    for pair, rho in found.correlations.items():
        np.testing.assert_allclose(rho, expected.correlations[tuple(sorted(pair))], atol=0.03)


def test_pairs_are_in_the_order_of_the_inputs_whatever_is_missing():
    _, _, rows, inputs = lacking()
    found = ridge_cca(inputs, 3, rows=rows)
    assert list(found.weights) == list(found.means) == list("abc")
    assert list(found.correlations) == list(combinations("abc", 2))


def test_cells_with_one_modality_or_none_change_nothing():
    inputs = related(100)
    expected = ridge_cca(inputs, ridge=1.0)
    more = {name: np.vstack([x, 100 + x[:7]]) for name, x in inputs.items()}
    rows = np.vstack([np.tile(np.arange(100)[:, None], (1, 2)), [[101, -1]] * 5, [[-1, 104]] * 5, [[-1, -1]] * 3])
    found = ridge_cca(more, ridge=1.0, rows=rows)
    assert_same_up_to_sign(found.weights, expected.weights)
    np.testing.assert_allclose(found.correlations["a", "b"], expected.correlations["a", "b"])


def test_pairs_that_share_no_cell_have_no_correlation():
    complete = related(200, names="abc")
    rows = np.tile(np.arange(200)[:, None], (1, 3))
    rows[:100, 2] = rows[100:, 0] = -1
    found = ridge_cca(complete, 3, ridge=1.0, rows=rows)
    assert {frozenset(pair) for pair in found.correlations} == {frozenset("ab"), frozenset("bc")}
    assert all(np.isfinite(w).all() for w in found.weights.values())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cells_in_blocks_equal_all_at_once(dtype):
    inputs = {name: x.astype(dtype) for name, x in related(300, names="abc").items()}
    groups = np.random.default_rng(0).integers(4, size=300)
    whole = ridge_cca(inputs, 3, ridge=1.0, groups=groups)
    moments = Moments()
    for start, end in ((0, 1), (1, 90), (90, 93), (93, 300)):
        moments.add({name: x[start:end] for name, x in inputs.items()}, groups[start:end])
    found = ridge_cca(moments, 3, ridge=1.0)
    assert_same_up_to_sign(of_spread_one(found), of_spread_one(whole), rtol=1e-5)
    for name in inputs:
        np.testing.assert_allclose(found.means[name], whole.means[name], rtol=1e-5)
    for pair, rho in whole.correlations.items():  # of other folds
        np.testing.assert_allclose(found.correlations[pair], rho, atol=0.05)


def test_large_inputs_go_in_blocks_of_the_same_folds(monkeypatch):
    inputs = related(100)
    whole = ridge_cca(inputs, ridge=1.0)
    monkeypatch.setattr("clipdim.contrast.moments.CELLS_PER_BLOCK", 7)
    found = ridge_cca(inputs, ridge=1.0)
    np.testing.assert_allclose(found.correlations["a", "b"], whole.correlations["a", "b"], rtol=1e-9)
    assert_same_up_to_sign(found.weights, whole.weights)


def test_moments_may_be_asked_while_cells_are_added():
    inputs, moments = related(200), Moments()
    moments.add({name: x[:100] for name, x in inputs.items()})
    first = ridge_cca(moments, ridge=1.0)
    np.testing.assert_array_equal(ridge_cca(moments, ridge=1.0).weights["a"], first.weights["a"])
    moments.add({name: x[100:] for name, x in inputs.items()})
    assert_same_up_to_sign(of_spread_one(ridge_cca(moments, ridge=1.0)), of_spread_one(ridge_cca(inputs, ridge=1.0)))


@pytest.mark.parametrize("offset", [1e6, -1e8])
def test_large_offsets_keep_the_digits(offset):
    inputs = related()
    expected = ridge_cca(inputs, ridge=0)
    far = {name: x + offset for name, x in inputs.items()}
    found = ridge_cca(far, ridge=0)
    np.testing.assert_allclose(found.correlations["a", "b"], expected.correlations["a", "b"], rtol=1e-5)
    assert_same_up_to_sign(found.weights, expected.weights, rtol=1e-5)
    np.testing.assert_allclose(
        np.abs(found.transform("a", far["a"])), np.abs(expected.transform("a", inputs["a"])), atol=1e-4
    )


def test_order_of_the_cells_does_not_turn_the_variates():
    inputs = related()
    expected = ridge_cca(inputs, ridge=1.0)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(200)
        found = ridge_cca({name: x[order] for name, x in inputs.items()}, ridge=1.0)
        np.testing.assert_array_equal(np.sign(found.weights["a"]), np.sign(expected.weights["a"]))


def test_seed_of_the_folds():
    inputs = related(60)
    correlations = [ridge_cca(inputs, ridge=1, random_state=seed).correlations["a", "b"] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(correlations[0], correlations[1])
    assert not np.allclose(correlations[0], correlations[2], atol=1e-6)


def test_no_global_random_state_and_inputs_stay(global_random_state_untouched):
    inputs = related(60)
    before = {name: x.copy() for name, x in inputs.items()}
    with global_random_state_untouched():
        ridge_cca(inputs)
    for name, x in before.items():
        np.testing.assert_array_equal(inputs[name], x)


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_constant_and_collinear_features_say_nothing(ridge):
    inputs = related()
    a = inputs["a"]
    expected = ridge_cca(inputs, ridge=0).correlations["a", "b"]
    found = ridge_cca({**inputs, "a": np.hstack([a, np.full((200, 1), 7.0), a[:, :2] - 2 * a[:, 2:4]])}, ridge=ridge)
    assert all(np.isfinite(w).all() for w in found.weights.values())
    if ridge == 0:
        np.testing.assert_allclose(found.correlations["a", "b"], expected, rtol=1e-6)


def test_a_modality_of_one_feature():
    """Its variate is the prediction of that feature."""
    inputs = related()
    y = inputs["b"][:, :1]
    found = ridge_cca({"a": inputs["a"], "y": y}, ridge=0)
    assert found.weights["a"].shape == (5, 1)
    assert found.weights["y"].shape == (1, 1)
    predicted = np.linalg.lstsq(inputs["a"] - inputs["a"].mean(axis=0), y - y.mean(), rcond=None)[0]
    cosine = (found.weights["a"] * predicted).sum() / np.linalg.norm(found.weights["a"]) / np.linalg.norm(predicted)
    assert abs(cosine) == pytest.approx(1)


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_fewer_cells_than_features(ridge):
    rng = np.random.default_rng(0)
    latent, sizes = 3 * rng.normal(size=(20, 1)), {"a": 50, "b": 30}
    inputs = {name: latent @ rng.normal(size=(1, p)) + rng.normal(size=(20, p)) for name, p in sizes.items()}
    found = ridge_cca(inputs, ridge=ridge)
    assert all(np.isfinite(w).all() for w in found.weights.values())
    rho = found.correlations["a", "b"]
    assert ((rho >= 0) & (rho <= 1)).all()
    if ridge:
        assert rho[0] > 0.8
        assert (rho[1:] < 0.8).all()


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_no_more_variates_than_the_modalities_can_have_in_common(names):
    inputs = related(names=names)
    found = ridge_cca(inputs, 50, ridge=1.0)
    # of two modalities the features of the smaller one, of three the positive eigenvalues
    most = {"ab": 4, "abc": 5}[names]
    assert {name: w.shape for name, w in found.weights.items()} == {name: (SIZES[name], most) for name in names}
    assert {len(rho) for rho in found.correlations.values()} == {most}
    assert_same_up_to_sign(of_spread_one(found), naive_weights(all_covariances(inputs), names, 1.0, most))
    few = ridge_cca(inputs, 2, ridge=1.0)
    assert_same_up_to_sign(of_spread_one(few), {name: w[:, :2] for name, w in of_spread_one(found).items()})


def test_ten_cells_are_enough_and_fewer_have_fewer_folds():
    for n_cells in (4, 5, 9, 10, 11):
        found = ridge_cca(related(n_cells), ridge=1.0)
        assert np.isfinite(found.transform("a", related(n_cells)["a"])).all()


def change(**changed):
    return {**related(40), **changed}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "two or more matrices"),
        ({"a": np.ones((20, 2))}, r"two or more matrices .* shapes \{'a': \(20, 2\)\}"),
        (change(b=np.ones((39, 4))), r"same cells in their rows, got the shapes .*\(39, 4\)"),
        (change(b=np.ones(40)), r"two or more matrices .*\(40,\)"),
        (change(b=np.full((40, 4), np.nan)), "modality 'b' has values that are NaN or infinite; give cells without it"),
        (change(a=np.where(np.arange(40)[:, None] == 3, np.inf, np.ones((40, 2)))), "modality 'a' has values that are"),
        (change(b=np.ones((40, 4))), "the cells of modality 'b' are all the same, within groups .*; leave it out"),
        ({"a": np.ones((3, 2)), "b": np.ones((3, 2))}, "3 cells with two modalities are too few for 2 folds"),
        ({"a": np.ones((0, 2)), "b": np.ones((0, 2))}, "0 cells with two modalities are too few"),
    ],
)
def test_inputs_that_do_not_fit(inputs, message):
    with pytest.raises(ValueError, match=message):
        ridge_cca(inputs)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_variates": 0}, ValueError, "n_variates must be an integer of at least 1"),
        ({"n_variates": 2.5}, TypeError, "n_variates must be an integer"),
        ({"ridge": -0.1}, ValueError, "ridge must be a number"),
        ({"ridge": (1.0, "much")}, TypeError, "ridge must be a number"),
        ({"n_folds": 1}, ValueError, "n_folds must be an integer of at least 2"),
        ({"groups": np.zeros(39, dtype=int)}, ValueError, r"groups must be 40 integers from 0, got int64 of the shape"),
        ({"groups": np.zeros(40)}, ValueError, "groups must be 40 integers from 0, got float64"),
        ({"groups": np.full(40, -1)}, ValueError, "groups must be 40 integers from 0"),
    ],
)
def test_arguments_out_of_range(arguments, error, message):
    with pytest.raises(error, match=message):
        ridge_cca(related(40), **arguments)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("what", ["each cell a group", "a modality of the groups' means"])
def test_modalities_without_a_spread_within_groups_are_refused(what):
    inputs, groups = related(40), np.arange(40)
    if what == "a modality of the groups' means":
        groups = np.random.default_rng(0).integers(3, size=40)
        inputs["b"] = np.random.default_rng(1).normal(size=(3, 4))[groups]
    with pytest.raises(ValueError, match="all the same, within groups if there are any; leave it out"):
        ridge_cca(inputs, groups=groups)


def test_blocks_of_other_features_are_refused():
    moments = Moments()
    moments.add(related(40))
    with pytest.raises(ValueError, match="modality 'b' had 4 features and now has 3"):
        moments.add(change(b=np.ones((40, 3))))
    with pytest.raises(ValueError, match="0 cells with two modalities are too few for 5 folds; add more"):
        ridge_cca(Moments())
