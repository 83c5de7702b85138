"""Three modalities, all of which, two, or one a cell may have."""

from itertools import combinations

import mudata
import numpy as np
import pandas as pd
import pytest

import clipdim
from clipdim import tl
from clipdim.tl import embed, fit

QUICK = {"max_epochs": 3, "progress": False, "device": "cpu"}
PAIRS = list(combinations("xyz", 2))


def simulate(n_cells=600, n_shared=3, n_pairwise=0, **arguments):
    mdata = clipdim.datasets.simulate_modalities(n_cells, n_shared, n_pairwise, n_features=10, **arguments)
    mdata.obs["side"] = pd.Categorical(np.where(mdata.obsm["shared"][:, 0] > 0, "right", "left")) if n_shared else "a"
    return mdata


def keep(mdata, has, *, seed=None):
    """Cells of each modality where ``has`` (cells x modalities) says so, with a seed in random order."""
    modalities = {}
    for place, (name, adata) in enumerate(mdata.mod.items()):
        cells = mdata.obs_names[has[:, place]]
        if seed is not None:
            cells = np.random.default_rng([seed, place]).permutation(cells)
        modalities[name] = adata[cells].copy()
    kept = mudata.MuData(modalities)
    kept.obs["side"] = mdata.obs["side"].loc[kept.obs_names]
    return kept


def mosaic(n_cells=600, **arguments):
    """Cells with three, two or one of the modalities."""
    return simulate(n_cells, missing=0.4, **arguments)


def two_of_three(n_cells=600, n_shared=3, n_pairwise=0):
    """No cell has all three."""
    complete = simulate(n_cells, n_shared, n_pairwise)
    lacks = np.random.default_rng(1).permutation(n_cells) % 3
    return keep(complete, lacks[:, None] != np.arange(3))


def chain():
    """Cells with x and y, with y and z, or with y alone; never with x and z."""
    kind = np.arange(600) % 5
    return keep(simulate(), np.stack([kind < 2, kind >= 0, kind > 2], axis=1))


MAKERS = {"complete": simulate, "mosaic": mosaic, "two of three": two_of_three, "chain": chain}


def presence(mdata):
    """Which cells have which modality, (cells x modalities) bool."""
    return pd.DataFrame({name: mdata.obs_names.isin(adata.obs_names) for name, adata in mdata.mod.items()}).to_numpy()


def embeddings(mdata, slot="X_clipdim"):
    return {name: pd.DataFrame(data.obsm[slot], index=data.obs_names) for name, data in mdata.mod.items()}


@pytest.fixture(scope="module", params=MAKERS)
def fitted(request, plain):
    """A fit of each kind of cells; tests work on copies."""
    mdata = MAKERS[request.param]()
    fit(mdata, 6, recipe=plain, holdout=0.2, **QUICK)
    return mdata


def test_every_cell_has_a_joint_embedding(fitted):
    assert np.isfinite(fitted.obsm["X_clipdim"]).all()
    means = pd.concat(embeddings(fitted).values()).groupby(level=0).mean().loc[fitted.obs_names]
    np.testing.assert_allclose(fitted.obsm["X_clipdim"], means, atol=1e-6)


def test_cells_with_two_modalities_are_split(fitted):
    split, paired = fitted.obs["clipdim_split"], presence(fitted).sum(axis=1) > 1
    assert split[paired].notna().all()
    assert split[~paired].isna().all()
    assert (split == "held-out").sum() == round(0.2 * paired.sum())


def test_table_of_pairs(fitted):
    written, has = fitted.uns["clipdim"], presence(fitted)
    table = written["pairs"].set_index(["first", "second"])
    assert table.index.tolist() == PAIRS
    held_out = (fitted.obs["clipdim_split"] == "held-out").to_numpy(dtype=bool, na_value=False)
    vectors = embeddings(fitted)
    for (a, b), row in table.iterrows():
        both = held_out & has[:, "xyz".index(a)] & has[:, "xyz".index(b)]
        assert row["n_cells"] == both.sum()
        if not both.any():
            assert row.drop("n_cells").isna().all()
            continue
        cells = fitted.obs_names[both]
        u, v = (vectors[name].loc[cells].to_numpy(dtype=float) for name in (a, b))
        similarities = u @ v.T
        assert row["positive_similarity"] == pytest.approx(np.diagonal(similarities).mean(), rel=1e-4)
        negatives = similarities[~np.eye(len(cells), dtype=bool)]
        assert row["negative_similarity"] == pytest.approx(negatives.mean(), abs=1e-5)
        assert row["temperature"] == written["history"][f"temperature_{a} and {b}"].iloc[-1]
        assert 0 < row["low"] < row["intrinsic_dimension"] < row["high"]


def test_temperature_is_the_mean_over_the_pairs():
    mdata = simulate()
    fit(mdata, 6, **QUICK)
    written = mdata.uns["clipdim"]
    temperatures = written["pairs"]["temperature"].to_numpy()
    assert len(set(temperatures)) == 3
    assert written["temperature"] == pytest.approx(np.exp(np.log(temperatures).mean()), rel=1e-3)


def test_history_has_no_gaps(fitted):
    assert not fitted.uns["clipdim"]["history"].isna().any(axis=None)


@pytest.mark.parametrize("method", ["pca", "refit", "distill"])
def test_reduce(fitted, method):
    mdata = fitted.copy()
    tl.reduce(mdata, 3, method=method, max_epochs=1, progress=False)
    assert mdata.obsm["X_clipdim_reduced"].shape == (600, 3)
    assert np.isfinite(mdata.obsm["X_clipdim_reduced"]).all()
    reduced, large = mdata.uns["clipdim_reduced"], mdata.uns["clipdim"]
    assert np.isfinite(reduced["temperature"])
    if method == "pca":
        np.testing.assert_allclose(reduced["pairs"]["temperature"], large["pairs"]["temperature"], rtol=1e-5)


def test_match_and_classify(fitted):
    mdata, has = fitted.copy(), presence(fitted)
    measured = [(a, b) for a, b in PAIRS if (has[:, "xyz".index(a)] & has[:, "xyz".index(b)]).any()]
    table = tl.match(mdata).query("split == 'held-out'")
    assert set(zip(table["query"], table["target"], strict=True)) == {*measured, *((b, a) for a, b in measured)}
    sizes = table.set_index(["query", "target"])["n_cells"]
    for row in mdata.uns["clipdim"]["pairs"].itertuples():
        assert row.n_cells == sizes.get((row.first, row.second), 0) == sizes.get((row.second, row.first), 0)
    table = tl.classify(mdata, "side").query("split == 'held-out' and kind == 'overall'").set_index("method")
    assert set(table.index) == {"joint k-NN", *(f"{a} to {b}" for a, b in sizes.index)}
    assert table.loc["joint k-NN", "n_cells"] == (mdata.obs["clipdim_split"] == "held-out").sum()


def test_diagnose(fitted):
    table = tl.diagnose(fitted.copy()).checks.set_index("check")
    assert np.isfinite(table.loc[["matching", "positive_similarity", "separation", "overfitting"], "value"]).all()


def test_query_with_some_of_the_modalities(fitted):
    query = mudata.MuData({name: fitted[name][10:60].copy() for name in ("z", "x")})
    for data in (query, *query.mod.values()):
        data.obsm.clear()
    embed(query, fitted)
    known = embeddings(fitted)
    for name in ("z", "x"):
        np.testing.assert_allclose(query[name].obsm["X_clipdim"], known[name].loc[query[name].obs_names], atol=1e-5)
    assert np.isfinite(query.obsm["X_clipdim"]).all()


@pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")
@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_through_a_file(form, through_file, assert_same):
    fitted = chain()
    fit(fitted, 6, **QUICK)
    read = through_file(fitted, form)
    assert_same(dict(read.uns["clipdim"]), dict(fitted.uns["clipdim"]))
    pd.testing.assert_series_equal(read.obs["clipdim_split"], fitted.obs["clipdim_split"])
    np.testing.assert_array_equal(read.obsm["X_clipdim"], fitted.obsm["X_clipdim"])
    tl.match(read)


def test_sweep():
    mdata = mosaic(300)
    table = tl.sweep(mdata, [2, 4], n_repeats=1, label_keys=["side"], n_jobs=1, **QUICK)
    assert sorted(table["out_dim"].unique()) == [2, 4]
    assert not mdata.uns["clipdim_sweep"]["failures"].shape[0]


@pytest.mark.parametrize("kind", ["complete", "mosaic"])
def test_order_of_the_rows(kind):
    """The same cells in another order in the modalities get the same embedding."""
    has = np.ones((600, 3), dtype=bool)
    if kind == "mosaic":  # the first modality gives the order of the cells, by which the split is drawn
        has[:, 1:] = np.random.default_rng(0).random((600, 2)) < 0.7
    ordered, shuffled = keep(simulate(), has), keep(simulate(), has, seed=3)
    shuffled = mudata.MuData({name: (shuffled if name > "x" else ordered)[name].copy() for name in "xyz"})
    assert (ordered.obs_names == shuffled.obs_names).all()
    assert (ordered["y"].obs_names != shuffled["y"].obs_names).any()
    for mdata in (ordered, shuffled):
        fit(mdata, 6, **QUICK)
    found = embeddings(shuffled)
    for name, expected in embeddings(ordered).items():
        np.testing.assert_allclose(found[name].loc[expected.index], expected, atol=1e-4)
    np.testing.assert_allclose(shuffled.obsm["X_clipdim"], ordered.obsm["X_clipdim"], atol=1e-4)


def test_seed(assert_same):
    fits = []
    for seed in (0, 0, 1):
        mdata = mosaic(300)
        fit(mdata, 6, random_state=seed, **QUICK)
        fits.append(mdata)
    np.testing.assert_array_equal(fits[0].obsm["X_clipdim"], fits[1].obsm["X_clipdim"])
    assert_same(fits[0].uns["clipdim"], fits[1].uns["clipdim"])
    assert not np.allclose(fits[0].obsm["X_clipdim"], fits[2].obsm["X_clipdim"])


def test_cells_with_one_modality_take_no_part():
    """Their values change nothing for the others."""
    mdata = mosaic()
    other = mdata.copy()
    alone = other.obs_names[presence(other).sum(axis=1) == 1]
    for adata in other.mod.values():
        adata.X[adata.obs_names.isin(alone)] += 100
    for data in (mdata, other):
        fit(data, 6, **QUICK)
    paired = ~mdata.obs_names.isin(alone)
    np.testing.assert_array_equal(other.obsm["X_clipdim"][paired], mdata.obsm["X_clipdim"][paired])
    assert not np.allclose(other.obsm["X_clipdim"][~paired], mdata.obsm["X_clipdim"][~paired])


def test_batches_and_missing_modalities():
    mdata = mosaic()
    mdata.obs["site"] = pd.Categorical(np.array(["a", "b"])[np.arange(600) % 2])
    fit(mdata, 6, batch_key="site", **QUICK)
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()
    tl.diagnose(mdata)


def test_inner_product_and_missing_modalities():
    mdata = mosaic()
    fit(mdata, 6, recipe="paper", max_epochs=2, progress=False, device="cpu")
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()
    assert "norm set" in mdata.obs["clipdim_split"].cat.categories


def test_modalities_without_a_link(unchanged):
    complete = simulate()
    of_x = np.arange(600) < 200
    mdata = keep(complete, np.stack([of_x, ~of_x, ~of_x], axis=1))
    message = r"modalities \['x'\] and \['y', 'z'\] have no cell name in common, .*'cell_0'.* modalities=\[...\]"
    with unchanged(mdata), pytest.raises(ValueError, match=message):
        fit(mdata, 6, **QUICK)
    fit(mdata[~of_x].copy(), 6, modalities=["y", "z"], **QUICK)  # the mend works


def test_every_cell_has_one_modality(unchanged):
    complete = simulate()
    mdata = keep(complete, (np.arange(600) % 3)[:, None] == np.arange(3))
    with unchanged(mdata), pytest.raises(ValueError, match=r"\['x'\] and \['y'\] and \['z'\] have no cell name"):
        fit(mdata, 6, **QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("make", [simulate, two_of_three])
@pytest.mark.parametrize(("n_shared", "n_pairwise"), [(3, 0), (0, 3), (3, 2)])
def test_known_dimension(make, n_shared, n_pairwise):
    mdata = make(10_000, n_shared, n_pairwise)
    fit(mdata, 16, holdout=0.3, progress=False, device="cpu")
    for row in mdata.uns["clipdim"]["pairs"].itertuples():
        assert row.intrinsic_dimension == pytest.approx(n_shared + n_pairwise, abs=1)


@pytest.mark.parametrize("shrunk", [True, False])
def test_the_temperature_of_a_pair_that_shares_no_cell_is_in_no_mean(make_mdata, plain, shrunk):
    mdata = make_mdata(300, names=("rna", "prot", "atac"))
    # no cell has both protein and chromatin
    mdata.mod["prot"] = mdata["prot"][mdata["prot"].obs_names.isin([f"cell{i}" for i in range(150)])].copy()
    mdata.mod["atac"] = mdata["atac"][~mdata["atac"].obs_names.isin([f"cell{i}" for i in range(150)])].copy()
    mdata = mudata.MuData(dict(mdata.mod))
    fit(mdata, 4, recipe="default" if shrunk else plain, max_epochs=4, progress=False, device="cpu")
    result = mdata.uns["clipdim"]
    trained = result["pairs"].set_index(["first", "second"])["temperature"].dropna()
    assert set(trained.index) == {("rna", "prot"), ("rna", "atac")}
    least = result["params"]["recipe"]["min_temperature"]
    expected = np.exp(np.log(trained - least).mean()) + least
    assert result["temperature"] == pytest.approx(expected, rel=1e-5)
    if not shrunk:
        assert result["history"]["temperature"].iloc[-1] == pytest.approx(expected, rel=1e-5)
