import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.neighbors import KNeighborsRegressor

from clipdim.tl import embed, fit, impute

QUIET = {"max_epochs": 3, "progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def make_pair(make_mdata, plain):
    """Return a function that makes a fitted reference and an embedded query of other cells, with measured proteins."""

    def make(n_cells=400, n_query=60, *, holdout=0.4, **arguments):
        cells = make_mdata(n_cells + n_query, **arguments)
        names = cells.obs_names.to_numpy()
        reference, query = cells[names[:n_cells]].copy(), cells[names[n_cells:]].copy()
        fit(reference, 4, recipe=plain, holdout=holdout, **QUIET)
        embed(query, reference, device="cpu")
        return reference, query

    return make


@pytest.fixture(scope="module")
def pair_once(make_pair):
    return make_pair()


@pytest.fixture
def pair(pair_once):
    return tuple(mdata.copy() for mdata in pair_once)


def only(query, *names):
    """The query with some of its modalities."""
    part = mudata.MuData({name: query[name].copy() for name in names})
    part.obsm["X_clipdim"] = query[part.obs_names].obsm["X_clipdim"]
    part.uns["clipdim_embedded"] = query.uns["clipdim_embedded"]
    return part


def by_name(adata, names, values):
    return pd.DataFrame(values, index=adata.obs_names).loc[names].to_numpy()


def test_neighbours_of_training_cells_equal_scikit_learn(pair):
    reference, query = pair
    found = impute(query, reference, "prot", method="knn", n_neighbors=9)
    trained = reference.obs_names[reference.obs["clipdim_split"] == "train"]
    rna, prot = reference["rna"], reference["prot"]
    knn = KNeighborsRegressor(9, weights=lambda d: np.exp(-((d / d.max(axis=1, keepdims=True)) ** 2)))
    knn.fit(by_name(rna, trained, rna.obsm["X_clipdim"]), by_name(prot, trained, prot.X))
    of_query = by_name(query["rna"], query.obs_names, query["rna"].obsm["X_clipdim"])
    np.testing.assert_allclose(found.X, knn.predict(of_query), atol=1e-4)
    held_out = reference.obs_names[reference.obs["clipdim_split"] == "held-out"]
    predicted, truth = knn.predict(by_name(rna, held_out, rna.obsm["X_clipdim"])), by_name(prot, held_out, prot.X)
    expected = [np.corrcoef(*columns)[0, 1] for columns in zip(predicted.T, truth.T, strict=True)]
    np.testing.assert_allclose(found.var["correlation"], expected, atol=1e-4)
    table = found.uns["clipdim_impute"]["accuracy"]
    assert table["n_cells"].unique().tolist() == [len(held_out)]
    assert table["cells"].unique().tolist() == ["held-out"]


@pytest.mark.parametrize(("modality", "source"), [("prot", "rna"), ("rna", "prot")])
def test_what_is_imputed_is_close_to_what_was_measured(pair, modality, source, unchanged):
    reference, query = pair
    with unchanged(reference), unchanged(query):
        found = impute(query, reference, modality)
    assert found.obs_names.tolist() == query.obs_names.tolist()
    assert found.var_names.tolist() == reference[modality].var_names.tolist()
    assert found.X.dtype == np.float32
    assert found.obs["imputed_from"].unique().tolist() == [source]
    truth = by_name(query[modality], query.obs_names, query[modality].X)
    reached = np.array([np.corrcoef(*columns)[0, 1] for columns in zip(found.X.T, truth.T, strict=True)])
    assert reached.mean() > 0.9
    np.testing.assert_allclose(found.var["correlation"], reached, atol=0.1)


def test_what_the_query_measured_is_not_used(pair):
    reference, query = pair
    expected = impute(query, reference, "prot")
    query["prot"].X[:] = 0
    query["prot"].obsm["X_clipdim"][:] = 0
    np.testing.assert_array_equal(impute(query, reference, "prot").X, expected.X)
    np.testing.assert_array_equal(impute(only(query, "rna"), reference, "prot").X, expected.X)


def test_goes_into_the_query_and_files(pair, tmp_path, assert_same):
    reference, query = pair
    query = only(query, "rna")
    imputed = impute(query, reference, "prot")
    imputed.write_h5ad(tmp_path / "i.h5ad")
    assert_same(anndata.read_h5ad(tmp_path / "i.h5ad").uns["clipdim_impute"], imputed.uns["clipdim_impute"])
    query.mod["prot"] = imputed
    query.update()
    assert query["prot"].n_obs == query.n_obs
    query.write(tmp_path / "q.h5mu")
    query.write_zarr(tmp_path / "q.zarr")
    for again in (mudata.read_h5mu(tmp_path / "q.h5mu"), mudata.read_zarr(tmp_path / "q.zarr")):
        np.testing.assert_array_equal(again["prot"].X, imputed.X)
        record, expected = again["prot"].uns["clipdim_impute"], imputed.uns["clipdim_impute"]
        assert_same(dict(record["params"]), expected["params"])
        assert str(record["fit"]) == expected["fit"]
        np.testing.assert_array_equal(record["accuracy"]["correlation"], expected["accuracy"]["correlation"])
        assert list(again["prot"].var["method"]) == list(imputed.var["method"])
        np.testing.assert_array_equal(again["prot"].var["r2"], imputed.var["r2"])


def test_named_features_and_layers(pair):
    reference, query = pair
    everything = impute(query, reference, "rna", method="knn")
    some = impute(query, reference, "rna", features=["rna7", "rna2"], method="knn")
    assert some.var_names.tolist() == ["rna7", "rna2"]
    np.testing.assert_allclose(some.X, everything[:, ["rna7", "rna2"]].X, atol=1e-6)
    reference["rna"].layers["doubled"] = csr_matrix(2 * reference["rna"].X)
    doubled = impute(query, reference, "rna", layer="doubled", method="knn")
    np.testing.assert_allclose(doubled.X, 2 * everything.X, atol=1e-5)
    assert doubled.uns["clipdim_impute"]["params"]["layer"] == "doubled"


def test_features_in_blocks(pair, monkeypatch):
    reference, query = pair
    expected = impute(query, reference, "rna")
    monkeypatch.setattr("clipdim.tl._impute.NUMBERS_PER_BLOCK", 5 * 400)
    found = impute(query, reference, "rna")
    np.testing.assert_allclose(found.X, expected.X, atol=1e-5)
    pd.testing.assert_frame_equal(found.var, expected.var, check_exact=False, atol=1e-5)


def test_seeds(pair):
    reference, query = pair
    state = np.random.get_state()[1].copy()
    first, again, other = (impute(query, reference, "prot", random_state=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.X, again.X)
    pd.testing.assert_frame_equal(first.var, again.var)
    assert not np.array_equal(first.X, other.X)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_each_combination_of_modalities_has_its_decoders(make_pair):
    reference, query = make_pair(names=("rna", "prot", "atac"))
    names = query.obs_names.to_numpy()
    has = {"rna": names[:40], "atac": names[30:55], "prot": names}
    part = mudata.MuData({name: query[name][cells].copy() for name, cells in has.items()})
    embed(part, reference, device="cpu")
    with pytest.warns(UserWarning, match=r"5 of 60 cells have none of the modalities \['rna', 'atac'\] and are left"):
        found = impute(part, reference, "prot")
    assert found.obs["imputed_from"].value_counts().to_dict() == {"rna": 30, "atac": 15, "rna + atac": 10}
    assert set(found.obs_names) == set(names[:55])
    for cells, sources in ((names[:30], ["rna"]), (names[30:40], ["rna", "atac"]), (names[40:55], ["atac"])):
        alone = mudata.MuData({name: part[name][cells].copy() for name in sources})
        embed(alone, reference, device="cpu")
        expected = impute(alone, reference, "prot")
        np.testing.assert_allclose(found[expected.obs_names].X, expected.X, atol=1e-5)
    table = found.uns["clipdim_impute"]["accuracy"]
    assert set(table["imputed_from"]) == {"rna", "atac", "rna + atac"}
    of_most = table[table["imputed_from"] == "rna"]
    np.testing.assert_array_equal(of_most["correlation"], found.var["correlation"])
    query.mod["prot"] = found
    query.update()
    assert query.n_obs == 60


def test_cells_of_the_reference_that_lack_the_modality(make_mdata):
    mdata, complete = (make_mdata(400, lacking=lacking) for lacking in (30, 0))
    fit(mdata, 4, holdout=0.4, **QUIET)
    with pytest.warns(UserWarning, match="30 of 400 cells have none"):
        found = impute(mdata, mdata, "prot")
    cells = mdata.obs_names[~mdata.obs_names.isin(mdata["prot"].obs_names)]
    truth = by_name(complete["prot"], cells, complete["prot"].X)
    assert len(cells) == 30
    assert np.corrcoef(found[cells].X.ravel(), truth.ravel())[0, 1] > 0.8


def test_too_few_held_out_cells(make_pair):
    reference, query = make_pair(holdout=0.1)
    with pytest.warns(UserWarning, match=r"40 cells .* were held out of training, at least 100 are needed"):
        found = impute(query, reference, "prot")
    table = found.uns["clipdim_impute"]["accuracy"]
    assert table["cells"].unique().tolist() == ["train"]
    assert table["n_cells"].unique().tolist() == [56]


@pytest.mark.filterwarnings("ignore:40 cells .* were held out")
def test_cells_that_measure_are_not_learned_from(make_pair):
    """Noise cannot be predicted from other cells, and could be from the cell itself."""
    reference, query = make_pair(holdout=0.1)
    reference["prot"].layers["noise"] = np.random.default_rng(0).normal(size=reference["prot"].shape)
    found = impute(query, reference, "prot", layer="noise", method="knn", n_neighbors=1)
    assert found.uns["clipdim_impute"]["accuracy"]["cells"].unique().tolist() == ["train"]
    assert abs(found.var["correlation"].mean()) < 0.15


def test_raw_counts_are_said(pair):
    reference, query = pair
    reference["prot"].layers["counts"] = np.random.default_rng(0).poisson(30, reference["prot"].shape)
    reference["prot"].X = reference["prot"].layers["counts"].copy()
    with pytest.warns(UserWarning, match=r"X of modality 'prot' holds non-negative integers"):
        impute(only(query, "rna"), reference, "prot")
    impute(only(query, "rna"), reference, "prot", layer="counts")


def test_views_will_do(pair):
    reference, query = pair
    expected = impute(query, reference, "prot")
    np.testing.assert_allclose(impute(query[:20], reference, "prot").X, expected.X[:20], atol=1e-5)


def test_bad_arguments(pair, unchanged):
    reference, query = pair
    for arguments, error, match in (
        ({"modality": "atac"}, ValueError, r"modality='atac' is not one of .* fitted on: \['rna', 'prot'\]"),
        ({"features": ["rna0", "CD4"]}, KeyError, r"no features \['CD4'\] \(1 of 2\); it has \['rna0'"),
        ({"features": []}, ValueError, r"features is empty; name some of \['rna0'"),
        ({"features": ["rna1", "rna0", "rna1"]}, ValueError, r"\['rna1'\] more than once"),
        ({"features": "rna1"}, TypeError, r"pass features=\['rna1'\]"),
        ({"layer": "counts"}, KeyError, "has no layer 'counts'"),
        ({"method": "forest"}, ValueError, r"method must be one of \['auto', .* got 'forest'"),
        ({"n_neighbors": 0}, ValueError, "n_neighbors must be an integer of at least 1, got 0"),
        ({"key": "other"}, KeyError, r"clipdim\.tl\.fit"),
    ):
        with unchanged(reference), unchanged(query), pytest.raises(error, match=match):
            impute(query, reference, **{"modality": "rna", **arguments})


def test_bad_query(pair, make_mdata, unchanged):
    reference, query = pair
    alone = only(query, "prot")
    with unchanged(alone), pytest.raises(ValueError, match=r"nothing to impute 'prot' from; add one of \['rna'\]"):
        impute(alone, reference, "prot")
    fresh = make_mdata(50)
    with unchanged(fresh), pytest.raises(KeyError, match=r"run clipdim\.tl\.embed\(query, reference"):
        impute(fresh, reference, "prot")
    other = reference.copy()
    del other.uns["clipdim"]
    fit(other, 4, random_state=1, **QUIET)
    with unchanged(query), pytest.raises(ValueError, match="not made by the encoders of this reference"):
        impute(query, other, "prot")
    with pytest.raises(TypeError, match="expected a MuData"):
        impute(query["rna"], reference, "prot")


def test_bad_reference(pair):
    reference, query = pair
    with pytest.raises(ValueError, match=r"has 14 training cells with rna and prot, at least 20 are needed"):
        impute(
            query,
            reference[reference.obs_names[np.flatnonzero(reference.obs["clipdim_split"] == "train")[:14]]],
            "prot",
        )
    values = reference["prot"].X.copy()
    reference["prot"].X[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"X of modality 'prot' has NaN"):
        impute(only(query, "rna"), reference, "prot")
    reference["prot"].X = None
    with pytest.raises(ValueError, match=r"modality 'prot' has no X; name one of its layers"):
        impute(only(query, "rna"), reference, "prot")
    reference["prot"].X = values
    reference["prot"].var_names = ["same"] * 8
    with pytest.raises(ValueError, match="not unique"):
        impute(only(query, "rna"), reference, "prot")


def test_too_many_features_without_names(pair, monkeypatch):
    reference, query = pair
    monkeypatch.setattr("clipdim._mudata.features.MAX_FEATURES_OF_X", 10)
    with pytest.raises(ValueError, match=r"'rna' has 12 features, without a choice at most 10 .* features=\['rna0'"):
        impute(query, reference, "rna")
    assert impute(query, reference, "rna", features=["rna3"]).shape == (60, 1)
