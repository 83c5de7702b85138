"""``pp.protein`` against muon, scanpy and the formula of the centred log ratio."""

import numpy as np
import pytest
import scanpy as sc
from muon import prot
from scipy import sparse

from clipdim import pp


def ratio(counts):
    """Centred log ratio as written in the docstring, one protein at a time."""
    out = np.empty(counts.shape)
    for j in range(counts.shape[1]):
        mean = sum(np.log(1 + value) for value in counts[:, j].astype(float)) / len(counts)
        out[:, j] = np.log(1 + counts[:, j].astype(float) / np.exp(mean))
    return out


def test_equals_muon_and_scanpy_by_hand(mdata):
    adata = sc.AnnData(mdata["prot"].X.astype(np.float64))
    prot.pp.clr(adata)
    assert pp.protein(mdata) is None
    np.testing.assert_allclose(mdata["prot"].X, adata.X, atol=1e-5)
    sc.pp.scale(adata, max_value=10)
    sc.pp.pca(adata, n_comps=11, svd_solver="full")
    ours, theirs = mdata["prot"].obsm["X_pca"], adata.obsm["X_pca"]
    assert ours.shape == (300, 11)
    assert ours.dtype == mdata["prot"].X.dtype == np.float32
    np.testing.assert_allclose(ours * np.sign((ours * theirs).sum(axis=0)), theirs, atol=1e-3)
    np.testing.assert_allclose(mdata["prot"].uns["pca"]["variance"], adata.uns["pca"]["variance"], rtol=1e-4)


def test_ratios_are_within_batches(mdata):
    counts, batch = mdata["prot"].X.copy(), mdata.obs["batch"].to_numpy()
    pp.protein(mdata, batch_key="batch")
    for name in ("a/1", "b"):
        np.testing.assert_allclose(mdata["prot"].X[batch == name], ratio(counts[batch == name]), atol=1e-5)


def test_a_batch_effect_of_scale_disappears(mdata):
    counts, batch = mdata["prot"].X.copy(), mdata.obs["batch"].to_numpy() == "b"
    counts[batch] *= 4
    mdata["prot"].X = counts
    pooled = pp.protein(mdata, copy=True)["prot"].X
    within = pp.protein(mdata, batch_key="batch", copy=True)["prot"].X
    gap = [np.abs(X[batch].mean(axis=0) - X[~batch].mean(axis=0)).mean() for X in (pooled, within)]
    assert gap[1] < 0.2 * gap[0]


@pytest.mark.parametrize(
    "to", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.csc_array, np.asfortranarray]
)
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint16])
def test_storage_and_dtype_of_the_counts_do_not_matter(mdata, to, dtype):
    other = mdata.copy()
    other["prot"].X = to(mdata["prot"].X.astype(dtype))
    before = other["prot"].X.copy()
    pp.protein(mdata)
    pp.protein(other)
    np.testing.assert_array_equal(other["prot"].obsm["X_pca"], mdata["prot"].obsm["X_pca"])
    kept = other["prot"].layers["counts"]
    assert kept.dtype == dtype
    assert abs(kept - before).max() == 0
    assert isinstance(other["prot"].X, np.ndarray)


def test_constant_and_zero_proteins_have_no_loadings(mdata):
    mdata["prot"].X[:, 0] = 0
    mdata["prot"].X[:, 1] = 7
    mdata["prot"].X[3] = 0
    mdata["prot"].X[3, 1] = 7
    pp.protein(mdata)
    assert mdata["prot"].obsm["X_pca"].shape == (300, 9)
    assert np.isfinite(mdata["prot"].obsm["X_pca"]).all()
    assert not mdata["prot"].varm["PCs"][:2].any()


def test_numbers_of_components(make_mdata):
    mdata = make_mdata(n_proteins=4)
    assert pp.protein(mdata, n_comps=4, copy=True)["prot"].obsm["X_pca"].shape == (300, 4)
    with pytest.warns(UserWarning, match="n_comps=5 is reduced to 4"):
        pp.protein(mdata, n_comps=5)
    few = make_mdata(n_cells=3)
    pp.protein(few)
    assert few["prot"].obsm["X_pca"].shape == (3, 2)
    one = make_mdata(n_proteins=1)
    pp.protein(one)
    assert one["prot"].obsm["X_pca"].shape == (300, 1)


def test_few_cells_in_a_batch_are_told(mdata):
    mdata.obs["lane"] = ["x"] * 10 + ["y"] * 290
    with pytest.warns(UserWarning, match=r"few cells in these batches: 'x' \(10\);"):
        pp.protein(mdata, batch_key="lane")
    assert np.isfinite(mdata["prot"].obsm["X_pca"]).all()


def test_numbers_are_good_batch_names(mdata):
    mdata["prot"].obs["lane"] = np.arange(300) % 2
    pp.protein(mdata, batch_key="lane")
    assert list(mdata["prot"].uns["clipdim_pp"]["batches"]) == ["0", "1"]


def test_own_column_comes_before_those_of_the_mudata_and_of_the_rna(mdata):
    """scanpy's default names mean something else in each modality."""
    counts, mine = mdata["prot"].X.copy(), np.arange(300) % 2
    mdata["rna"].obs["cluster"] = mdata.obs["cluster"] = np.arange(300) // 100
    mdata["prot"].obs["cluster"] = mine
    pp.protein(mdata, batch_key="cluster")
    assert list(mdata["prot"].uns["clipdim_pp"]["batches"]) == ["0", "1"]
    for name in (0, 1):
        np.testing.assert_allclose(mdata["prot"].X[mine == name], ratio(counts[mine == name]), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_comps": 0}, ValueError, "n_comps must be an integer of at least 1, got 0"),
        ({"n_comps": "5"}, TypeError, "n_comps must be an integer of at least 1, got '5'"),
        ({"random_state": -1}, ValueError, "random_state must be .* got -1"),
        ({"batch_key": "lane"}, KeyError, "no column 'lane' in mdata.obs"),
    ],
)
def test_bad_arguments(mdata, assert_unchanged, arguments, error, message):
    with assert_unchanged(mdata), pytest.raises(error, match=message):
        pp.protein(mdata, **arguments)


def test_refuses_what_is_no_count(mdata, assert_unchanged):
    mdata["prot"].X = np.log1p(mdata["prot"].X)
    message = r"values of modality 'prot' .*not integers.*mdata\['prot'\].layers\['counts'\]$"
    with assert_unchanged(mdata), pytest.raises(ValueError, match=message):
        pp.protein(mdata)


def test_rna_that_is_a_latent_space_does_not_matter(mdata):
    mdata["rna"].X = mdata["rna"].X - 1.5
    pp.protein(mdata)
    assert "X_pca" in mdata["prot"].obsm
    assert "X_pca" not in mdata["rna"].obsm


def test_modality_called_adt_or_anything(mdata):
    mdata.mod["adt"] = mdata.mod.pop("prot")
    mdata.mod["x"] = mdata["rna"].copy()
    pp.protein(mdata)
    assert "X_pca" in mdata["adt"].obsm
    mdata.mod["prot"] = mdata["adt"].copy()
    with pytest.raises(ValueError, match=r"pp.protein\(mdata, modality"):
        pp.protein(mdata)
