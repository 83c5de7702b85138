import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from clipdim.evaluation import loadings
from clipdim.evaluation.loadings import correlations


@pytest.fixture
def cells():
    """Features, many of them 0 or constant, and positions, of which some cells have none."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(90, 3)) + 5
    X = (rng.normal(size=(90, 11)) + Z @ rng.normal(size=(3, 11))).astype(np.float32)
    X[rng.random(X.shape) < 0.6] = 0
    X[:, 4], X[:, 7] = 0, 3.3
    Z[rng.random(90) < 0.2] = np.nan
    return X, Z


def naive(X, Z):
    """Pandas leaves out cells with NaN and gives NaN for what is constant."""
    X, Z = pd.DataFrame(X.astype(float)), pd.DataFrame(Z)
    found = [[X[i][Z[k].notna()].corr(Z[k].dropna()) for k in Z] for i in X]
    return np.where((X[Z[0].notna()].std() == 0).to_numpy()[:, None], np.nan, found)


@pytest.mark.parametrize("block", [2**24, 11, 30, 64])
@pytest.mark.parametrize("kind", [np.asarray, csr_matrix, csc_matrix])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_equals_pandas(cells, kind, block, monkeypatch):
    monkeypatch.setattr(loadings, "NUMBERS_PER_BLOCK", block)
    X, Z = cells
    found = correlations(kind(X), Z)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, naive(X, Z), atol=1e-12)
    assert np.isnan(found[[4, 7]]).all()
    assert np.isnan(found).sum() == 6


@pytest.mark.parametrize("sparse", [False, True])
def test_reads_files_and_dask(cells, sparse, tmp_path):
    X, Z = cells
    expected = correlations(X, Z)
    anndata.AnnData(csr_matrix(X) if sparse else X).write_h5ad(tmp_path / "x.h5ad")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    np.testing.assert_allclose(correlations(backed.X, Z), expected, atol=1e-12)
    backed.file.close()
    dask = pytest.importorskip("dask.array")
    np.testing.assert_allclose(correlations(dask.from_array(X, chunks=(7, 4)), Z), expected, atol=1e-12)


def test_sparse_matrices_stay_sparse(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError

    X = csr_matrix(([1.0, 2.0, 1.0], ([0, 1, 2], [5, 5, 9])), shape=(5, 20))
    for name in ("toarray", "todense"):
        monkeypatch.setattr(csr_matrix, name, refuse)
    found = correlations(X, np.arange(5.0)[:, None])
    assert np.isfinite(found[[5, 9], 0]).all()
    assert np.isnan(found).sum() == 18


def test_large_means_and_integers():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 1))
    x = z + rng.normal(size=(200, 1))
    expected = np.corrcoef(x[:, 0], z[:, 0])[0, 1]
    assert correlations(x + 1e5, z - 1e5)[0, 0] == pytest.approx(expected, abs=1e-6)
    counts = rng.poisson(3, size=(200, 2)).astype(np.uint8) + 200
    np.testing.assert_allclose(correlations(counts, z), naive(counts, z))
    assert np.isnan(correlations(x, np.full((200, 1), 0.1))).all()


def test_constants_that_no_float_holds_have_no_correlation():
    """Their variance is not 0 but rounding, which would correlate with anything."""
    z = np.random.default_rng(0).normal(size=(1_000, 2))
    X = np.tile([0.1, 0.3, 1 / 3, 1e6 / 3], (1_000, 1))
    assert np.isnan(correlations(X, z)).all()
    assert np.isnan(correlations(X.astype(np.float32), z)).all()
    assert np.isnan(correlations(csr_matrix(X), z)).all()
    varies = X + 1e-4 * X.mean() * z[:, :1]
    np.testing.assert_allclose(correlations(varies[:, :1], z), [[1, np.corrcoef(z.T)[0, 1]]], atol=1e-9)


def test_bad_input(cells):
    X, Z = cells
    with pytest.raises(ValueError, match="of the same cells"):
        correlations(X[:80], Z)
    with pytest.raises(ValueError, match="of the same cells"):
        correlations(X, Z[:, 0])
    with pytest.raises(ValueError, match="at least 3 cells with a finite position"):
        correlations(X, np.full_like(Z, np.nan))
    with pytest.raises(ValueError, match="at least 3 cells with a finite position"):
        correlations(X, np.where(np.isnan(Z), np.inf, Z))
    without = int(np.flatnonzero(np.isnan(Z[:, 0]))[0])
    X[without, 0] = np.nan
    correlations(X, Z)
    X[np.flatnonzero(~np.isnan(Z[:, 0]))[0], 1] = np.inf
    for kind in (np.asarray, csr_matrix):
        with pytest.raises(ValueError, match="NaN or infinite values in rows 0 to 89"):
            correlations(kind(X), Z)
