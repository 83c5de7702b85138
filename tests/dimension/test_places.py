"""Neighbourhoods in one embedding, and their coordinates in the tangent spaces of all."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from clipdim.dimension.places import FEWEST_NEIGHBORS, draw_places, flattened, islands, neighborhood_size, tangent


def rng(seed=0):
    return np.random.default_rng(seed)


def labels(n, parts=0, groups=0):
    return np.stack(np.broadcast_arrays(parts, groups, np.zeros(n, dtype=int))[:2], axis=1)


def directions(n, columns=5, seed=0):
    """Unit vectors around one direction."""
    values = np.hstack([np.full((n, 1), 2.0), rng(seed).normal(size=(n, columns - 1))])
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def two_clouds(n, gap=20.0):
    """Two clouds of as many points far from each other, and which of them each point is of."""
    side = np.arange(n) % 2
    return rng().normal(size=(n, 3)) + gap * side[:, None], side


def test_neighbors_are_those_of_brute_force_in_one_embedding():
    u, v = directions(500), directions(500, 7, seed=1)
    found = islands([u, v], labels(500), rng())
    assert [(one.modality, len(one.rows)) for one in found] == [(0, 500), (1, 500)]
    places = draw_places([u, v], np.arange(500), found, 70, rng())
    per_modality = round(3 * 500 / 70)
    assert places.cells.shape == (2 * per_modality, 70)
    for points, drawn in ((u, places.cells[:per_modality]), (v, places.cells[per_modality:])):
        brute = NearestNeighbors(n_neighbors=70, algorithm="brute").fit(points).kneighbors(return_distance=False)
        # sklearn leaves a point out of its own neighbours
        expected = {frozenset([i, *row[:69]]) for i, row in enumerate(brute)}
        assert {frozenset(row) for row in drawn} <= expected


def test_coordinates_are_those_of_the_cells():
    u, v = directions(300), directions(300, 7, seed=1)
    numbers = rng().permutation(300)
    places = draw_places([u, v], numbers, islands([u, v], labels(300), rng()), 100, rng())
    row_of = np.argsort(numbers)
    for points, coordinates in zip((u, v), places.coordinates, strict=True):
        np.testing.assert_allclose(coordinates, tangent(points[row_of[places.cells]]))
        np.testing.assert_allclose(coordinates.mean(axis=1), 0, atol=1e-12)


def test_islands_lie_between_gaps():
    points, side = two_clouds(400)
    together = rng(1).normal(size=(400, 3))
    found = islands([points, together], labels(400), rng())
    of_first = [set(one.rows) for one in found if one.modality == 0]
    assert of_first == [set(np.flatnonzero(side == 0)), set(np.flatnonzero(side == 1))]
    assert [len(one.rows) for one in found if one.modality == 1] == [400]


def test_places_cross_no_gap():
    points, side = two_clouds(400)
    places = draw_places([points], np.arange(400), islands([points], labels(400), rng()), 100, rng())
    of_places = side[places.cells]
    assert (of_places == of_places[:, :1]).all()
    assert set(of_places[:, 0]) == {0, 1}


def test_places_cross_no_part_and_no_group():
    """Whether or not the same cells are in several parts."""
    n = 800
    points, part, group = rng().normal(size=(n, 4)), np.arange(n) // 400, np.arange(n) % 2
    found = islands([points], labels(n, part, group), rng())
    assert sorted((one.part, one.group, len(one.rows)) for one in found) == [
        (a, b, 200) for a in (0, 1) for b in (0, 1)
    ]
    places = draw_places([points], np.arange(n), found, 80, rng())
    assert (part[places.cells] == places.part[:, None]).all()
    assert (group[places.cells] == group[places.cells][:, :1]).all()
    cells = np.tile(np.arange(400), 2)
    again = draw_places([points], cells, found, 80, rng())
    np.testing.assert_array_equal(again.cells, cells[places.cells])


def test_one_place_of_an_island_that_is_no_larger():
    points = rng().normal(size=(100, 3))
    places = draw_places([points], np.arange(100), islands([points], labels(100), rng()), 100, rng())
    assert [sorted(row) for row in places.cells] == [list(range(100))]


def test_small_islands_have_no_place():
    n_small = 70
    points = np.concatenate([rng().normal(size=(600, 3)), 30 + rng(1).normal(size=(n_small, 3))])
    found = islands([points], labels(len(points)), rng())
    size = neighborhood_size(found, labels(len(points)))
    assert size == 100
    places = draw_places([points], np.arange(len(points)), found, size, rng())
    assert places.cells.max() < 600
    assert places.cells.shape == (18, 100)


@pytest.mark.parametrize(
    ("n_cells", "size"), [(59, 0), (60, 60), (90, 90), (500, 100), (1_400, 200), (3_000, 400), (5_000, 400)]
)
def test_size_of_neighborhoods(n_cells, size):
    """A seventh of the cells, from 100 to 400; all where there are fewer."""
    points = rng().normal(size=(n_cells, 2))
    assert neighborhood_size(islands([points], labels(n_cells), rng()), labels(n_cells)) == size


def test_size_leaves_out_a_fifth_of_the_cells_at_most():
    """Ten groups of 70 cells and one of 100: neighbourhoods of 100 would leave out most."""
    groups = np.concatenate([np.repeat(np.arange(10), 70), np.full(100, 10)])
    points = rng().normal(size=(800, 3))
    assert neighborhood_size(islands([points], labels(800, 0, groups), rng()), labels(800, 0, groups)) == 70


def test_groups_too_small_are_left_out():
    groups = np.concatenate([np.zeros(200, dtype=int), np.ones(FEWEST_NEIGHBORS - 1, dtype=int)])
    points = rng().normal(size=(len(groups), 3))
    assert {one.group for one in islands([points], labels(len(groups), 0, groups), rng())} == {0}


def test_of_many_cells_some_are_drawn():
    points = rng().normal(size=(5_000, 2))
    drawn = [islands([points], labels(5_000), rng(seed))[0].rows for seed in (0, 0, 1)]
    assert [len(np.unique(rows)) for rows in drawn] == [4_000] * 3
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def naive_tangent(points):
    """Logarithm at the mean direction, by the textbook, row by row; centred."""
    middle = np.mean(points, axis=0)
    middle /= np.linalg.norm(middle)
    flat = []
    for x in points:
        across = x - (x @ middle) * middle
        flat.append(np.arccos(x @ middle) * across / np.linalg.norm(across))
    return np.array(flat) - np.mean(flat, axis=0)


def test_tangent_equals_the_formula():
    points = directions(120, 6).reshape(3, 40, 6)
    for place, found in zip(points, tangent(points), strict=True):
        np.testing.assert_allclose(found, naive_tangent(place), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_unit_vectors_are_taken_as_a_sphere(dtype):
    points, rows = directions(60).astype(dtype), rng().integers(60, size=(4, 20))
    np.testing.assert_allclose(flattened(points, rows), tangent(points[rows].astype(np.float64)), atol=1e-9)
    longer = points * np.where(np.arange(60) == 7, 1.1, 1).astype(dtype)[:, None]
    expected = longer[rows].astype(np.float64)
    expected -= expected.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(flattened(longer, rows), expected, atol=1e-9)


@pytest.mark.parametrize("n_points", [21, 40])
def test_arcs_of_a_great_circle_keep_their_length(n_points):
    angle = np.linspace(-1.2, 1.2, n_points)
    axes = np.linalg.qr(rng().normal(size=(5, 2)))[0]
    found = tangent((np.stack([np.cos(angle), np.sin(angle)], axis=1) @ axes.T)[None])[0]
    lengths = np.linalg.norm(np.diff(found, axis=0), axis=1)
    np.testing.assert_allclose(lengths, np.diff(angle), rtol=1e-9)
    # and are straight
    assert np.linalg.matrix_rank(found, tol=1e-9) == 1


def test_tangent_turns_with_the_points():
    points = directions(50)[None]
    turn = np.linalg.qr(rng().normal(size=(5, 5)))[0]
    np.testing.assert_allclose(tangent(points @ turn), tangent(points) @ turn, atol=1e-9)


def test_tangent_of_one_point_is_zero():
    np.testing.assert_allclose(tangent(np.tile([0.6, 0.8, 0], (1, 10, 1))), 0, atol=1e-6)
