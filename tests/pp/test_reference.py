"""``reference=`` of the three: a new sample reaches the components of another one."""

import warnings

import mudata
import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from clipdim import pp

SETTINGS = {"n_top_genes": 80, "n_comps_rna": 10, "n_comps_protein": 8}


@pytest.fixture
def reference(make_mdata):
    mdata = make_mdata()
    pp.citeseq(mdata, **SETTINGS)
    return mdata


def raw(mdata, cells=slice(None), *, genes=slice(None), proteins=slice(None)):
    """Raw counts of some cells, genes and proteins, as if they came from elsewhere."""
    parts = {}
    for name, features in (("rna", genes), ("prot", proteins)):
        adata = mdata[name][cells, features]
        counts = adata.layers.get("counts", adata.X)
        parts[name] = AnnData(counts.copy(), obs=adata.obs[[]].copy(), var=adata.var[[]].copy())
    query = MuData(parts)
    query.obs["batch"] = mdata.obs["batch"].reindex(query.obs_names)
    return query


def assert_same(query, reference, cells=slice(None), *, atol=1e-5):
    for name in query.mod:
        np.testing.assert_allclose(query[name].obsm["X_pca"], reference[name].obsm["X_pca"][cells], atol=atol)
        assert query[name].uns["clipdim_pp"]["basis"] == reference[name].uns["clipdim_pp"]["basis"]
        assert query[name].obsm["X_pca"].dtype == np.float32


@pytest.mark.parametrize("cells", [slice(None), slice(7, 8), np.arange(299, -1, -3)], ids=["all", "one", "some"])
def test_own_cells_get_their_own_components(reference, cells):
    query = raw(reference, cells)
    assert pp.citeseq(query, reference=reference) is None
    assert_same(query, reference, cells)
    for name in query.mod:
        np.testing.assert_allclose(query[name].X, reference[name].X[cells], atol=1e-6)
        np.testing.assert_array_equal(query[name].varm["PCs"], reference[name].varm["PCs"])
        assert "pca" not in query[name].uns
    assert query["rna"].var["highly_variable"].sum() == 80


def test_loadings_and_x_of_the_reference_give_its_components(reference):
    """The components are a linear map of the stored scaled values, and nothing else."""
    for name in reference.mod:
        adata = reference[name]
        record = adata.uns["clipdim_pp"]
        used = adata.var_names.get_indexer(record["features"])
        scaled = np.clip((adata.X[:, used] - record["mean"]) / record["std"], -10, 10)
        expected = (scaled - scaled.mean(axis=0)) @ adata.varm["PCs"][used]
        np.testing.assert_allclose(adata.obsm["X_pca"], expected, atol=1e-4)


def test_order_and_extra_features_do_not_matter(reference, make_mdata):
    rng = np.random.default_rng(0)
    wide = make_mdata(n_genes=220, n_proteins=15, seed=5)
    for name in reference.mod:
        n_known = reference[name].n_vars
        wide[name].X[:, :n_known] = reference[name].layers["counts"]
    query = raw(wide, genes=rng.permutation(220), proteins=rng.permutation(15))
    query["rna"].X = sparse.csc_matrix(query["rna"].X)
    pp.citeseq(query, reference=reference)
    assert_same(query, reference)
    extra = ~query["rna"].var_names.isin(reference["rna"].var_names)
    assert not query["rna"].varm["PCs"][extra].any()
    assert query["rna"].X.shape == (300, 220)
    assert query["prot"].X.shape == (300, 15)
    assert np.isfinite(query["prot"].X).all()


def test_genes_outside_the_chosen_ones_may_be_cut_from_the_reference(reference):
    """The totals of a new sample still run over all the genes that the reference was made with."""
    query = raw(reference)
    chosen = reference["rna"].var_names[reference["rna"].var["highly_variable"]]
    small = MuData({"rna": reference["rna"][:, chosen].copy(), "prot": reference["prot"].copy()})
    pp.citeseq(query, reference=small)
    assert_same(query, reference)


def test_few_missing_genes_are_told_and_many_refused(reference, assert_unchanged):
    used = np.flatnonzero(reference["rna"].var["highly_variable"])
    few = raw(reference, genes=np.setdiff1d(np.arange(150), used[:4]))
    with pytest.warns(UserWarning, match=r"4 of the 80 features .*missing from modality 'rna'.*gene") as record:
        pp.rna(few, reference=reference)
    assert record[-1].filename == __file__
    difference = np.linalg.norm(few["rna"].obsm["X_pca"] - reference["rna"].obsm["X_pca"])
    assert difference < 0.35 * np.linalg.norm(reference["rna"].obsm["X_pca"])
    many = raw(reference, genes=np.setdiff1d(np.arange(150), used[:20]))
    with assert_unchanged(many), pytest.raises(ValueError, match=r"20 of the 80 features.*at most 20%"):
        pp.citeseq(many, reference=reference)


def test_values_are_clipped_below_as_above(make_mdata):
    """A gene that all cells of the reference have much of, and a query that has none of it."""
    reference, query = make_mdata(), make_mdata(60, seed=1)
    reference["rna"].X[:, 0] = 0.2 * reference["rna"].X.sum(axis=1).round()  # with little noise
    reference["rna"].X = reference["rna"].X.round()
    pp.rna(reference, n_top_genes=150, n_comps=10)
    query["rna"].X[:30, 0], query["rna"].X[30:, 0] = 0, 100_000
    pp.rna(query, reference=reference)
    record = reference["rna"].uns["clipdim_pp"]
    scaled = (query["rna"].X - record["mean"]) / record["std"]
    assert scaled[:30, 0].max() < -20
    assert scaled[30:, 0].min() > 20
    expected = (np.clip(scaled, -10, 10) - record["center"]) @ record["loadings"]
    np.testing.assert_allclose(query["rna"].obsm["X_pca"], expected, atol=1e-3)


def test_unused_genes_may_be_missing(reference):
    unused = np.flatnonzero(~reference["rna"].var["highly_variable"])
    query = raw(reference, genes=np.setdiff1d(np.arange(150), unused[:5]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pp.rna(query, reference=reference)


def test_few_missing_proteins_count_as_the_mean_and_many_are_refused(reference, assert_unchanged):
    query = raw(reference, proteins=np.arange(2, 12))
    with pytest.warns(
        UserWarning, match=r"2 of the 12 features .*'prot': \['protein0', 'protein1'\]; they count"
    ) as record:
        pp.protein(query, reference=reference)
    assert record[-1].filename == __file__
    stored = reference["prot"].uns["clipdim_pp"]
    scaled = np.clip((reference["prot"].X - stored["mean"]) / stored["std"], -10, 10)
    scaled[:, :2] = 0
    expected = (scaled - stored["center"] * (np.arange(12) > 1)) @ stored["loadings"]
    np.testing.assert_allclose(query["prot"].obsm["X_pca"], expected, atol=1e-4)
    assert query["prot"].X.shape == (300, 10)
    query = raw(reference, proteins=np.arange(3, 12))
    message = r"3 of the 12 features .*'protein0', 'protein1', 'protein2'\]; at most 20%"
    with assert_unchanged(query), pytest.raises(ValueError, match=message):
        pp.citeseq(query, reference=reference)


@pytest.mark.parametrize("name", ["rna", "prot"])
def test_one_modality_is_enough(reference, name):
    query = MuData({name: raw(reference, slice(0, 20))[name].copy()})
    by_itself = query.copy()
    pp.citeseq(query, reference=reference)
    assert_same(query, reference, slice(0, 20))
    {"rna": pp.rna, "prot": pp.protein}[name](by_itself, reference=reference)
    assert_same(by_itself, reference, slice(0, 20))


def test_other_names_of_the_modalities(reference):
    query = raw(reference, slice(0, 20))
    query = MuData({"GEX": query["rna"].copy(), "adt": query["prot"].copy()})
    pp.citeseq(query, reference=reference)
    np.testing.assert_allclose(query["adt"].obsm["X_pca"], reference["prot"].obsm["X_pca"][:20], atol=1e-5)


def test_a_preprocessed_query_starts_from_its_counts(reference, make_mdata):
    query = make_mdata(120, seed=1)
    again = query.copy()
    pp.citeseq(query, reference=reference)
    pp.citeseq(again, **SETTINGS)
    assert again["rna"].uns["clipdim_pp"]["basis"] != reference["rna"].uns["clipdim_pp"]["basis"]
    new = pp.citeseq(again, reference=reference, copy=True)
    assert_same(new, query)
    assert "pca" in again["rna"].uns
    assert "pca" not in new["rna"].uns  # the variances were those of other components


def test_a_projected_sample_can_be_a_reference(reference, make_mdata):
    middle = make_mdata(100, seed=1)
    pp.citeseq(middle, reference=reference)
    query = raw(reference)
    pp.citeseq(query, reference=middle)
    assert_same(query, reference)


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
@pytest.mark.parametrize("batch_key", [None, "batch"])
def test_files(make_mdata, tmp_path, form, batch_key):
    reference = make_mdata()
    pp.citeseq(reference, batch_key=batch_key, **SETTINGS)
    path = tmp_path / f"reference.{form}"
    getattr(reference, f"write_{form}")(path)
    read = getattr(mudata, f"read_{form}")(path)
    for name in reference.mod:
        ours, theirs = reference[name].uns["clipdim_pp"], read[name].uns["clipdim_pp"]
        assert set(ours) == set(theirs)
        for slot, value in ours.items():
            np.testing.assert_array_equal(theirs[slot], value, err_msg=slot)
    query = raw(reference)
    pp.citeseq(query, reference=read)
    assert_same(query, reference, atol=0)
    query.write_h5mu(tmp_path / "query.h5mu")
    assert_same(mudata.read_h5mu(tmp_path / "query.h5mu"), reference, atol=0)


class TestProteinBatches:
    """Which means centre the log ratios of a new sample's cells."""

    @pytest.fixture
    def reference(self, make_mdata):
        mdata = make_mdata()
        counts = mdata["prot"].X.copy()
        counts[mdata.obs["batch"] == "b"] *= 3
        mdata["prot"].X = counts
        pp.protein(mdata, batch_key="batch")
        return mdata

    @pytest.mark.parametrize("cells", [slice(None), slice(3, 4), slice(0, 90, 3)], ids=["all", "one", "one batch"])
    def test_known_batches_have_stored_means(self, reference, cells):
        query = MuData({"prot": raw(reference, cells)["prot"].copy()})
        query.obs["batch"] = reference.obs["batch"].reindex(query.obs_names)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pp.protein(query, reference=reference)
        assert_same(query, reference, cells)

    def test_column_may_have_another_name(self, reference):
        query = raw(reference, slice(0, 60))
        query.obs["lane"] = query.obs.pop("batch")
        pp.protein(query, reference=reference, batch_key="lane")
        np.testing.assert_allclose(query["prot"].obsm["X_pca"], reference["prot"].obsm["X_pca"][:60], atol=1e-5)

    def test_new_batches_have_their_own_means(self, reference):
        query = raw(reference)
        query.obs["batch"] = query.obs["batch"].astype(str).replace({"b": "new"})
        is_new = query.obs["batch"].to_numpy() == "new"
        query["prot"].X[is_new] *= 5
        raw_new = query["prot"].X[is_new].astype(float)
        pp.protein(query, reference=reference)
        expected = np.log1p(raw_new / np.exp(np.log1p(raw_new).mean(axis=0)))
        np.testing.assert_allclose(query["prot"].X[is_new], expected, atol=1e-5)
        old = reference["prot"].obsm["X_pca"][~is_new]
        np.testing.assert_allclose(query["prot"].obsm["X_pca"][~is_new], old, atol=1e-5)

    def test_without_the_column_all_cells_are_one_new_batch(self, reference):
        query = raw(reference)
        del query.obs["batch"]
        counts = query["prot"].X.astype(float)
        pp.protein(query, reference=reference)
        expected = np.log1p(counts / np.exp(np.log1p(counts).mean(axis=0)))
        np.testing.assert_allclose(query["prot"].X, expected, atol=1e-5)
        few = raw(reference, slice(0, 30))
        del few.obs["batch"]
        with pytest.warns(UserWarning, match=r"all cells \(30\)"):
            pp.protein(few, reference=reference)

    def test_few_cells_of_a_new_batch_are_told(self, reference):
        query = raw(reference)
        query.obs["batch"] = ["new"] * 20 + query.obs["batch"].astype(str).tolist()[20:]
        with pytest.warns(UserWarning, match=r"'new' \(20\)"):
            pp.protein(query, reference=reference)

    def test_unknown_column_and_missing_labels(self, reference, assert_unchanged):
        query = raw(reference)
        with assert_unchanged(query), pytest.raises(KeyError, match="no column 'lane'"):
            pp.protein(query, reference=reference, batch_key="lane")
        query.obs["batch"] = [None, *["b"] * 299]
        with assert_unchanged(query), pytest.raises(ValueError, match="missing for 1 of 300"):
            pp.protein(query, reference=reference)

    def test_batch_key_without_one_in_the_reference(self, make_mdata, assert_unchanged):
        plain, query = make_mdata(), make_mdata(seed=1)
        pp.protein(plain)
        with assert_unchanged(query), pytest.raises(ValueError, match="leave batch_key out"):
            pp.protein(query, reference=plain, batch_key="batch")


def test_references_that_cannot_serve(reference, make_mdata, assert_unchanged):
    query = make_mdata(60, seed=1)
    with assert_unchanged(query), pytest.raises(ValueError, match=r"call clipdim.pp.rna\(reference\)"):
        pp.citeseq(query, reference=make_mdata(60, seed=2))
    only_rna = make_mdata()
    pp.rna(only_rna, n_comps=5)
    with assert_unchanged(query), pytest.raises(ValueError, match=r"none were preprocessed by clipdim.pp.protein"):
        pp.citeseq(query, reference=only_rna)
    with pytest.raises(TypeError, match="reference must be a MuData"):
        pp.protein(query, reference=reference["prot"])
    query["rna"].var_names = [f"ENSG{i}" for i in range(150)]
    with pytest.raises(ValueError, match=r"80 of the 80 features.*all of them.*symbols or Ensembl"):
        pp.rna(query, reference=reference)


def test_reference_is_not_changed(reference, assert_unchanged, make_mdata):
    query = make_mdata(60, seed=1)
    basis = reference["rna"].uns["clipdim_pp"]["basis"]
    with assert_unchanged(reference):
        pp.citeseq(query, reference=reference)
    assert reference["rna"].uns["clipdim_pp"]["basis"] == basis
