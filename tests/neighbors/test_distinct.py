import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from clipdim.neighbors import distinct_points


def test_distinct_points():
    X = np.random.default_rng(0).normal(size=(50, 4))
    repeated = np.concatenate([X, X[[3, 3, 7]], X[:2]])
    rows, point = distinct_points(repeated)
    np.testing.assert_array_equal(rows, np.arange(50))
    np.testing.assert_array_equal(point, [*range(50), 3, 3, 7, 0, 1])


def test_distinct_points_ignores_rounding_of_the_dtype():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 32)).astype(np.float32)
    noisy = (X * (1 + rng.uniform(-1e-7, 1e-7, X.shape))).astype(np.float32)
    assert len(distinct_points(np.concatenate([X, noisy]))[0]) == 200
    assert len(distinct_points(np.concatenate([X, noisy]).astype(np.float64))[0]) > 200


def test_edge_cases():
    assert len(distinct_points(np.zeros((1000, 3)))[0]) == 1
    assert len(distinct_points(np.array([[0.0], [-0.0], [1.0]]))[0]) == 2
    rows, point = distinct_points(np.array([[2.0, 1.0]]))
    assert (rows.tolist(), point.tolist()) == ([0], [0])


@pytest.mark.parametrize("n_columns", [1, 5, 32])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_single_linkage(n_columns, dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, n_columns))
    # around some points clouds as wide as the tolerance
    near = np.repeat(X[:20], 8, axis=0)
    near += 8 * np.finfo(dtype).eps * rng.normal(size=near.shape)
    X = rng.permutation(np.concatenate([X, near])).astype(dtype)
    tolerance = 16 * np.finfo(dtype).eps * np.sqrt(np.mean(np.sum(np.square(X, dtype=np.float64), axis=1)))
    label = fcluster(linkage(X.astype(np.float64), "single"), tolerance, "distance")
    first = np.sort(np.unique(label, return_index=True)[1])
    rows, point = distinct_points(X)
    # a chain of rows may be joined in another order, so that a link between two clouds is lost
    assert len(first) <= len(rows) <= 1.1 * len(first)
    assert all(label[rows[point[row]]] == label[row] for row in range(len(X)))
    assert np.all(point[rows] == np.arange(len(rows)))
    assert np.all(rows[point] <= np.arange(len(X)))


def test_thousands_of_rows_that_agree_to_within_rounding_take_no_longer():
    rng = np.random.default_rng(0)
    # the pairs among them would be 2 x 10^9
    collapsed = np.ones((60_000, 8)) + 2e-8 * rng.normal(size=(60_000, 8))
    rows, point = distinct_points(np.concatenate([rng.normal(size=(50, 8)), collapsed]).astype(np.float32))
    np.testing.assert_array_equal(rows, np.arange(51))
    assert set(point[50:]) == {50}
