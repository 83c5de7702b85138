"""How many dimensions arrays share whose number is known."""

import numpy as np
import pytest
import torch

from clipdim.dimension import SharedDimension, TooFewPointsError, shared_dimension
from clipdim.dimension.alignment import alignment

COLUMNS = ["direction", "information", "chance", "low", "high", "p", "counted"]


def turn(columns, rng):
    return np.linalg.qr(rng.normal(size=(columns, columns)))[0]


def embedded(values, rng, *, columns=10):
    """Unit vectors as an encoder gives them: a plane that touches the sphere, turned at random."""
    flat = np.zeros((len(values), columns))
    flat[:, 0], flat[:, 1 : 1 + values.shape[1]] = 2, values
    flat = flat @ turn(columns, rng)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def with_own(shared, rng, *, n_own=3, noise=0.5):
    """An embedding that mixes what is shared with dimensions of its own."""
    return embedded(np.hstack([shared, noise * rng.normal(size=(len(shared), n_own))]), rng)


def pair(n_shared, *, n_cells=700, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n_cells, n_shared))
    return [with_own(shared, rng) for _ in range(2)]


def number(found):
    return found.at_least, found.at_most


def centred_within(values, groups):
    return values - np.array([values[groups == one].mean(axis=0) for one in range(groups.max() + 1)])[groups]


def assert_equal(found, expected):
    assert found.spectrum.equals(expected.spectrum)
    np.testing.assert_array_equal(found.around, expected.around)
    for name in set(SharedDimension.__dataclass_fields__) - {"spectrum", "around"}:
        assert getattr(found, name) == getattr(expected, name)


@pytest.fixture(params=[False, True], ids=["full", "quick"])
def quick(request):
    return request.param


@pytest.mark.parametrize("n_shared", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_linear(n_shared, seed, quick):
    found = shared_dimension(*pair(n_shared, seed=seed), quick=quick)
    assert number(found) == (n_shared, n_shared)
    assert found.low == found.estimate == found.high == n_shared
    assert found.spectrum["counted"].sum() == n_shared
    assert (found.p_value < 1e-6) == (n_shared > 0)
    assert not found.groups_only


def plain_pair(n_shared, *, n_cells=700, seed=0):
    """Latents around zero that are mixed linearly: rows are of any length."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=(n_cells, n_shared)), rng.normal(size=(2, n_cells, 3))
    return [np.hstack([shared, 0.3 * one]) @ rng.normal(size=(n_shared + 3, 8)) for one in own]


@pytest.mark.parametrize("n_shared", [0, 1, 2, 3, 5])
def test_plain_arrays(n_shared, quick):
    assert number(shared_dimension(*plain_pair(n_shared), quick=quick)) == (n_shared, n_shared)


@pytest.mark.parametrize("n_shared", [1, 2, 3])
def test_sphere_has_one_dimension_less_than_its_coordinates(n_shared):
    """Directions that are shared as a whole: their length, which is gone, does not count."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(700, n_shared + 1))
    both = [shared + 0.05 * rng.normal(size=shared.shape) for _ in range(2)]
    u, v = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in both)
    assert number(shared_dimension(u, v)) == (n_shared, n_shared)


def test_circle(quick):
    """One dimension, though it takes two coordinates."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 700)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    u, v = (with_own(circle + 0.1 * rng.normal(size=circle.shape), rng, n_own=2, noise=0.3) for _ in range(2))
    assert number(shared_dimension(u, v, quick=quick)) == (1, 1)


@pytest.mark.parametrize("n_shared", [2, 3])
def test_curved_maps(n_shared, quick):
    """Each embedding is another network of what is shared and of its own."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(1_000, n_shared))

    def network():
        latents = np.hstack([shared, 0.5 * rng.normal(size=(1_000, 2))])
        hidden = np.tanh(0.4 * latents @ rng.normal(size=(n_shared + 2, 20)))
        return embedded(hidden @ rng.normal(size=(20, 9)) / 3, rng)

    assert number(shared_dimension(network(), network(), quick=quick)) == (n_shared, n_shared)


def test_three_share_what_all_of_them_have():
    """Two in all; x and y have two more in common."""
    rng = np.random.default_rng(0)
    of_all, of_two, other = rng.normal(size=(3, 400, 2))
    x, y, z = (with_own(np.hstack([of_all, one]), rng, n_own=2) for one in (of_two, of_two, other))
    assert number(shared_dimension(x, y, z)) == (2, 2)
    assert number(shared_dimension(x, y)) == (4, 4)
    assert number(shared_dimension(y, z)) == (2, 2)


@pytest.fixture
def two_of_three():
    """Embeddings x and y share two dimensions, z shares none with either; in like coordinates, as a fit has them."""
    rng = np.random.default_rng(0)
    of_two, other = rng.normal(size=(2, 600, 2))
    return [with_own(one, np.random.default_rng([1, i]), n_own=2) for i, one in enumerate((of_two, of_two, other))]


def test_what_two_of_three_share_does_not_count(two_of_three, quick):
    found = shared_dimension(*two_of_three, quick=quick)
    assert (found.at_least, found.estimate, found.spectrum["counted"].sum()) == (0, 0, 0)


def test_what_each_two_of_three_share_does_not_count():
    """Each pair has a latent of its own; no latent is in all."""
    rng = np.random.default_rng(0)
    xy, xz, yz = rng.normal(size=(3, 400, 1))
    x, y, z = (with_own(np.hstack(both), rng, n_own=1, noise=0.3) for both in ((xy, xz), (xy, yz), (xz, yz)))
    found = shared_dimension(x, y, z, quick=True)
    assert (found.at_least, found.estimate) == (0, 0)


def test_what_two_of_three_share_is_not_sure_to_be_shared_by_all(two_of_three, quick):
    x, y, z = two_of_three
    # turned so that what x and y share lies along the same axes
    y = y @ np.linalg.lstsq(y, x, rcond=None)[0]
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    found = shared_dimension(x, y, z, quick=quick)
    assert (found.p_value > 0.01, found.at_most) == (True, 0)


def batches(n_shared=0, *, n_cells=700, offset=4.0):
    """Two batches that lie apart in the same way in both embeddings, and the batch of each cell."""
    rng = np.random.default_rng(0)
    batch = np.arange(n_cells) % 2
    shift = offset * (batch[:, None] - 0.5)
    shared = rng.normal(size=(n_cells, n_shared))
    values = [np.hstack([shift, shared, 0.5 * rng.normal(size=(n_cells, 3))]) for _ in range(2)]
    return [embedded(one, np.random.default_rng(1)) for one in values], batch


def test_batches_apart_are_groups_only(quick):
    embeddings, batch = batches()
    found = shared_dimension(*embeddings, quick=quick)
    assert (found.groups_only, *number(found)) == (True, 0, 0)
    assert found.p_value < 1e-6
    within = shared_dimension(*embeddings, groups=batch, quick=quick)
    assert (within.groups_only, *number(within)) == (False, 0, 0)
    assert within.p_value > 0.01


def test_dimensions_within_batches(quick):
    embeddings, batch = batches(2)
    names = np.array(["first donor", "second donor"])[batch]
    for groups in (None, batch, names):
        found = shared_dimension(*embeddings, groups=groups, quick=quick)
        assert (found.groups_only, *number(found)) == (False, 2, 2)


def test_batches_that_differ_in_each_embedding_are_nothing_shared():
    rng = np.random.default_rng(0)
    u, v = (with_own(4.0 * rng.integers(2, size=(700, 1)), rng) for _ in range(2))
    found = shared_dimension(u, v)
    assert (found.groups_only, *number(found)) == (False, 0, 0)


def test_parts_that_are_turned_against_each_other(quick):
    """Two fits of the same cells."""
    rng = np.random.default_rng(0)
    u, v = pair(2)
    twice = [np.concatenate([one, one @ turn(one.shape[1], rng)]) for one in (u, v)]
    once = shared_dimension(u, v, quick=quick)
    found = shared_dimension(*twice, parts=np.repeat(["a", "b"], 700), cells=np.tile(np.arange(700), 2), quick=quick)
    assert number(found) == number(once) == (2, 2)
    assert found.n_places == 2 * once.n_places
    assert found.n_neighbors == once.n_neighbors
    np.testing.assert_allclose(found.spectrum["information"], once.spectrum["information"], atol=0.1)
    assert len(found.around) == 700


def test_parts_of_different_cells_may_be_turned(quick):
    u, v = pair(3)
    part, turns = np.repeat([0, 1], 350), np.random.default_rng(0)
    turned = [np.concatenate([one[:350], one[350:] @ turn(one.shape[1], turns)]) for one in (u, v)]
    as_one, apart = (shared_dimension(*both, parts=part, quick=quick) for both in ((u, v), turned))
    assert number(as_one) == number(apart) == (3, 3)
    np.testing.assert_allclose(as_one.spectrum["information"], apart.spectrum["information"], atol=1e-6)


def test_interval_is_also_over_parts():
    """Fits that disagree: one found two dimensions more than the other."""
    both = [np.concatenate(one) for one in zip(pair(4), pair(2, seed=1), strict=True)]
    found = shared_dimension(*both, parts=np.repeat([0, 1], 700))
    assert (found.low, found.high) == (2, 4)
    assert 2 < found.estimate < 4
    assert number(found) == (2, 4)


@pytest.mark.parametrize("n_shared", [0, 2])
def test_cells_that_are_there_twice(n_shared, quick):
    """Said to be the same cells, they make nothing surer."""
    for seed in range(4):
        u, v = (np.tile(one, (2, 1)) for one in pair(n_shared, n_cells=600, seed=seed))
        found = shared_dimension(u, v, cells=np.tile(np.arange(600), 2), quick=quick)
        assert number(found) == (n_shared, n_shared)
        assert (found.p_value > 0.01) == (n_shared == 0)
        assert len(found.around) == 600


@pytest.mark.parametrize("kind", ["embedded", "plain"])
def test_nothing_shared_is_not_significant(kind, quick):
    found = []
    for seed in range(20):
        both = pair(0, n_cells=600, seed=seed)
        both = both if kind == "embedded" else np.random.default_rng(seed).normal(size=(2, 600, 6))
        found.append(shared_dimension(*both, random_state=seed, quick=quick))
    assert sum(one.p_value > 0.01 for one in found) >= 18
    assert {one.at_least for one in found} == {0}
    assert sum(one.at_most == 0 for one in found) >= 18
    assert not any(one.groups_only for one in found)


@pytest.mark.parametrize("within", [False, True])
def test_alignment_equals_permutations(within):
    """Of what is weakly shared, too little for any neighbourhood, among cells of two groups that lie apart."""
    rng = np.random.default_rng(3)
    group = np.arange(90) % 3 // 2
    apart, weak = 0.3 * group[:, None], 0.25 * rng.normal(size=(90, 4))
    u, v = (weak + apart + rng.normal(size=weak.shape) for _ in range(2))
    groups = group if within else np.zeros(90, dtype=int)
    sums = []
    for _ in range(4_000):
        order = np.lexsort((rng.random(90), groups))
        permuted = np.empty(90, dtype=int)
        permuted[np.argsort(groups, kind="stable")] = order
        sums.append((centred_within(u, groups) * centred_within(v, groups)[permuted]).sum())
    observed = (centred_within(u, groups) * centred_within(v, groups)).sum()
    expected = np.mean(np.array(sums) >= observed)
    found = alignment([u, v], np.stack([np.zeros(90, dtype=int), groups], axis=1))
    assert 0.01 < expected < 0.05
    assert found == pytest.approx(expected, abs=0.01)


def test_p_value_is_spread_where_nothing_is_shared():
    """About half of them are above one half, and none is above one."""
    p = [shared_dimension(*pair(0, n_cells=300, seed=seed), quick=True).p_value for seed in range(60)]
    assert 0 < min(p) <= max(p) <= 1
    assert sum(one < 0.1 for one in p) <= 12
    assert sum(one > 0.2 for one in p) >= 30


@pytest.mark.parametrize("kind", ["embedded", "plain"])
def test_scale_and_turns_do_not_matter(kind, quick):
    u, v = pair(2) if kind == "embedded" else plain_pair(2)
    expected = shared_dimension(u, v, quick=quick)
    turned = v @ turn(v.shape[1], np.random.default_rng(0))
    others = [(u, -v), (u, turned), (u.astype(np.float32), v.astype(np.float32))]
    # rows of length one lie on a sphere, and longer ones do not
    others += [] if kind == "embedded" else [(30 * u, 0.01 * v), (u + 5, v)]
    for other in others:
        found = shared_dimension(*other, quick=quick)
        assert number(found) == number(expected) == (2, 2)
        np.testing.assert_allclose(found.spectrum["information"], expected.spectrum["information"], atol=0.01)


def test_a_larger_sphere_has_the_same_number(quick):
    u, v = pair(2)
    assert number(shared_dimension(30 * u, 0.01 * v, quick=quick)) == (2, 2)


def test_order_of_rows_and_of_embeddings_does_not_matter(quick):
    u, v = pair(2)
    expected = shared_dimension(u, v, quick=quick)
    order = np.random.default_rng(0).permutation(700)
    for other in ((u[order], v[order]), (v, u)):
        found = shared_dimension(*other, quick=quick)
        assert number(found) == number(expected)
        np.testing.assert_allclose(found.spectrum["information"], expected.spectrum["information"], atol=0.1)


def test_seed(quick):
    u, v = pair(2)
    first, same, other = (shared_dimension(u, v, quick=quick, random_state=seed) for seed in (3, 3, 4))
    assert_equal(same, first)
    assert not other.spectrum.equals(first.spectrum)
    assert number(other) == number(first)
    np.testing.assert_allclose(other.spectrum["information"], first.spectrum["information"], atol=0.1)


def test_leaves_global_random_state_and_the_arrays_alone():
    u, v = pair(1)
    copies, states = [u.copy(), v.copy()], (np.random.get_state()[1].copy(), torch.get_rng_state())
    shared_dimension(u, v)
    np.testing.assert_array_equal(np.random.get_state()[1], states[0])
    assert torch.equal(torch.get_rng_state(), states[1])
    np.testing.assert_array_equal([u, v], copies)


@pytest.fixture(scope="module")
def of_three():
    return shared_dimension(*pair(3))


def test_spectrum(of_three):
    table = of_three.spectrum
    assert list(table) == COLUMNS
    assert table["direction"].tolist() == [1, 2, 3, 4]
    assert table["counted"].tolist() == [True, True, True, False]
    assert (table["low"] <= table["information"]).all()
    assert (table["information"] <= table["high"]).all()
    assert (table["chance"] > 0).all()
    assert (table["p"][:3] < 1e-6).all()
    assert table["p"].iloc[-1] > 0.001
    assert of_three.n_neighbors == 100
    assert of_three.n_places == 2 * 21


def test_no_direction_is_surer_than_the_one_before(of_three):
    assert of_three.spectrum["p"].is_monotonic_increasing


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_more_than_there_are_columns(dtype):
    """Angles with noise: one dimension is all that fits on a circle."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 700)
    both = (angle + 0.05 * rng.normal(size=700) for _ in range(2))
    u, v = (np.stack([np.cos(one), np.sin(one)], axis=1).astype(dtype) for one in both)
    found = shared_dimension(u, v)
    assert (found.estimate, *number(found)) == (1, 1, 1)


def test_information_is_that_of_the_correlation():
    """Of Gaussian latents with noise on both sides, in places that are as wide as all there is."""
    rng = np.random.default_rng(0)
    shared = 0.05 * rng.normal(size=(100, 1))
    u, v = (with_own(shared + 0.025 * rng.normal(size=shared.shape), rng, n_own=1, noise=0.05) for _ in range(2))
    found = shared_dimension(u, v)
    assert (found.n_neighbors, found.n_places) == (100, 2)
    assert found.spectrum["information"][0] == pytest.approx(-0.5 * np.log(1 - 0.8**2), abs=0.2)


def test_around_is_more_where_more_is_shared():
    """Two islands, and in one of them more noise on what is shared."""
    rng = np.random.default_rng(0)
    half = np.arange(800) < 400
    island, noise = np.where(half, -3.0, 3.0)[:, None], np.where(half, 0.1, 0.6)[:, None]
    shared = rng.normal(size=(800, 2))
    u, v = (np.hstack([island, 0.6 * (shared + noise * rng.normal(size=shared.shape))]) for _ in range(2))
    found = shared_dimension(*(with_own(one, rng, n_own=1) for one in (u, v)))
    assert number(found) == (2, 2)
    assert found.around.shape == (800,)
    assert np.nanmin(found.around[half]) > np.nanmax(found.around[~half]) > 0


def test_around_of_cells_in_no_place_is_missing():
    u, v = (np.concatenate([one, -one[:40]]) for one in pair(2))
    found = shared_dimension(u, v)
    assert np.isnan(found.around[700:]).all()
    assert np.isfinite(found.around[:700]).mean() > 0.9


def test_spectrum_of_an_embedding_that_is_constant():
    found = shared_dimension(np.ones((300, 10)), pair(0, n_cells=300)[1], quick=True)
    assert (*number(found), len(found.spectrum)) == (0, 0, 1)


@pytest.mark.parametrize("n_cells", [60, 99, 150])
def test_few_cells(n_cells, quick):
    assert shared_dimension(*pair(2, n_cells=n_cells), quick=quick).at_least in (1, 2)
    assert shared_dimension(*pair(0, n_cells=n_cells), quick=quick).at_least == 0


def test_one_embedding_is_an_error():
    u, _ = pair(1)
    with pytest.raises(TypeError, match=r"1 embedding was given; .* two or more"):
        shared_dimension(u)
    with pytest.raises(TypeError, match="0 embedding"):
        shared_dimension()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parts": np.zeros(5)}, r"parts has shape \(5,\); expected one value for each of the 700 rows"),
        ({"groups": np.zeros((700, 2))}, r"groups has shape \(700, 2\)"),
        ({"cells": 3}, r"cells has shape \(\)"),
        ({"random_state": -1}, "random_state must be an integer of at least 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        shared_dimension(*pair(1), **arguments)


def test_bad_arrays():
    u, v = pair(1)
    with pytest.raises(ValueError, match=r"have \[700, 600\] rows; row i of each must be the same cell"):
        shared_dimension(u, v[:600])
    with pytest.raises(ValueError, match="dense numeric array"):
        shared_dimension(u[:, 0], v)
    for value in (np.nan, np.inf):
        broken = v.copy()
        broken[[3, 5], 1] = value
        with pytest.raises(ValueError, match="NaN or infinity in 2 of 700 rows"):
            shared_dimension(u, broken)


def test_embeddings_of_different_widths():
    """Either they are compared or the message says what is wrong."""
    u, v = pair(1)
    try:
        found = shared_dimension(u, np.hstack([v, np.zeros((700, 3))]))
    except ValueError as error:
        assert "columns" in str(error)  # noqa: PT017
    else:
        assert number(found) == (1, 1)


@pytest.mark.parametrize("n_cells", [0, 1, 59])
def test_too_few_cells(n_cells):
    u, v = pair(1)
    with pytest.raises(TooFewPointsError, match=rf"{n_cells} cells are too few .*: 60 of one batch .* the least"):
        shared_dimension(u[:n_cells], v[:n_cells])


def test_too_few_cells_of_each_group_or_part():
    for name in ("groups", "parts"):
        with pytest.raises(TooFewPointsError, match="700 cells are too few"):
            shared_dimension(*pair(1), **{name: np.arange(700) // 50})
