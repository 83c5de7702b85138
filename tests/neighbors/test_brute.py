import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from clipdim.neighbors import brute, brute_force


def oracle(points, queries, k, own=None):
    distances = cdist(queries, points)
    if own is not None:
        distances[np.arange(len(queries)), own] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


@pytest.fixture
def passes(monkeypatch):
    """Precision and number of queries of each search."""
    made = []
    search = brute._search

    def recording(exact, asked, own, k, dtype):
        made.append((dtype, len(asked)))
        return search(exact, asked, own, k, dtype)

    monkeypatch.setattr(brute, "_search", recording)
    return made


# 20,000 points are several tiles
@pytest.mark.parametrize("n", [2, 25, 26, 300, 900, 20_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_full_sort(n, dtype):
    X = np.random.default_rng(0).normal(size=(n, 9)).astype(dtype)
    own = np.arange(n)[:: max(1, n // 100)]
    for k in {1, min(20, n - 1), min(300, n - 1)}:
        distances, rows = brute_force(X, X[own], k, own=own)
        expected, order = oracle(X, X[own], k, own)
        np.testing.assert_allclose(distances, expected, rtol=1e-12)
        np.testing.assert_array_equal(rows, order)


def test_queries_apart_from_the_points(passes):
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(3000, 32)), rng.normal(size=(50, 32)) + 3
    distances, rows = brute_force(points, queries, 10)
    expected, order = oracle(points, queries, 10)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)
    np.testing.assert_array_equal(rows, order)
    # float32 found candidates and proved them
    assert passes == [(torch.float32, 50)]


def crowded(n):
    """Clusters far apart for their width, which float32 cannot resolve."""
    rng = np.random.default_rng(0)
    return np.repeat(rng.normal(size=(10, 16)), n // 10, axis=0) + 1e-6 * rng.normal(size=(n, 16))


def far(n):
    X = np.random.default_rng(0).normal(size=(n, 16))
    X[0] *= 1e8
    return X


@pytest.mark.parametrize(
    "X",
    [
        crowded(1000),
        far(1000),
        1e30 * np.random.default_rng(0).normal(size=(1000, 8)),
        1e-30 * np.random.default_rng(0).normal(size=(1000, 8)),
        np.random.default_rng(0).normal(size=(1000, 8)) + 1e7,
    ],
    ids=["crowded", "outlier", "huge", "tiny", "shifted"],
)
def test_what_float32_cannot_prove_is_searched_in_float64(X, passes):
    own = np.arange(len(X))
    distances, _ = brute_force(X, X, 10, own=own)
    np.testing.assert_allclose(distances, oracle(X, X, 10, own)[0], rtol=1e-6)
    assert passes[0][0] == torch.float32


def test_crowded_points_need_float64(passes):
    X = crowded(1000)
    brute_force(X, X, 10, own=np.arange(1000))
    assert passes == [(torch.float32, 1000), (torch.float64, 1000)]


def test_equal_points():
    distances, rows = brute_force(np.ones((500, 8)), np.ones((3, 8)), 20)
    np.testing.assert_array_equal(distances, 0)
    assert all(len(set(row)) == 20 for row in rows)


def test_order_of_the_points_does_not_matter():
    # sorted points have all neighbours in one group
    X = np.sort(np.random.default_rng(0).normal(size=(5000, 1)), axis=0) @ np.ones((1, 8))
    expected = oracle(X, X[:50], 15)[0]
    np.testing.assert_allclose(brute_force(X, X[:50], 15)[0], expected, rtol=1e-12, atol=1e-15)


def test_lowered_precision_of_products_is_not_trusted(passes):
    X = np.random.default_rng(0).normal(size=(200, 8))
    torch.set_float32_matmul_precision("medium")
    try:
        brute_force(X, X, 3)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert passes == [(torch.float64, 200)]


@pytest.mark.gpu
def test_cuda_equals_full_sort():
    X = np.random.default_rng(0).normal(size=(20_000, 32))
    own = np.arange(0, 20_000, 100)
    distances, rows = brute_force(X, X[own], 20, own=own, device="cuda")
    expected, order = oracle(X, X[own], 20, own)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)
    np.testing.assert_array_equal(rows, order)
