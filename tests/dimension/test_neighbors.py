import numpy as np
import pytest
from scipy.spatial.distance import cdist

from clipdim.dimension import distinct_points, nearest_neighbors


@pytest.mark.parametrize("n_columns", [1, 3, 10, 11, 40])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_neighbors_equal_full_sort(n_columns, offset):
    X = np.random.default_rng(0).normal(size=(300, n_columns)) + offset
    expected = cdist(X, X)
    np.fill_diagonal(expected, np.inf)
    found = nearest_neighbors(X, 7)
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


def test_distinct_points_edge_cases():
    assert len(distinct_points(np.zeros((1000, 3)))[0]) == 1
    assert len(distinct_points(np.array([[0.0], [-0.0], [1.0]]))[0]) == 2
