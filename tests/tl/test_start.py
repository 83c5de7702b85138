"""``tl.fit`` begins at a ridge CCA: the start alone, few cells, odd shapes; when noise on the inputs is left out."""

from dataclasses import replace

import matplotlib.pyplot as plt
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

import clipdim
from clipdim import pl, tl
from clipdim.contrast import RECIPES, ridge_cca
from clipdim.fitting import learning
from clipdim.model import ContrastiveEncoders
from clipdim.tl import embed, fit, match, reduce, update

DEFAULT = RECIPES["default"]
QUICK = {"progress": False, "device": "cpu"}
START = {"max_epochs": 0, **QUICK}
pytestmark = pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")


def training_cells(mdata):
    return mdata.obs_names[(mdata.obs["clipdim_split"] == "train").to_numpy(dtype=bool, na_value=False)]


def noise_of(mdata):
    return mdata.uns["clipdim"]["params"]["recipe"]["input_noise"]


def two_views(n_cells, bend):
    """Two views of one measurement, one of them bent."""
    x = np.random.default_rng(0).standard_normal((n_cells, 3)).astype(np.float32)
    rna, twin = AnnData(x), AnnData(bend(x).astype(np.float32))
    twin.var_names = [f"twin{i}" for i in range(3)]
    return MuData({"rna": rna, "twin": twin})


@pytest.fixture(params=["a trial first", "at once"])
def regime(request, monkeypatch):
    """Few cells are learned from once more after a trial, many are spared it."""
    if request.param == "at once":
        monkeypatch.setattr(learning, "SPARED", 1.0)
    return request.param


def test_views_of_one_measurement_are_fitted_without_noise(regime):
    """Noise that hides much of what the modalities share is left out at once."""
    mdata = two_views(600, lambda x: x + x**3)
    fit(mdata, 8, **QUICK)
    assert noise_of(mdata) == 0
    table = mdata.uns["clipdim"]["learning"]
    assert (table["input_noise"] == 0).all()
    assert (table["hidden_by_noise"] > learning.HARMFUL).all()


def test_clean_data_are_fitted_without_noise():
    mdata = clipdim.datasets.linear(4_000, n_shared=2)
    fit(mdata, 16, **QUICK)
    assert noise_of(mdata) == 0
    assert (match(mdata)["top_alpha"] > 0.98).all()


def test_noise_in_doubt_is_tried_against_none(monkeypatch):
    """What wins is what all training cells are fitted with: the hidden layers, which are not shrunk, tell."""
    monkeypatch.setattr(learning, "HARMFUL", 1.0)
    mdata = two_views(1_000, lambda x: np.sin(2 * x))
    given = mdata.copy()
    fit(mdata, 8, **QUICK)
    table = mdata.uns["clipdim"]["learning"]
    least = table.groupby("input_noise")["loss"].min()
    assert list(least.index) == [0, DEFAULT.input_noise]
    assert least[0] < least[DEFAULT.input_noise] - 0.2
    assert (table.loc[table["input_noise"] > 0, "hidden_by_noise"] > learning.DOUBTFUL).all()
    assert noise_of(mdata) == 0
    fit(given, 8, recipe=replace(DEFAULT, input_noise=0.0), **QUICK)
    for name in mdata.mod:
        ours, theirs = (one.uns["clipdim"]["encoders"][name] for one in (mdata, given))
        for part in ("layers.0.weight", "layers.1.weight", "noise"):
            np.testing.assert_array_equal(ours[part], theirs[part])


def test_counts_keep_the_noise(regime):
    mdata = clipdim.datasets.simulate_citeseq(n_cells=600)
    clipdim.pp.citeseq(mdata)
    fit(mdata, 16, **QUICK)
    assert noise_of(mdata) == DEFAULT.input_noise
    assert (mdata.uns["clipdim"]["learning"]["hidden_by_noise"] < learning.DOUBTFUL).all()


def test_a_recipe_may_insist_on_noise(regime):
    mdata = two_views(600, lambda x: x + x**3)
    fit(mdata, 8, recipe=replace(DEFAULT, adaptive_noise=False), max_epochs=5, **QUICK)
    assert noise_of(mdata) == DEFAULT.input_noise
    assert (mdata.uns["clipdim"]["learning"]["hidden_by_noise"] == 0).all()


@pytest.fixture(scope="module")
def started_once(make_mdata):
    mdata = make_mdata(300, lacking=20)
    mdata.obs["cell_type"] = pd.Categorical(np.where(np.arange(mdata.n_obs) % 3, "T", "B"))
    fit(mdata, 6, holdout=0.3, **START)
    return mdata


@pytest.fixture
def started(started_once):
    """A fit of no epochs; some cells lack a modality."""
    return started_once.copy()


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_start_alone_is_the_ridge_cca_of_the_training_cells(make_mdata, similarity):
    """The variates and a constant beside them, half as large as they are together."""
    mdata = make_mdata(200)
    fit(mdata, 6, similarity=similarity, **START)
    train = training_cells(mdata)
    start = ridge_cca({name: adata[train].X for name, adata in mdata.mod.items()}, 6)
    for name, adata in mdata.mod.items():
        variates = start.transform(name, adata.X)[:, :5]
        constant = 0.5 * np.sqrt((start.spreads(name)[:5] ** 2).sum())
        expected = np.column_stack([variates, np.full(len(variates), constant)])
        norms = np.linalg.norm(expected, axis=1)
        expected /= norms[:, None] if similarity == "cosine" else norms[adata.obs_names.isin(train)].mean()
        found = adata.obsm["X_clipdim"]
        np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=2e-3)


def test_start_alone_is_a_complete_fit(started):
    record = started.uns["clipdim"]
    assert record["params"]["n_epochs"] == record["params"]["recipe"]["max_epochs"] == 0
    assert len(record["history"]) == 1
    assert np.isnan(record["history"]["loss"].item())
    assert np.isfinite(record["history"].drop(columns="loss")).all(axis=None)
    assert record["temperature"] == pytest.approx(record["history"]["temperature"].item())
    assert record["learning"][["share", "chosen"]].to_numpy().tolist() == [[0.0, True]]
    assert np.isfinite(started.obsm["X_clipdim"]).all()
    scores = match(started)
    assert (scores["foscttm"] < 0.02).all()
    assert tl.classify(started, "cell_type")["accuracy"].between(0, 1).all()
    assert np.isfinite(tl.diagnose(started).checks.set_index("check").loc["matching", "value"])
    tl.private(started)
    tl.loadings(started)
    for draw in (pl.history, pl.temperature, pl.similarity, pl.norms, pl.intrinsic_dimension):
        draw(started)
    plt.close("all")


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_start_alone_through_a_file(started, make_mdata, through_file, assert_same, form):
    read, own, new = through_file(started, form), make_mdata(300, lacking=20), make_mdata(50, seed=3)
    assert_same(dict(read.uns["clipdim"]), dict(started.uns["clipdim"]))
    embed(own, read, device="cpu")
    np.testing.assert_allclose(own.obsm["X_clipdim"], started.obsm["X_clipdim"], atol=1e-5)
    embed(new, read, device="cpu")
    assert np.isfinite(new.obsm["X_clipdim"]).all()


@pytest.mark.parametrize("method", ["pca", "refit", "distill"])
def test_start_alone_can_be_reduced(started, method):
    reduce(started, 3, method=method, **QUICK)
    assert np.isfinite(started.obsm["X_clipdim_reduced"]).all()
    params = started.uns["clipdim_reduced"]["params"]
    # as many epochs as a fit of so many cells takes
    n_train = int((started.obs["clipdim_split"] == "train").sum())
    assert params["n_epochs"] == (0 if method == "pca" else DEFAULT.n_epochs(n_train))
    assert (match(started, key="clipdim_reduced")["foscttm"] < 0.1).all()


def test_start_alone_can_be_updated(started, make_mdata):
    new = make_mdata(100, seed=5)
    update(new, started, **QUICK)
    record = new.uns["clipdim_updated"]
    assert record["params"]["n_epochs"] > 0
    assert (record["shift"]["mean"] <= 0.05).all()
    assert "learning" not in record
    assert np.isfinite(new.obsm["X_clipdim_updated"]).all()


def test_start_alone_says_nothing_while_it_runs(make_mdata, capsys):
    fit(make_mdata(60), 3, max_epochs=0, progress=True, device="cpu")
    assert capsys.readouterr() == ("", "")


def test_start_alone_of_the_model(make_mdata):
    mdata = make_mdata(100)
    ContrastiveEncoders.setup_mudata(mdata)
    model = ContrastiveEncoders(mdata, 4)
    model.train(max_epochs=0, accelerator="cpu", progress=False)
    assert model.is_trained
    assert model.get_latent_representation().shape == (100, 4)
    assert len(model.history["temperature"]) == 1


def test_start_alone_of_inputs_that_are_not_standardised(make_mdata):
    mdata = make_mdata(200)
    for adata in mdata.mod.values():
        adata.X += 20
    fit(mdata, 6, recipe=replace(DEFAULT, standardize=False), **START)
    assert (match(mdata)["foscttm"] < 0.1).all()


@pytest.mark.parametrize("max_epochs", [0, None])
@pytest.mark.parametrize("n_cells", [10, 11, 15, 20, 30])
def test_few_cells(make_mdata, n_cells, max_epochs):
    mdata = make_mdata(n_cells, 1)
    fit(mdata, 4, holdout=0, max_epochs=max_epochs, **QUICK)
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()
    assert np.isfinite(mdata.uns["clipdim"]["learning"]["loss"]).all()
    assert mdata.uns["clipdim"]["temperature"] > 0
    if n_cells >= 20:
        with pytest.warns(UserWarning, match="no cell was held out"):
            assert (match(mdata)["foscttm"] < 0.25).all()


@pytest.mark.parametrize("recipe", ["default", DEFAULT])
def test_one_group_with_few_cells(make_mdata, recipe):
    mdata = make_mdata(90)
    mdata.obs["donor"] = pd.Categorical(np.where(np.arange(90) < 17, "few", "many"))
    fit(mdata, 4, recipe=recipe, batch_key="donor", holdout=0, max_epochs=3, **QUICK)
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()
    # with batches the default is another recipe, which trains once
    assert ("learning" in mdata.uns["clipdim"]) == (recipe is DEFAULT)
    assert np.isfinite(mdata.uns["clipdim"]["temperature"])


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
@pytest.mark.parametrize("max_epochs", [0, 3])
def test_more_dimensions_than_features(make_mdata, similarity, max_epochs):
    mdata = make_mdata(200, names=("rna", "prot", "atac"))
    fit(mdata, 40, similarity=similarity, max_epochs=max_epochs, **QUICK)
    assert mdata.obsm["X_clipdim"].shape == (200, 40)
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()
    # columns beyond the variates are not empty
    assert (mdata.obsm["X_clipdim"].std(axis=0) > 0).sum() >= 39
    assert (match(mdata)["foscttm"] < 0.2).all()


@pytest.mark.filterwarnings("ignore:with out_dim=1")
@pytest.mark.parametrize("out_dim", [1, 5])
@pytest.mark.parametrize("similarity", ["cosine", "inner"])
@pytest.mark.parametrize("max_epochs", [0, 3])
def test_a_modality_of_one_feature(make_mdata, out_dim, similarity, max_epochs):
    mdata = make_mdata(200)
    modalities = {"rna": mdata["rna"].copy(), "one": mdata["prot"][:, :1].copy()}
    mdata = mudata.MuData(modalities)
    fit(mdata, out_dim, similarity=similarity, max_epochs=max_epochs, **QUICK)
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()
    if out_dim > 1 or similarity == "inner":
        assert (match(mdata)["foscttm"] < 0.3).all()


def test_constant_and_repeated_features(make_mdata):
    mdata = make_mdata(200)
    mdata["rna"].X[:, 3] = mdata["rna"].X[:, 4]
    mdata["prot"].X[:, 2] = 7
    with pytest.warns(UserWarning, match="1 of 8 features of 'X' of modality 'prot' are constant"):
        fit(mdata, 6, **START)
    assert (match(mdata)["foscttm"] < 0.05).all()


def test_large_numbers_far_from_zero(make_mdata):
    mdata, far = make_mdata(200), make_mdata(200)
    for adata in far.mod.values():
        adata.X = (1_000 * adata.X.astype(np.float64) + 1e5).astype(np.float32)
    for one in (mdata, far):
        fit(one, 6, **START)
    for name in mdata.mod:
        found, expected = (one[name].obsm["X_clipdim"] for one in (far, mdata))
        np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-2)


def two_of_three(n_cells):
    """Cells that have two of three modalities each."""
    complete = clipdim.datasets.simulate_modalities(n_cells, 2, 0, n_features=6)
    lacks = np.arange(n_cells) % 3
    return mudata.MuData({name: adata[lacks != i].copy() for i, (name, adata) in enumerate(complete.mod.items())})


@pytest.mark.parametrize("max_epochs", [0, 2])
@pytest.mark.parametrize("n_cells", [60, 24])
def test_few_cells_that_have_two_of_three_modalities(n_cells, max_epochs):
    mdata = two_of_three(n_cells)
    fit(mdata, 4, holdout=0, max_epochs=max_epochs, **QUICK)
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()


@pytest.mark.parametrize("n_cells", [3, 2])
def test_a_modality_of_very_few_cells(make_mdata, n_cells):
    mdata = make_mdata(100, names=("rna", "prot", "atac"))
    few = mdata["atac"][mdata["atac"].obs_names.isin([f"cell{i}" for i in range(n_cells)])].copy()
    mdata = mudata.MuData({"rna": mdata["rna"].copy(), "prot": mdata["prot"].copy(), "atac": few})
    for seed in range(5):
        fit(mdata, 4, holdout=0, max_epochs=1, random_state=seed, **QUICK)
        assert np.isfinite(mdata.obsm["X_clipdim"]).all()


def test_ten_cells_some_of_which_lack_a_modality():
    complete = clipdim.datasets.simulate_modalities(10, 2, 0, n_features=6)
    for seed in range(8):
        # one in four has all three
        lacks = np.random.default_rng(seed).integers(4, size=10)
        parts = {name: adata[lacks != i].copy() for i, (name, adata) in enumerate(complete.mod.items())}
        mdata = mudata.MuData(parts)
        fit(mdata, 4, holdout=0, max_epochs=1, random_state=seed, **QUICK)
        assert np.isfinite(mdata.obsm["X_clipdim"]).all()
