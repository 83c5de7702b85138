import numpy as np
import pytest
from scipy.spatial.distance import cdist

import clipdim.evaluation.votes as votes_module
from clipdim.evaluation.votes import votes, votes_among


def naive(points, codes, queries, n_neighbors, allowed=None):
    """One cell after the other: class, share and mean distance."""
    distances = cdist(queries, points)
    if allowed is not None:
        distances[~allowed] = np.inf
    results = []
    for row in distances:
        nearest = np.argsort(row)[:n_neighbors]
        weights = np.exp(-2 * (row[nearest] / row[nearest].max()) ** 2)
        totals = np.zeros(codes.max() + 1)
        for weight, code in zip(weights, codes[nearest], strict=True):
            totals[code] += weight
        results.append((totals.argmax(), totals.max() / totals.sum(), row[nearest].mean()))
    return tuple(map(np.array, zip(*results, strict=True)))


def assert_votes(found, expected):
    np.testing.assert_array_equal(found.code, expected[0])
    np.testing.assert_allclose(found.share, expected[1])
    np.testing.assert_allclose(found.distance, expected[2])


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 8)).astype(np.float32)
    return points, (points[:, 0] > 0) + (points[:, 1] > 0).astype(int), rng.normal(size=(70, 8)).astype(np.float32)


@pytest.mark.parametrize("n_neighbors", [1, 7, 200])
@pytest.mark.parametrize("block", [16, 16_384])
def test_votes_equal_a_loop(cells, n_neighbors, block, monkeypatch):
    monkeypatch.setattr(votes_module, "_BLOCK", block)
    points, codes, queries = cells
    assert_votes(votes(points, codes, queries, n_neighbors=n_neighbors), naive(points, codes, queries, n_neighbors))


def test_more_voters_than_cells(cells):
    points, codes, queries = cells
    assert_votes(votes(points, codes, queries, n_neighbors=999), naive(points, codes, queries, 200))
    assert votes_among(points[:3], codes[:3], np.arange(3), n_neighbors=15).share.shape == (3,)


def test_a_cell_does_not_vote_on_itself(cells):
    points, codes, _ = cells
    rows = np.arange(0, 200, 3)
    allowed = np.arange(200) != rows[:, None]
    expected = naive(points, codes, points[rows], 7, allowed)
    assert_votes(votes_among(points, codes, rows, n_neighbors=7), expected)
    one_group = np.zeros(200, dtype=int)
    assert_votes(votes_among(points, codes, rows, groups=one_group, n_neighbors=7), expected)


def test_only_other_groups_vote(cells):
    points, codes, _ = cells
    rows = np.arange(0, 200, 3)
    groups = np.random.default_rng(1).integers(4, size=200)
    expected = naive(points, codes, points[rows], 7, groups != groups[rows][:, None])
    assert_votes(votes_among(points, codes, rows, groups=groups, n_neighbors=7), expected)


def test_copies_share_the_vote():
    found = votes(np.zeros((4, 3)), np.array([0, 1, 1, 1]), np.zeros((1, 3)), n_neighbors=4)
    assert (found.code.tolist(), found.share.tolist(), found.distance.tolist()) == ([1], [0.75], [0])


@pytest.mark.parametrize("n_neighbors", [0, -1, 1.5, True])
def test_number_of_neighbours(cells, n_neighbors):
    points, codes, queries = cells
    error = ValueError if type(n_neighbors) is int else TypeError
    with pytest.raises(error, match=f"n_neighbors must be an integer of at least 1, got {n_neighbors}"):
        votes(points, codes, queries, n_neighbors=n_neighbors)


def test_nobody_votes(cells):
    points, codes, queries = cells
    with pytest.raises(ValueError, match="no labelled cell"):
        votes(points[:0], codes[:0], queries)
    with pytest.raises(ValueError, match="no labelled cell"):
        votes_among(points[:1], codes[:1], np.array([0]))
