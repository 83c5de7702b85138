import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from clipdim.neighbors import draw_rows, nearest_neighbors, nearest_points
from clipdim.neighbors.search import _choose


@pytest.mark.parametrize("backend", ["auto", "exact", "tree", "brute"])
@pytest.mark.parametrize("n_columns", [1, 3, 6, 7, 40])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_neighbors_equal_full_sort(backend, n_columns, offset):
    X = np.random.default_rng(0).normal(size=(300, n_columns)) + offset
    expected = cdist(X, X)
    np.fill_diagonal(expected, np.inf)
    found = nearest_neighbors(X, 7, backend=backend)
    assert found.exact
    np.testing.assert_allclose(found.distances, np.sort(expected, axis=1)[:, :7], rtol=1e-7)
    np.testing.assert_allclose(np.take_along_axis(expected, found.indices, axis=1), found.distances, rtol=1e-7)


@pytest.mark.parametrize("n_columns", [3, 20])
def test_anchors_see_all_points(n_columns):
    X = np.random.default_rng(0).normal(size=(300, n_columns)).astype(np.float32)
    every = nearest_neighbors(X, 5)
    some = nearest_neighbors(X, 5, n_anchors=40, random_state=3)
    assert some.distances.shape == (40, 5)
    assert len(set(some.queries)) == 40
    np.testing.assert_allclose(some.distances, every.distances[some.queries], rtol=1e-9)
    assert not np.array_equal(some.queries, nearest_neighbors(X, 5, n_anchors=40, random_state=4).queries)
    assert len(nearest_neighbors(X, 5, n_anchors=300).queries) == 300


def test_near_duplicates_keep_their_distance():
    # the expanded square ||x||^2 - 2 x.y + ||y||^2 would give 0 or noise here
    X = np.random.default_rng(0).normal(size=(100, 30))
    X[1] = X[0]
    X[1, 0] += 1e-9
    assert nearest_neighbors(X, 3).distances[0, 0] == pytest.approx(1e-9, rel=1e-6)


def test_rows_in_place_of_a_draw():
    X = np.random.default_rng(0).normal(size=(100, 9))
    rows = np.array([3, 50, 99])
    found = nearest_neighbors(X, 4, rows=rows)
    np.testing.assert_array_equal(found.queries, rows)
    np.testing.assert_array_equal(found.indices, nearest_neighbors(X, 4).indices[rows])


@pytest.mark.parametrize("n_columns", [2, 12])
@pytest.mark.parametrize("n_neighbors", [1, 5, 80])
def test_nearest_points_equal_full_sort(n_columns, n_neighbors):
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(80, n_columns)), rng.normal(size=(30, n_columns))
    queries[0] = points[4]
    distances, rows = nearest_points(points, queries, n_neighbors)
    expected = cdist(queries, points)
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :n_neighbors], rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(rows, np.argsort(expected, axis=1)[:, :n_neighbors])


@pytest.mark.slow  # compiles for long
def test_pynndescent_is_repeatable_and_leaves_seeds_and_threads_alone():
    X = np.random.default_rng(0).normal(size=(5000, 12))
    numpys, torchs, n_threads = np.random.get_state()[1].copy(), torch.get_rng_state(), torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # numba starts with a thread for each core
        first, second = (nearest_neighbors(X, 10, backend="pynndescent", random_state=3) for _ in range(2))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(n_threads)
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(np.random.get_state()[1], numpys)
    assert torch.equal(torch.get_rng_state(), torchs)
    exact = nearest_neighbors(X, 10, backend="exact")
    recall = np.mean([np.isin(a, b).mean() for a, b in zip(first.indices, exact.indices, strict=True)])
    assert recall > 0.95
    assert (first.exact, exact.exact) == (False, True)
    assert np.all(first.distances >= exact.distances - 1e-12)


def test_draw_rows():
    rows = draw_rows(1000, 100, random_state=1)
    assert len(set(rows)) == 100
    assert np.all(np.diff(rows) > 0)
    np.testing.assert_array_equal(rows, draw_rows(1000, 100, random_state=1))
    assert not np.array_equal(rows, draw_rows(1000, 100, random_state=2))
    for n_drawn in (None, 5, 6):
        np.testing.assert_array_equal(draw_rows(5, n_drawn), np.arange(5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X: nearest_neighbors(X, 30), "each of 30 points has 29 others, not n_neighbors=30"),
        (lambda X: nearest_neighbors(X, 2, backend="faiss"), "choose one of auto, exact, tree"),
        (lambda X: nearest_neighbors(X, 2, n_anchors=0), "n_anchors=0 must be an integer of at least 1"),
        (lambda X: nearest_neighbors(X, 2, n_anchors=3, rows=np.arange(3)), "pass one of them"),
        (lambda X: nearest_points(X, X, 31), "30 points are too few for n_neighbors=31"),
        (lambda X: draw_rows(5, 2.5), "n_queries=2.5 must be .* or None for all"),
        (lambda X: draw_rows(5, True), "n_queries=True"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0).normal(size=(30, 8)))


@pytest.mark.parametrize(
    ("n_columns", "n_queries", "backend", "chosen"),
    [
        (6, 10**6, "auto", "tree"),
        (7, 200_000, "auto", "brute"),
        (7, 200_001, "auto", "pynndescent"),
        (7, 200_001, "exact", "brute"),
        (7, 10, "tree", "tree"),
    ],
)
def test_choice_of_the_backend(n_columns, n_queries, backend, chosen):
    assert _choose(backend, n_columns, n_queries, "cpu") == chosen
    assert backend == "tree" or _choose(backend, n_columns, n_queries, "cuda") == "brute"


def test_number_of_threads_is_restored_and_does_not_matter():
    X = np.random.default_rng(0).normal(size=(3000, 20))
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        three = nearest_neighbors(X, 10)
        assert torch.get_num_threads() == 3
        torch.set_num_threads(1)
        np.testing.assert_array_equal(nearest_neighbors(X, 10).indices, three.indices)
    finally:
        torch.set_num_threads(n_threads)
