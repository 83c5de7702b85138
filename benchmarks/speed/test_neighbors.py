"""Nearest neighbours and what rests on them: the dimension and the ranks of the matches."""

from collections.abc import Callable

import numpy as np
import pytest

from clipdim import dimension, evaluation
from clipdim.neighbors import nearest_neighbors

N_CELLS = 12_000


def points(n_points: int, n_columns: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    found = rng.normal(size=(n_points, 8)) @ rng.normal(size=(8, n_columns))
    return found + 0.1 * rng.normal(size=found.shape)


def make_dimension(how: str, size: int) -> Callable:
    from skdim.id import MLE

    X = points(size, 32)
    return {
        "scikit-dimension": lambda: MLE().fit(X, n_neighbors=20).dimension_,
        "all points": lambda: dimension.mle(X),
        "2,000 anchors": lambda: dimension.mle(X, n_anchors=2_000),
    }[how]


def make_neighbors(how: str, size: int, n_columns: int) -> Callable:
    from sklearn.neighbors import NearestNeighbors

    X = points(size, n_columns)
    if how == "scikit-learn":
        return lambda: NearestNeighbors(n_neighbors=21, algorithm="brute").fit(X).kneighbors(X)
    return lambda: nearest_neighbors(X, 20, backend=how)


def make_ranks(how: str, size: int) -> Callable:
    u, v = np.random.default_rng(0).normal(size=(2, size, 32)).astype(np.float32)

    def two_comparisons() -> np.ndarray:
        found = np.empty(size)
        for start in range(0, size, 512):
            similarity = u[start : start + 512] @ v.T
            own = np.diagonal(similarity, offset=start).copy()[:, None]
            closer = np.count_nonzero(similarity > own, axis=1)
            found[start : start + 512] = (1 + closer + np.count_nonzero(similarity >= own, axis=1)) / 2
        return found

    return {
        "numpy, two comparisons": two_comparisons,
        "all cells": lambda: evaluation.ranks(u, v),
        "2,000 queries": lambda: evaluation.match_scores(u, v, n_queries=2_000),
    }[how]


@pytest.mark.parametrize("how", ["scikit-dimension", "all points", "2,000 anchors"])
def test_dimension(compare, how):
    group = "dimension, 12,000 x 32"
    found = compare(make_dimension, group, how, N_CELLS, baseline="scikit-dimension", rounds=5, small=100)
    expected = make_dimension("scikit-dimension", N_CELLS)()
    assert found == pytest.approx(expected, abs=0.05 if how == "2,000 anchors" else 1e-6 * expected)


@pytest.mark.parametrize("n_columns", [4, 6, 8, 32])
@pytest.mark.parametrize("how", ["scikit-learn", "tree", "brute"])
def test_neighbors(compare, how, n_columns):
    if how == "tree" and n_columns == 32:
        pytest.skip("takes too long")

    def make(how: str, size: int) -> Callable:
        return make_neighbors(how, size, n_columns)

    group = f"20 neighbours, 12,000 x {n_columns}"
    compare(make, group, how, N_CELLS, baseline="scikit-learn", rounds=3)


@pytest.mark.parametrize("how", ["numpy, two comparisons", "all cells", "2,000 queries"])
def test_ranks(compare, how):
    compare(
        make_ranks,
        "ranks, 12,000 cells",
        how,
        N_CELLS,
        baseline="numpy, two comparisons",
        rounds=3,
        small=3_000,
    )
