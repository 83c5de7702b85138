import numpy as np
import pytest

from clipdim import datasets


@pytest.mark.parametrize("n_shared", [1, 2, 5])
def test_formula(n_shared):
    mdata = datasets.nonlinear(2_000, n_shared=n_shared)
    x, y = mdata["x"].X, mdata["y"].X
    assert x.dtype == np.float32
    for of_x, of_y in zip(x, y, strict=True):
        expected = [
            of_y[0] if of_y[0] < 0 else 0,
            of_y[1] if of_y[0] + of_y[1] > 0.5 else 0,
            *(value if value > 0 else 0 for value in of_y[2:]),
        ]
        np.testing.assert_array_equal(of_x[:n_shared], expected[:n_shared])
    correlation = np.corrcoef(x.T, y.T)[:20, 20:]
    assert np.abs(correlation[n_shared:]).max() < 5 / np.sqrt(len(x))
    np.testing.assert_array_equal(mdata.obsm["shared"], y[:, :n_shared])
