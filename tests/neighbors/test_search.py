import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_info

from clipdim.neighbors import draw_rows, nearest_neighbors, nearest_points
from clipdim.neighbors.search import _choose


def oracle(points, queries, k, own=None):
    """All distances from differences, in float64, and a stable sort."""
    distances = cdist(queries, points)
    if own is not None:
        distances[np.arange(len(queries)), own] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


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


@pytest.mark.parametrize("n", [2, 25, 26, 300, 900, 5_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_brute_force_equals_full_sort(n, dtype):
    X = np.random.default_rng(0).normal(size=(n, 9)).astype(dtype)
    rows = np.arange(n)[:: max(1, n // 100)]
    for k in {1, min(20, n - 1), min(300, n - 1)}:
        found = nearest_neighbors(X, k, rows=rows, backend="brute")
        expected, order = oracle(X, X[rows], k, rows)
        np.testing.assert_allclose(found.distances, expected, rtol=1e-12)
        np.testing.assert_array_equal(found.indices, order)


def clusters(width):
    rng = np.random.default_rng(0)
    return np.repeat(rng.normal(size=(10, 16)), 200, axis=0) + width * rng.normal(size=(2000, 16))


def far(n):
    X = np.random.default_rng(0).normal(size=(n, 16))
    X[0] *= 1e8
    return X


@pytest.mark.parametrize(
    "X",
    [
        clusters(1e-3),
        clusters(3e-4),
        clusters(1e-6),
        far(1000),
        1e30 * np.random.default_rng(0).normal(size=(1000, 8)),
        1e-30 * np.random.default_rng(0).normal(size=(1000, 8)),
        np.random.default_rng(0).normal(size=(1000, 8)) + 1e7,
        # a line, all neighbours of a point beside it
        np.sort(np.random.default_rng(0).normal(size=(2000, 1)), axis=0) @ np.ones((1, 8)),
    ],
    ids=["clusters", "tight", "tightest", "outlier", "huge", "tiny", "shifted", "line"],
)
def test_neighbors_that_single_precision_would_confuse(X):
    own = np.arange(len(X))
    expected, order = oracle(X, X, 10, own)
    found = nearest_neighbors(X, 10)
    np.testing.assert_allclose(found.distances, expected, rtol=1e-9)
    assert np.mean(found.indices == order) > 0.999  # but for neighbours at equal distances
    np.testing.assert_allclose(nearest_points(X, X[:200], 10)[0], oracle(X, X[:200], 10)[0], rtol=1e-9)


@pytest.mark.parametrize("n_columns", [3, 9])
def test_of_equally_distant_points_the_first_comes_first(n_columns):
    rng = np.random.default_rng(0)
    # a grid, no more points at one distance than the candidates that are spare
    X = np.zeros((400, n_columns))
    X[:, :2] = rng.permutation(np.stack(np.divmod(np.arange(400), 20), axis=1))
    distances, rows = nearest_points(X, X, 4)
    for found, row in zip(distances, rows, strict=True):
        assert all(row[i] < row[i + 1] for i in range(3) if found[i] == found[i + 1])
    every = nearest_neighbors(X, 4)
    np.testing.assert_array_equal(every.indices[:, :3], rows[:, 1:])


@pytest.mark.parametrize("n_columns", [3, 8])
def test_equal_points(n_columns):
    distances, rows = nearest_points(np.ones((500, n_columns)), np.ones((3, n_columns)), 20)
    np.testing.assert_array_equal(distances, 0)
    assert all(len(set(row)) == 20 for row in rows)
    found = nearest_neighbors(np.ones((500, n_columns)), 20)
    assert not (found.indices == found.queries[:, None]).any()


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
        (lambda X: nearest_neighbors(X, 2, backend="faiss"), r"backend must be one of \['auto', 'exact', 'tree'"),
        (lambda X: nearest_neighbors(X, 2, n_anchors=0), "n_anchors must be an integer of at least 1, got 0"),
        (lambda X: nearest_neighbors(X, 2, n_anchors=3, rows=np.arange(3)), "pass one of them"),
        (lambda X: nearest_points(X, X, 31), "30 points are too few for n_neighbors=31"),
        (lambda X: draw_rows(5, 2.5), "n_queries must be an integer .* got 2.5; .* or None for all"),
        (lambda X: draw_rows(5, True), "n_queries must be .* got True"),
        (lambda X: draw_rows(5, None, random_state=-1), "random_state must be an integer of at least 0 .* got -1"),
        (lambda X: draw_rows(5, None, random_state="a"), "random_state must be an integer .* got 'a'"),
        (lambda X: nearest_neighbors(X, 2, random_state=1.5), "random_state must be an integer .* got 1.5"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
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
    assert _choose(backend, n_columns, n_queries) == chosen


def openmp_threads():
    return {one["filepath"]: one["num_threads"] for one in threadpool_info() if one["user_api"] == "openmp"}


def test_number_of_threads_is_restored_and_does_not_matter():
    X = np.random.default_rng(0).normal(size=(3000, 20))
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        before = openmp_threads()
        three = nearest_neighbors(X, 10)
        assert torch.get_num_threads() == 3
        assert openmp_threads() == before
        torch.set_num_threads(1)
        np.testing.assert_array_equal(nearest_neighbors(X, 10).indices, three.indices)
    finally:
        torch.set_num_threads(n_threads)
