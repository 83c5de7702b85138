import mudata
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
    np.testing.assert_array_equal(mdata.obsm["shared"], y[:, :5])
    assert mdata.uns["truth"]["n_shared"] == 5
    correlation = np.corrcoef(x.T, y.T)
    expected = np.eye(40) + np.diag([1.0] * 5 + [0] * 15, 20) + np.diag([1.0] * 5 + [0] * 15, -20)
    np.testing.assert_allclose(correlation, expected, atol=5 / np.sqrt(len(x)))
    for feature in np.hstack([x, y]).T:
        assert kstest(feature, "norm").pvalue > 1e-4


def test_different_numbers_of_features(tmp_path):
    mdata = datasets.linear(200, 3, d_x=4, d_y=7)
    mdata.write(tmp_path / "linear.h5mu")
    for found in (mdata, mudata.read(tmp_path / "linear.h5mu")):
        assert found["x"].shape == (200, 4)
        assert found["y"].shape == (200, 7)
        assert list(found["y"].var_names) == [f"y_{i}" for i in range(1, 8)]
        np.testing.assert_array_equal(found["x"].X[:, :3], found["y"].X[:, :3])
        np.testing.assert_array_equal(found.obsm["shared"], found["y"].X[:, :3])


@pytest.mark.parametrize("make", [datasets.linear, datasets.nonlinear])
def test_nothing_shared(make, tmp_path):
    mdata = make(4_000, 0)
    mdata.write(tmp_path / "noise.h5mu")
    assert mudata.read(tmp_path / "noise.h5mu").obsm["shared"].shape == (4_000, 0)
    assert mdata.uns["truth"]["n_shared"] == 0
    assert np.abs(np.corrcoef(mdata["x"].X.T, mdata["y"].X.T)[:20, 20:]).max() < 5 / np.sqrt(4_000)


@pytest.mark.parametrize("make", [datasets.linear, datasets.nonlinear])
def test_arguments(make):
    small = {"d_x": 3, "d_y": 3}
    mdata = make(50, 3, **small, random_state=7)
    assert mdata["x"].shape == mdata["y"].shape == (50, 3)
    np.testing.assert_array_equal(mdata["y"].X, make(50, 1, **small, random_state=7)["y"].X)
    assert not np.array_equal(mdata["y"].X, make(50, 3, **small)["y"].X)
    state = np.random.get_state()[1].copy()
    np.testing.assert_array_equal(mdata["x"].X, make(50, 3, **small, random_state=7)["x"].X)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    for bad, match in (
        ({"n_shared": 4}, "n_shared=4 dimensions cannot be shared by modalities of d_x=3 and d_y=3; give at least 4"),
        ({"d_x": 2}, "n_shared=3 .* d_x=2 and d_y=3"),
        ({"d_y": 2}, "n_shared=3 .* d_x=3 and d_y=2"),
        ({"n_shared": -1}, "n_shared must be an integer of at least 0, got -1"),
        ({"n_cells": 10.0}, r"n_cells must be an integer of at least 1, got 10\.0"),
        ({"d_x": "3"}, "d_x must be .* got '3'"),
        ({"d_y": 0}, "d_y .* at least 1, got 0"),
        ({"random_state": -1}, "random_state .* at least 0 .* got -1"),
    ):
        error = ValueError if all(isinstance(value, int) for value in bad.values()) else TypeError
        with pytest.raises(error, match=match):
            make(**{"n_cells": 50, "n_shared": 3, **small, **bad})
