import numpy as np
import pytest
from scipy.stats import kstest

from clipdim import datasets


def test_formula():
    mdata = datasets.linear()
    x, y = mdata["x"].X, mdata["y"].X
    assert x.shape == y.shape == (12_000, 20)
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_array_equal(x[:, :5], y[:, :5])
    np.testing.assert_array_equal(mdata.obsm["shared_latent"], y[:, :5])
    assert mdata.uns["truth"]["n_shared"] == 5
    correlation = np.corrcoef(x.T, y.T)
    expected = np.eye(40) + np.diag([1.0] * 5 + [0] * 15, 20) + np.diag([1.0] * 5 + [0] * 15, -20)
    np.testing.assert_allclose(correlation, expected, atol=5 / np.sqrt(len(x)))
    for feature in np.hstack([x, y]).T:
        assert kstest(feature, "norm").pvalue > 1e-4


@pytest.mark.parametrize("make", [datasets.linear, datasets.nonlinear])
def test_arguments(make):
    mdata = make(50, n_dims=3, n_shared=3, random_state=7)
    assert mdata["x"].shape == mdata["y"].shape == (50, 3)
    np.testing.assert_array_equal(mdata["y"].X, make(50, n_dims=3, n_shared=1, random_state=7)["y"].X)
    assert not np.array_equal(mdata["y"].X, make(50, n_dims=3, n_shared=3)["y"].X)
    state = np.random.get_state()[1].copy()
    np.testing.assert_array_equal(mdata["x"].X, make(50, n_dims=3, n_shared=3, random_state=7)["x"].X)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    for bad, match in (
        ({"n_shared": 4}, "n_shared=4 dimensions cannot be shared by modalities of n_dims=3"),
        ({"n_shared": 0}, "n_shared=0 .* integer of at least 1"),
        ({"n_cells": 10.0}, r"n_cells=10\.0 .* integer"),
        ({"n_dims": "3"}, "n_dims='3' .* integer"),
        ({"random_state": -1}, "random_state=-1 .* at least 0"),
    ):
        with pytest.raises(ValueError, match=match):
            make(**{"n_cells": 50, "n_dims": 3, "n_shared": 3, **bad})
