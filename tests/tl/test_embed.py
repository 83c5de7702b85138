import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from clipdim.tl import embed, fit, match


@pytest.fixture(scope="module", params=["cosine", "inner"])
def fitted(request, make_mdata, plain):
    mdata = make_mdata()
    add_components(mdata)
    fit(mdata, 6, recipe=plain, similarity=request.param, max_epochs=3, progress=False, device="cpu")
    return mdata


@pytest.fixture
def reference(fitted):
    """A fitted MuData; prot has components with loadings in ``X_pca``, rna is used by its ``X``."""
    return fitted.copy()


def add_components(mdata, loadings=None):
    """Write ``X_pca`` and loadings of prot, those of a sample of 100 cells or the given ones by feature name."""
    prot = mdata["prot"]
    if loadings is None:
        values = np.linalg.svd(prot.X[:100], full_matrices=False)[2][:5].T
        loadings = pd.DataFrame(values, index=prot.var_names)
    prot.varm["PCs"] = loadings.loc[prot.var_names].to_numpy()
    prot.obsm["X_pca"] = prot.X @ prot.varm["PCs"]


def loadings_of(reference):
    return pd.DataFrame(reference["prot"].varm["PCs"], index=reference["prot"].var_names)


@pytest.fixture
def query(make_mdata, reference):
    """The reference's own cells before they were fitted."""
    mdata = make_mdata()
    add_components(mdata, loadings_of(reference))
    return mdata


def assert_own_coordinates(query, reference):
    """Each cell has the coordinates that it has in the reference, in all spaces."""
    for found, expected in ((query, reference), *((query[name], reference[name]) for name in query.mod)):
        known = pd.DataFrame(expected.obsm["X_clipdim"], index=expected.obs_names).loc[found.obs_names]
        np.testing.assert_allclose(found.obsm["X_clipdim"], known, atol=1e-5)
        assert found.obsm["X_clipdim"].dtype == np.float32


def test_own_cells(query, reference):
    assert embed(query, reference) is None
    assert_own_coordinates(query, reference)
    for name in query.mod:
        pd.testing.assert_series_equal(
            query[name].obs["clipdim_norm"], reference[name].obs["clipdim_norm"], rtol=1e-4, check_exact=False
        )
    assert "clipdim" not in query.uns


def test_reference_into_itself(reference):
    before = reference.copy()
    embed(reference, reference)
    assert_own_coordinates(reference, before)


def test_subset(query, reference):
    subset = query[query.obs_names[7:60]].copy()
    embed(subset, reference)
    assert subset.obsm["X_clipdim"].shape == (53, 6)
    assert_own_coordinates(subset, reference)


def test_reference_may_be_a_view_or_bare(query, reference):
    """What was learned lies in ``.uns``; the reference's cells are not needed."""
    embed(query, reference[:10])
    assert_own_coordinates(query, reference)


def test_copy(query, reference, unchanged):
    with unchanged(query), unchanged(reference):
        embedded = embed(query, reference, copy=True)
    assert_own_coordinates(embedded, reference)


def test_features_are_matched_by_name(query, reference):
    rng = np.random.default_rng(0)
    rna, prot = query["rna"], query["prot"]
    values = np.concatenate([rna.X, rng.normal(size=(300, 600)).astype(np.float32)], axis=1)
    wide = AnnData(values, obs=rna.obs.copy())
    wide.var_names = [*rna.var_names, *(f"other{i}" for i in range(600))]
    shuffled = mudata.MuData(
        {"rna": wide[:, rng.permutation(wide.n_vars)].copy(), "prot": prot[:, rng.permutation(prot.n_vars)].copy()}
    )
    embed(shuffled, reference)
    assert_own_coordinates(shuffled, reference)


def test_missing_features(query, reference, unchanged):
    """A few count as the reference's mean, which is known where the recipe standardizes."""
    fewer = mudata.MuData({"rna": query["rna"][:, 2:].copy(), "prot": query["prot"].copy()})
    with pytest.warns(UserWarning, match=r"2 of the 12 features .*'rna': \['rna0', 'rna1'\]; they count as") as caught:
        embed(fewer, reference)
    assert caught[0].filename == __file__
    rna = query["rna"].copy()
    rna.X[:, :2] = reference.uns["clipdim"]["encoders"]["rna"]["mean"][:2]
    filled = mudata.MuData({"rna": rna, "prot": query["prot"].copy()})
    embed(filled, reference)
    np.testing.assert_allclose(fewer["rna"].obsm["X_clipdim"], filled["rna"].obsm["X_clipdim"], atol=1e-6)
    many = mudata.MuData({"rna": query["rna"][:, 3:].copy(), "prot": query["prot"]})
    none = mudata.MuData({"rna": query["rna"].copy(), "prot": query["prot"]})
    none["rna"].var_names = [f"ENSG{i}" for i in range(12)]
    for bad, message in ((many, "3 of the 12 features .* at most 20%"), (none, "12 of the 12 features .*all of them")):
        with unchanged(bad), pytest.raises(ValueError, match=message):
            embed(bad, reference)


def test_other_components(query, reference, unchanged):
    add_components(query, -loadings_of(reference))
    with unchanged(query), pytest.raises(ValueError, match=r"other loadings.*pp.citeseq\(query, reference=reference\)"):
        embed(query, reference)


def test_other_number_of_features(query, reference, unchanged):
    del query["prot"].varm["PCs"], reference["prot"].varm["PCs"]
    embed(query, reference)
    assert_own_coordinates(query, reference)
    query["prot"].obsm["X_pca"] = query["prot"].obsm["X_pca"][:, :4]
    with unchanged(query), pytest.raises(ValueError, match="has 4 features, the reference was fitted on 5; run"):
        embed(query, reference)


@pytest.mark.parametrize("name", ["rna", "prot"])
def test_one_modality_only(query, reference, name):
    alone = mudata.MuData({name: query[name]})
    embed(alone, reference)
    np.testing.assert_array_equal(alone.obsm["X_clipdim"], alone[name].obsm["X_clipdim"])
    known = pd.DataFrame(reference[name].obsm["X_clipdim"], index=reference[name].obs_names).loc[alone.obs_names]
    np.testing.assert_allclose(alone.obsm["X_clipdim"], known, atol=1e-5)


def test_unknown_modalities(query, reference, unchanged):
    more = mudata.MuData({"atac": query["rna"].copy(), "rna": query["rna"]})
    embed(more, reference)
    assert "X_clipdim" not in more["atac"].obsm
    unknown = mudata.MuData({"atac": query["rna"].copy()})
    message = r"\['atac'\], the reference was fitted on .*'rna'.*rename those that are meant: mudata.MuData\(\{...\}\)$"
    with unchanged(unknown), pytest.raises(ValueError, match=message):
        embed(unknown, reference)


def test_modalities_of_other_names(query, reference):
    """The mend in the message pairs RNA with RNA and protein with protein, in any order, and can be run."""
    for names in ({"ADT": "prot", "GEX": "rna"}, {"atac": "rna", "protein": "prot"}):
        mdata = mudata.MuData({other: query[name].copy() for other, name in names.items()})
        with pytest.raises(ValueError, match="rename them: ") as error:
            embed(mdata, reference)
        mend = str(error.value).split("rename them: ")[1]
        assert mend.count(":") == len(names) - ("atac" in names)
        renamed = eval(mend, {"mudata": mudata, "query": mdata})
        assert set(renamed.mod) <= {"rna", "prot"}
        embed(renamed, reference)
        for name in renamed.mod:
            np.testing.assert_array_equal(renamed[name].X, query[name].X)


def test_unpaired_cells(make_mdata, reference):
    query = make_mdata(lacking=30)
    add_components(query, loadings_of(reference))
    embed(query, reference)
    joint = pd.DataFrame(query.obsm["X_clipdim"], index=query.obs_names)
    spaces = {name: pd.DataFrame(m.obsm["X_clipdim"], index=m.obs_names) for name, m in query.mod.items()}
    mean = pd.concat(spaces.values()).groupby(level=0).mean()
    pd.testing.assert_frame_equal(joint, mean.loc[joint.index], check_dtype=False, atol=1e-6)
    assert joint.loc["cell299"].equals(spaces["prot"].loc["cell299"])
    assert np.isfinite(joint.to_numpy()).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_dtypes(query, reference, dtype):
    query["rna"].X = query["rna"].X.astype(dtype)
    query["prot"].obsm["X_pca"] = query["prot"].obsm["X_pca"].astype(np.float64)
    embed(query, reference)
    if dtype == np.float64:
        assert_own_coordinates(query, reference)
    assert query.obsm["X_clipdim"].dtype == np.float32


def test_new_sample_lies_where_its_kind_lies(make_mdata, reference):
    """The two embeddings of a new cell are closer to each other than to those of other cells."""
    new = make_mdata(200, seed=7)
    add_components(new, loadings_of(reference))
    embed(new, reference)
    rna, prot = (pd.DataFrame(m.obsm["X_clipdim"], index=m.obs_names).loc[new.obs_names] for m in new.mod.values())
    similarity = rna.to_numpy() @ prot.to_numpy().T
    assert (similarity > np.diagonal(similarity)[:, None]).mean() < 0.4


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(query, reference, unchanged, value):
    query["prot"].obsm["X_pca"][3, 1] = value
    with (
        unchanged(query),
        pytest.raises(ValueError, match="'X_pca' of modality 'prot' has NaN or infinite values in 1"),
    ):
        embed(query, reference)


@pytest.mark.filterwarnings("ignore:'X' of modality 'rna' .* raw counts")
def test_other_normalisation(query, reference, unchanged):
    values = query["rna"].X.copy()
    query["rna"].X = 4 * values
    with pytest.warns(UserWarning, match=r"'X' of modality 'rna' are .* or it is another normalisation") as caught:
        embed(query, reference)
    assert caught[0].filename == __file__
    query["rna"].X = np.random.default_rng(0).poisson(30, values.shape)
    with (
        unchanged(query),
        pytest.raises(ValueError, match=r"'rna' are .*looks like another normalisation \(raw counts\?\)"),
    ):
        embed(query, reference)
    query["rna"].X = values
    query["prot"].obsm["X_pca"] *= 100
    with (
        unchanged(query),
        pytest.raises(ValueError, match=r"'X_pca' of modality 'prot' are [\d.]+ times"),
    ):
        embed(query, reference)


def test_reference_of_an_older_version(query, reference, unchanged):
    """Settings that it did not have yet change nothing for new cells."""
    fit = reference.uns["clipdim"]
    fit["version"] = "0.0.1"
    for name in ("adaptive_noise", "loss", "precision", "start", "linear_rate", "shrink"):
        del fit["params"]["recipe"][name]
    fit["params"]["recipe"]["cuda_graph"] = False  # one that it had
    embed(query, reference)
    assert_own_coordinates(query, reference)
    fit["params"]["recipe"]["dropout"] = 0.1
    with unchanged(query), pytest.raises(ValueError, match=r"\['dropout'\], which this version .* fit again with"):
        embed(query, reference)


def test_missing_representation(query, reference, unchanged):
    del query["prot"].obsm["X_pca"]
    with unchanged(query), pytest.raises(KeyError, match=r"no .obsm\['X_pca'\]; run clipdim.pp.citeseq\(query, ref"):
        embed(query, reference)


@pytest.mark.filterwarnings("ignore:Duplicated obs_names", "ignore:.* are not unique")
def test_repeated_cell_names(query, reference, unchanged):
    modalities = {name: modality.copy() for name, modality in query.mod.items()}
    modalities["rna"].obs_names = ["cell0", "cell0", *modalities["rna"].obs_names[2:]]
    repeated = mudata.MuData(modalities)
    with unchanged(repeated), pytest.raises(ValueError, match="'rna' are not unique"):
        embed(repeated, reference)


def test_not_fitted(query, reference, unchanged):
    with (
        unchanged(query),
        pytest.raises(KeyError, match=r"no fit in mdata.uns\['other'\] \(there are fits named \['clipdim'"),
    ):
        embed(query, reference, key="other")
    with pytest.raises(KeyError, match=r"run clipdim.tl.fit\(mdata"):
        embed(query, query)
    for wrong in (None, reference["rna"]):
        with pytest.raises(TypeError, match="reference must be the MuData"):
            embed(query, wrong)


def test_view_anndata_and_device(query, reference, unchanged):
    with unchanged(query):
        with pytest.raises(ValueError, match=r"is a view .*mdata.copy\(\)"):
            embed(query[:10], reference)
        with pytest.raises(TypeError, match="expected a MuData, got AnnData"):
            embed(query["rna"], reference)
        with pytest.raises(ValueError, match="device='abacus' is not available"):
            embed(query, reference, device="abacus")


@pytest.mark.gpu
def test_on_the_gpu(query, reference):
    embed(query, reference, device="cuda")
    for name in query.mod:
        np.testing.assert_allclose(query[name].obsm["X_clipdim"], reference[name].obsm["X_clipdim"], atol=1e-3)


def test_query_with_another_fit(query, reference, unchanged):
    fit(query, 6, max_epochs=1, random_state=1, progress=False, device="cpu")
    with unchanged(query), pytest.raises(ValueError, match=r"another fit.*del mdata.uns"):
        embed(query, reference)
    del query.uns["clipdim"]
    embed(query, reference)
    assert_own_coordinates(query, reference)


def test_part_of_the_reference(reference):
    part = reference[reference.obs_names[:50]].copy()
    embed(part, reference)
    assert_own_coordinates(part, reference)


def test_components_without_loadings(query, reference):
    del query["prot"].varm["PCs"]
    with pytest.warns(UserWarning, match="by number"):
        embed(query, reference)
    assert_own_coordinates(query, reference)


def test_measures_of_a_query_name_the_fitted_mudata(query, reference):
    embed(query, reference)
    with pytest.raises(KeyError, match=r"the MuData that clipdim\.tl\.fit was called on"):
        match(query)
