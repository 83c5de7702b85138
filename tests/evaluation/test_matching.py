import tracemalloc

import numpy as np
import pytest

from clipdim.evaluation import match_scores, ranks


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    u = rng.normal(size=(120, 6)).astype(np.float32)
    return u, (u + rng.normal(size=u.shape)).astype(np.float32)


def naive_ranks(u, v):
    return np.array([1 + sum(float(u[i] @ v[j]) > float(u[i] @ v[i]) for j in range(len(u))) for i in range(len(u))])


@pytest.mark.parametrize("block_size", [None, 1, 7, 120, 500])
def test_ranks_equal_double_loop(pair, block_size):
    np.testing.assert_array_equal(ranks(*pair, block_size=block_size), naive_ranks(*pair))


def test_scores_equal_definitions(pair):
    rank = naive_ranks(*pair)
    scores = match_scores(*pair, alpha=0.05, k=(1, 3))
    assert scores.n_cells == 120
    assert scores.top_alpha == np.mean(rank <= 6)
    assert scores.recall == {1: np.mean(rank == 1), 3: np.mean(rank <= 3)}
    assert scores.median_rank == np.median(rank)
    u, v = pair
    closer = [np.mean([u[i] @ v[j] > u[i] @ v[i] for j in range(120) if j != i]) for i in range(120)]
    assert scores.foscttm == pytest.approx(np.mean(closer))


def test_top_alpha_is_at_least_one_cell(pair):
    assert match_scores(*pair, alpha=0.005, k=(1,)).top_alpha == match_scores(*pair, k=(1,)).recall[1]


def test_direction_matters(pair):
    np.testing.assert_array_equal(ranks(*pair[::-1]), naive_ranks(*pair[::-1]))
    assert not np.array_equal(ranks(*pair), ranks(*pair[::-1]))


def test_perfect_and_collapsed_embeddings():
    perfect = match_scores(np.eye(50), np.eye(50))
    assert (perfect.foscttm, perfect.median_rank, perfect.recall[1]) == (0, 1, 1)
    collapsed = match_scores(np.ones((50, 3)), np.ones((50, 3)))
    assert (collapsed.foscttm, collapsed.top_alpha) == (0.5, 0)
    assert match_scores(np.ones((1, 3)), np.ones((1, 3))).foscttm == 0


def test_a_repeated_cell_counts_half(pair):
    u, v = np.eye(4)[[0, 1, 2, 2]], np.eye(4)[[0, 1, 2, 2]]
    assert ranks(u, v).tolist() == [1, 1, 1.5, 1.5]


def test_random_embeddings_are_at_chance():
    rng = np.random.default_rng(0)
    scores = match_scores(rng.normal(size=(1000, 8)), rng.normal(size=(1000, 8)))
    assert scores.foscttm == pytest.approx(0.5, abs=0.03)


def test_memory_does_not_grow_with_the_square():
    u = np.random.default_rng(0).normal(size=(8000, 4)).astype(np.float32)
    tracemalloc.start()
    ranks(u, u)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8000**2 * 4 / 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": np.ones((3, 2))}, r"one shape .* \(3, 2\) and \(120, 6\)"),
        ({"u": np.ones(120)}, "one shape"),
        ({"u": np.full((120, 6), np.nan)}, "NaN or infinity"),
        ({"alpha": 0}, "alpha must be a number above 0 and at most 1, got 0; for instance"),
        ({"alpha": 1.5}, "alpha must be .* got 1.5"),
        ({"k": (1, 0)}, r"each k must be an integer of at least 1, got 0; for instance \(1, 10, 50\)"),
    ],
)
def test_bad_input(pair, change, message):
    arguments = {"u": pair[0], "v": pair[1], **change}
    with pytest.raises(ValueError, match=message):
        match_scores(arguments.pop("u"), arguments.pop("v"), **arguments)


def test_no_cells():
    with pytest.raises(ValueError, match="one shape"):
        ranks(np.ones((0, 2)), np.ones((0, 2)))


def test_k_must_be_several_numbers(pair):
    for k in (5, "15", None):
        with pytest.raises(TypeError, match=r"k must hold integers of at least 1, for instance \(1, 10, 50\), got"):
            match_scores(*pair, k=k)
    with pytest.raises(TypeError, match=r"each k must be an integer .* got 1\.5"):
        match_scores(*pair, k=(1.5,))
    assert match_scores(*pair, k=np.array([1, 3])).recall == match_scores(*pair, k=(1, 3)).recall


# 20,000 targets are several tiles
@pytest.mark.parametrize("n", [120, 20_000])
@pytest.mark.parametrize("block_size", [None, 13])
def test_ranks_of_some_rows_are_those_of_all(n, block_size):
    rng = np.random.default_rng(0)
    u, v = rng.integers(-3, 4, size=(2, n, 4)).astype(np.float32)  # many ties
    rows = rng.choice(n, 50, replace=False)
    similarity = u[rows] @ v.T
    own = similarity[np.arange(50), rows, None]
    expected = 1 + (similarity > own).sum(axis=1) + ((similarity == own).sum(axis=1) - 1) / 2
    np.testing.assert_array_equal(ranks(u, v, rows=rows, block_size=block_size), expected)


def test_scores_of_a_random_subset(pair):
    scores = match_scores(*pair, alpha=0.05, k=(3,), n_queries=40, random_state=5)
    rows = np.sort(np.random.default_rng(5).choice(120, 40, replace=False))
    rank = naive_ranks(*pair)[rows]
    assert (scores.n_cells, scores.n_queries) == (120, 40)
    assert (scores.top_alpha, scores.recall) == (np.mean(rank <= 6), {3: np.mean(rank <= 3)})
    assert scores.foscttm == pytest.approx(np.mean(rank - 1) / 119)
    assert match_scores(*pair, n_queries=None) == match_scores(*pair, n_queries=120) == match_scores(*pair)


def test_subset_is_without_bias(pair):
    found = [match_scores(*pair, n_queries=30, random_state=seed).foscttm for seed in range(400)]
    error = np.std(found) / np.sqrt(400)
    assert np.mean(found) == pytest.approx(match_scores(*pair).foscttm, abs=4 * error)


@pytest.mark.parametrize("n_queries", [0, -1, 2.5, "all", True])
def test_bad_number_of_queries(pair, n_queries):
    error = ValueError if type(n_queries) is int else TypeError
    with pytest.raises(error, match=r"n_queries must be an integer of at least 1, got .* or None for all"):
        match_scores(*pair, n_queries=n_queries)


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), ("a", TypeError), (2.0, TypeError), (None, TypeError)])
@pytest.mark.parametrize("n_queries", [None, 5])
def test_bad_seed_even_where_nothing_is_drawn(pair, n_queries, seed, error):
    with pytest.raises(error, match="random_state must be an integer of at least 0"):
        match_scores(*pair, n_queries=n_queries, random_state=seed)


@pytest.mark.parametrize("rows", [[], [0, 120], [-1], [0.5], [[1]], np.ones(120, dtype=bool)])
def test_bad_rows(pair, rows):
    with pytest.raises(ValueError, match=r"(?s)rows must be row numbers from 0 to 119.*numpy\.flatnonzero"):
        ranks(*pair, rows=rows)
