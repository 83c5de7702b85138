"""``pp.rna`` against scanpy called by hand."""

import mudata
import numpy as np
import pytest
import scanpy as sc
from mudata import MuData
from scipy import sparse

from clipdim import pp

pytestmark = pytest.mark.filterwarnings("ignore:n_comps=50 is reduced")


def by_hand(counts, var_names, *, n_top_genes, n_comps, batch=None):
    adata = sc.AnnData(counts.astype(np.float64))
    adata.var_names = var_names
    if batch is not None:
        adata.obs["batch"] = np.asarray(batch, dtype=str)
        adata.obs["batch"] = adata.obs["batch"].astype("category")
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=n_top_genes, batch_key=None if batch is None else "batch")
    genes = adata[:, adata.var["highly_variable"]].copy()
    sc.pp.scale(genes, max_value=10)
    sc.pp.pca(genes, n_comps=n_comps, svd_solver="full")
    return adata, genes


def same_up_to_sign(a, b, atol):
    signs = np.sign((a * b).sum(axis=0))
    np.testing.assert_allclose(a * signs, b, atol=atol)


@pytest.mark.parametrize("batch_key", [None, "batch"])
@pytest.mark.parametrize("n_cells", [300, 40])  # more and fewer cells than genes
def test_equals_scanpy_by_hand(make_mdata, batch_key, n_cells):
    mdata = make_mdata(n_cells)
    batch = None if batch_key is None else mdata.obs["batch"]
    adata, genes = by_hand(mdata["rna"].X, mdata["rna"].var_names, n_top_genes=60, n_comps=5, batch=batch)
    assert pp.rna(mdata, n_top_genes=60, n_comps=5, batch_key=batch_key) is None
    rna = mdata["rna"]
    np.testing.assert_allclose(rna.X, adata.X, atol=1e-5)
    np.testing.assert_array_equal(rna.var["highly_variable"], adata.var["highly_variable"])
    same_up_to_sign(rna.obsm["X_pca"], genes.obsm["X_pca"], atol=2e-3)
    used = rna.var["highly_variable"].to_numpy()
    same_up_to_sign(rna.varm["PCs"][used], genes.varm["PCs"], atol=1e-3)
    assert not rna.varm["PCs"][~used].any()
    np.testing.assert_allclose(rna.uns["pca"]["variance_ratio"], genes.uns["pca"]["variance_ratio"], rtol=1e-4)
    assert rna.obsm["X_pca"].dtype == rna.X.dtype == np.float32


@pytest.mark.parametrize(
    "to", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.csc_array, np.asfortranarray]
)
@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint16])
def test_storage_and_dtype_of_the_counts_do_not_matter(mdata, to, dtype):
    other = mdata.copy()
    other["rna"].X = to(mdata["rna"].X.astype(dtype))
    pp.rna(mdata, n_top_genes=60, n_comps=5)
    pp.rna(other, n_top_genes=60, n_comps=5)
    rna = other["rna"]
    assert sparse.issparse(rna.X) == sparse.issparse(to(np.eye(2)))
    assert rna.X.dtype == np.float32
    assert rna.layers["counts"].dtype == dtype
    np.testing.assert_allclose(rna.obsm["X_pca"], mdata["rna"].obsm["X_pca"], atol=1e-4)


def test_counts_are_kept_and_a_second_call_gives_the_same(mdata):
    raw = mdata["rna"].X.copy()
    pp.rna(mdata, n_comps=5)
    first = mdata.copy()
    pp.rna(mdata, n_comps=5)
    np.testing.assert_array_equal(mdata["rna"].layers["counts"], raw)
    np.testing.assert_array_equal(mdata["rna"].X, first["rna"].X)
    np.testing.assert_array_equal(mdata["rna"].obsm["X_pca"], first["rna"].obsm["X_pca"])
    assert mdata["rna"].uns["clipdim_pp"]["basis"] == first["rna"].uns["clipdim_pp"]["basis"]


def test_counts_layer_is_preferred_to_x(mdata):
    other = mdata.copy()
    other["rna"].layers["counts"] = other["rna"].X.copy()
    other["rna"].X = -np.log1p(other["rna"].X)
    pp.rna(mdata, n_comps=5)
    pp.rna(other, n_comps=5)
    np.testing.assert_array_equal(other["rna"].obsm["X_pca"], mdata["rna"].obsm["X_pca"])


def test_copy_leaves_the_given_one(mdata, assert_unchanged):
    with assert_unchanged(mdata):
        new = pp.rna(mdata, n_comps=5, copy=True)
    pp.rna(mdata, n_comps=5)
    np.testing.assert_array_equal(new["rna"].obsm["X_pca"], mdata["rna"].obsm["X_pca"])


def test_a_gene_of_few_cells_is_clipped_as_by_scanpy(mdata):
    """Clipping moves the mean of the scaled values away from zero, which the components must know."""
    mdata["rna"].X[:, 0] = 0
    mdata["rna"].X[0, 0] = 50
    _, genes = by_hand(mdata["rna"].X, mdata["rna"].var_names, n_top_genes=60, n_comps=20)
    assert abs(genes[:, "gene0"].X.mean()) > 0.01
    pp.rna(mdata, n_top_genes=60, n_comps=20)
    same_up_to_sign(mdata["rna"].obsm["X_pca"], genes.obsm["X_pca"], atol=2e-3)
    np.testing.assert_allclose(mdata["rna"].obsm["X_pca"].mean(axis=0), 0, atol=1e-5)


def test_zero_genes_constant_genes_and_empty_cells(mdata):
    mdata["rna"].X[:, :20] = 0
    mdata["rna"].X[5] = 0
    pp.rna(mdata, n_comps=5)
    rna = mdata["rna"]
    assert np.isfinite(rna.obsm["X_pca"]).all()
    assert np.isfinite(rna.X).all()
    assert not rna.X[5].any()
    assert not rna.varm["PCs"][:20].any()
    assert not rna.var["highly_variable"].iloc[:20].any()


def test_cells_without_counts_have_no_part_in_the_target_total(mdata):
    mdata["rna"].X[100:] = 0
    adata = sc.AnnData(mdata["rna"].X.astype(np.float64))
    sc.pp.normalize_total(adata)
    pp.rna(mdata, n_comps=5)
    np.testing.assert_allclose(mdata["rna"].X, np.log1p(adata.X), atol=1e-5)


def test_too_many_components_are_reduced_with_a_warning(make_mdata):
    mdata = make_mdata(20)
    with pytest.warns(UserWarning, match=r"n_comps=50 is reduced to 19: modality 'rna' has 20 cells") as record:
        pp.rna(mdata)
    assert [w.filename for w in record if "reduced" in str(w.message)] == [__file__]
    assert mdata["rna"].obsm["X_pca"].shape == (20, 19)


def test_global_random_state_is_untouched(mdata):
    before = np.random.get_state()[1].copy()
    pp.rna(mdata, n_comps=5, random_state=3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_var_of_the_mudata_is_not_written_to(mdata):
    pp.rna(mdata, n_comps=5)
    assert list(mdata.var.columns) == []
    assert list(mdata["rna"].var.columns) == ["highly_variable"]
    assert mdata["rna"].uns["log1p"]["base"] is None


def test_modality_is_found_or_given(mdata):
    named = MuData({"transcripts": mdata["rna"].copy(), "prot": mdata["prot"].copy()})
    with pytest.raises(ValueError, match=r"modalities are \['transcripts', 'prot'\]; name one: .*modality="):
        pp.rna(named)
    pp.rna(named, modality="transcripts", n_comps=5)
    two = MuData({"rna": mdata["rna"].copy(), "gex": mdata["rna"].copy()})
    with pytest.raises(ValueError, match="has 'rna' and 'gex'"):
        pp.rna(two)
    with pytest.raises(KeyError, match="no modality named"):
        pp.rna(mdata, modality="atac")


def logged(X):
    return np.log1p(X)


def latent(X):
    return X - X.mean(axis=0)


def with_nan(X):
    X = X.copy()
    X[3, 4] = np.nan
    return X


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            logged,
            r"values of modality 'rna' .*are not integers, maximum \d.*looks log-normalised; .*layers\['counts'\]",
        ),
        (latent, r"negative down to -\d.*looks scaled or a latent.*only clipdim.pp.protein"),
        (with_nan, "NaN or infinite"),
        (lambda X: X * 1000.5, "not integers.*looks normalised"),
        (np.zeros_like, "all zero"),
    ],
)
@pytest.mark.parametrize("to", [np.asarray, sparse.csr_matrix])
def test_refuses_what_is_no_count(mdata, assert_unchanged, spoil, message, to):
    mdata["rna"].X = spoil(mdata["rna"].X)
    with assert_unchanged(mdata), pytest.raises(ValueError, match=message):
        pp.rna(mdata)
    mdata["rna"].X = to(mdata["rna"].X)
    with pytest.raises(ValueError, match=message):
        pp.rna(mdata)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_comps": 0}, ValueError, "n_comps must be an integer of at least 1, got 0"),
        ({"n_comps": 2.5}, TypeError, "n_comps must be"),
        ({"n_top_genes": True}, TypeError, "n_top_genes must be"),
        ({"random_state": -1}, ValueError, "random_state must be an integer of at least 0 .* got -1"),
        ({"random_state": 2**32}, ValueError, r"random_state must be .* below 2\*\*32, got 4294967296"),
        ({"batch_key": ["batch"]}, TypeError, r"a column of .obs must be a string, got \['batch'\]"),
        ({"batch_key": "donor"}, KeyError, r"no column 'donor' .*\['batch'"),
        ({"batch_key": "holes"}, ValueError, "missing for 2 of 300 cells"),
        ({"batch_key": "alone", "n_top_genes": 60}, ValueError, "batch 'x' of batch_key='alone' has one cell"),
        ({"reference": 3}, TypeError, "reference must be a MuData preprocessed by clipdim.pp.rna, got int"),
    ],
)
def test_bad_arguments(mdata, assert_unchanged, arguments, error, message):
    mdata.obs["holes"] = [None, None, *["a"] * 298]
    mdata.obs["alone"] = ["x", *["y"] * 299]
    with assert_unchanged(mdata), pytest.raises(error, match=message):
        pp.rna(mdata, **arguments)


def test_bad_objects(mdata):
    with pytest.raises(TypeError, match="expected a MuData, got AnnData"):
        pp.rna(mdata["rna"])
    with pytest.raises(ValueError, match="view"):
        pp.rna(mdata[:100])
    names = mdata["rna"].var_names.to_numpy().copy()
    names[1] = names[0]
    mdata["rna"].var_names = names
    with pytest.raises(ValueError, match=r"not unique .*'gene0'.*var_names_make_unique"):
        pp.rna(mdata)


def test_nothing_to_learn_from(mdata):
    mdata["rna"].X = np.ones_like(mdata["rna"].X)
    with pytest.raises(ValueError, match="no feature of modality 'rna' varies"):
        pp.rna(mdata)
    mdata["rna"].X = mdata["rna"].X.astype(str).astype(object)
    with pytest.raises(TypeError, match="expected numbers"):
        pp.rna(mdata)


def test_file_that_stays_on_disk_is_refused(mdata, tmp_path):
    mdata.write_h5mu(tmp_path / "counts.h5mu")
    on_disk = mudata.read_h5mu(tmp_path / "counts.h5mu", backed="r")
    with pytest.raises(TypeError, match="in memory"):
        pp.rna(on_disk)


def test_batch_of_shuffled_and_missing_cells_is_found_by_name(mdata):
    order = np.random.default_rng(0).permutation(300)[:200]
    part = mdata["rna"][order].copy()
    shuffled = MuData({"rna": part, "prot": mdata["prot"].copy()})
    shuffled.obs["batch"] = mdata.obs["batch"].reindex(shuffled.obs_names)
    pp.rna(shuffled, n_top_genes=60, n_comps=5, batch_key="batch")
    plain = MuData({"rna": part.copy()})
    plain["rna"].obs["batch"] = mdata.obs["batch"].reindex(part.obs_names)
    pp.rna(plain, n_top_genes=60, n_comps=5, batch_key="batch")
    np.testing.assert_array_equal(shuffled["rna"].obsm["X_pca"], plain["rna"].obsm["X_pca"])


def test_own_column_comes_before_those_of_the_mudata_and_of_the_protein(mdata):
    """scanpy's default names mean something else in each modality."""
    plain = mdata.copy()
    plain.obs["cluster"] = mdata["rna"].obs["cluster"] = np.arange(300) % 2
    mdata["prot"].obs["cluster"] = mdata.obs["cluster"] = np.arange(300) // 100
    pp.rna(mdata, n_top_genes=60, n_comps=5, batch_key="cluster")
    pp.rna(plain, n_top_genes=60, n_comps=5, batch_key="cluster")
    np.testing.assert_array_equal(mdata["rna"].obsm["X_pca"], plain["rna"].obsm["X_pca"])
