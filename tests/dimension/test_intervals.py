import numpy as np
import pytest

from clipdim.dimension.intervals import compact_blocks, jackknife_standard_error, overlap_standard_error
from clipdim.neighbors import nearest_neighbors


@pytest.mark.parametrize("n_anchors", [None, 25])
def test_overlap_equals_double_sum_over_pairs(n_anchors):
    rng = np.random.default_rng(0)
    neighbors = nearest_neighbors(rng.normal(size=(60, 2)), 4, n_anchors=n_anchors)
    values = rng.normal(size=len(neighbors.queries))
    sets = [{query, *row} for query, row in zip(neighbors.queries, neighbors.indices, strict=True)]
    centred = values - values.mean()
    total = sum(
        a * b * len(one & other) / 5
        for a, one in zip(centred, sets, strict=True)
        for b, other in zip(centred, sets, strict=True)
    )
    assert overlap_standard_error(values, neighbors) == pytest.approx(np.sqrt(total) / len(values))


@pytest.mark.parametrize("n_blocks", [1, 3, 20, 50])
def test_blocks_cover_all_points_once_and_are_even(n_blocks):
    blocks = compact_blocks(np.random.default_rng(0).normal(size=(50, 4)), n_blocks)
    assert sorted(np.concatenate(blocks)) == list(range(50))
    assert len(blocks) == n_blocks
    assert max(map(len, blocks)) <= 2 * min(map(len, blocks)) + 1


def test_blocks_are_compact():
    X = np.random.default_rng(0).uniform(size=(4000, 2))
    within = np.mean([X[block].std(axis=0) for block in compact_blocks(X, 16)])
    assert within < 0.4 * X.std()


def test_jackknife_of_the_mean_equals_the_textbook():
    values = np.random.default_rng(0).normal(size=40)
    blocks = list(np.arange(40)[:, None])
    assert jackknife_standard_error(np.mean, values, blocks) == pytest.approx(values.std(ddof=1) / np.sqrt(40))
