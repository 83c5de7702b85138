"""A new fit: which cells it learns from, and what the cells left out choose."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from clipdim.contrast import RECIPES, ContrastiveModel, ridge_cca, train
from clipdim.contrast.validation import SHARES
from clipdim.fitting import learning, training
from clipdim.tl import fit

QUICK = {"progress": False, "device": "cpu"}
DEFAULT = RECIPES["default"]
STEADY = replace(DEFAULT, adaptive_noise=False)


@pytest.fixture(params=["a trial first", "at once"])
def regime(request, monkeypatch):
    """Few cells are learned from once more after a trial, many are spared it."""
    if request.param == "at once":
        monkeypatch.setattr(learning, "SPARED", 1.0)
    return request.param


@pytest.fixture
def runs(monkeypatch):
    """Numbers of training cells and of epochs of each training, and whether it was on trial."""
    found, original = [], training.train_with_history

    def recording(model, data, *, on_trial=False, **arguments):
        history = original(model, data, on_trial=on_trial, **arguments)
        found.append((len(data.train), len(history), on_trial))
        return history

    for module in ("learning", "run"):
        monkeypatch.setattr(f"clipdim.fitting.{module}.train_with_history", recording)
    return found


@pytest.fixture
def left_out(monkeypatch):
    """Inputs of the cells that chose, by modality."""
    found = []

    class Recording(learning.Validation):
        def __init__(self, cells):
            super().__init__(cells)
            found.append(cells)

    monkeypatch.setattr(learning, "Validation", Recording)
    return found


def names_of(inputs, adata):
    """Names of the cells that have these values."""
    rows = {values.tobytes(): name for values, name in zip(adata.X, adata.obs_names, strict=True)}
    return [rows[values.tobytes()] for values in inputs.numpy()]


def training_cells(mdata):
    return mdata.obs_names[(mdata.obs["clipdim_split"] == "train").to_numpy(dtype=bool, na_value=False)]


def table_of(mdata):
    return mdata.uns["clipdim"]["learning"]


def chosen_row(mdata):
    return table_of(mdata)[table_of(mdata)["chosen"]].iloc[0]


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_least_loss_is_chosen(make_mdata, regime, similarity):
    mdata = make_mdata()
    fit(mdata, 6, similarity=similarity, recipe=STEADY, **QUICK)
    table = table_of(mdata)
    assert table.columns.tolist() == ["share", "input_noise", "hidden_by_noise", "loss", "n_cells", "chosen"]
    assert table["share"].tolist() == list(SHARES)
    assert table["chosen"].tolist() == (table.index == table["loss"].idxmin()).tolist()
    assert (table["input_noise"] == DEFAULT.input_noise).all()
    assert (table["n_cells"] == 40).all()  # of 270
    assert np.isfinite(table["loss"]).all()


@pytest.mark.parametrize(
    ("n_cells", "n_validation"),
    # 15 %, but no fewer than 10 or a third, and no more than 300
    [(60, 10), (24, 8), (400, 60), (3_000, 300)],
)
def test_how_many_cells_are_left_out(make_mdata, left_out, n_cells, n_validation):
    mdata = make_mdata(n_cells)
    fit(mdata, 3, holdout=0, max_epochs=0, **QUICK)
    (cells,) = left_out
    assert len(cells) == chosen_row(mdata)["n_cells"] == n_validation


def test_of_few_cells_a_trial_chooses_and_all_are_learned_from(make_mdata, runs):
    fit(make_mdata(400), 4, recipe=STEADY, **QUICK)
    n_epochs = STEADY.n_epochs(360)
    # half of the epochs that so many cells would take
    assert runs == [(306, int(np.ceil(STEADY.n_epochs(306) / 2)), True), (360, n_epochs, False)]
    runs.clear()
    fit(make_mdata(400), 4, recipe=STEADY, max_epochs=5, **QUICK)
    assert runs == [(306, 5, True), (360, 5, False)]


def test_many_cells_are_learned_from_once(make_mdata, runs):
    mdata = make_mdata(3_400)
    fit(mdata, 4, recipe=STEADY, max_epochs=2, **QUICK)
    assert runs == [(3_060 - 300, 2, False)]
    assert len(training_cells(mdata)) == 3_060


def test_cells_left_out_are_training_cells_of_all_batches_and_modalities(make_mdata, left_out):
    mdata = make_mdata(300, lacking=20)
    donor = pd.Series(np.arange(300) % 3, index=[f"cell{i}" for i in range(300)])
    mdata.obs["donor"] = pd.Categorical(donor.reindex(mdata.obs_names))
    fit(mdata, 4, recipe=DEFAULT, batch_key="donor", max_epochs=1, **QUICK)
    (cells,) = left_out
    names = {name: names_of(x, mdata[name]) for name, x in cells.inputs.items()}
    assert names["rna"] == names["prot"]
    assert len(set(names["rna"])) == len(names["rna"]) == chosen_row(mdata)["n_cells"]
    assert set(names["rna"]) < set(training_cells(mdata))
    assert cells.groups.tolist() == donor[names["rna"]].tolist()


@pytest.mark.parametrize("max_epochs", [0, 3])
def test_cells_left_out_are_not_learned_from_if_there_are_many(make_mdata, left_out, assert_same, max_epochs):
    """The hidden layers, which no shrinking reaches, the scale of the inputs and the losses do not see them."""
    mdata, other = make_mdata(3_400), make_mdata(3_400)
    fit(mdata, 4, recipe=STEADY, max_epochs=max_epochs, **QUICK)
    names = names_of(left_out[0].inputs["rna"], mdata["rna"])
    for adata in other.mod.values():
        rows = adata.obs_names.isin(names)
        assert rows.sum() == 300
        adata.X[rows] = 5 * adata.X[rows][::-1] + 3
    fit(other, 4, recipe=STEADY, max_epochs=max_epochs, **QUICK)
    ours, theirs = mdata.uns["clipdim"], other.uns["clipdim"]
    for name in mdata.mod:
        for part in ("mean", "scale", "layers.0.weight", "layers.1.weight", "layers.1.bias"):
            np.testing.assert_array_equal(theirs["encoders"][name][part], ours["encoders"][name][part])
    if max_epochs:
        assert_same(
            {"history": theirs["history"][["loss", "temperature"]]},
            {"history": ours["history"][["loss", "temperature"]]},
        )
    assert not np.allclose(table_of(other)["loss"], table_of(mdata)["loss"])


def begun(mdata, recipe, out_dim, seed):
    """Model at its start and inputs of the training cells, by hand."""
    cells = training_cells(mdata)
    inputs = {name: torch.tensor(adata[cells].X) for name, adata in mdata.mod.items()}
    generator = torch.Generator().manual_seed(seed)
    model = ContrastiveModel.create({name: x.shape[1] for name, x in inputs.items()}, out_dim, recipe)
    model.initialize(generator)
    for name, encoder in model.encoders.items():
        if recipe.standardize:
            encoder.standardize(inputs[name])
    if recipe.start == "ridge_cca":
        arrays = {name: x.numpy() for name, x in inputs.items()}
        model.begin_at(ridge_cca(arrays, out_dim, random_state=seed), generator)
    return model, inputs


def by_hand(mdata, recipe, out_dim, *, seed, share=1.0, norm_inputs=None):
    """Embeddings of each modality by training on all training cells."""
    model, inputs = begun(mdata, recipe, out_dim, seed)
    generator = torch.Generator().manual_seed(seed)
    list(train(model, inputs, generator=generator, norm_inputs=norm_inputs))
    model.eval()
    found = {}
    for name, encoder in model.encoders.items():
        x = torch.tensor(mdata[name].X)
        start, end = encoder.start_outputs(x).double().numpy(), encoder(x).detach().double().numpy()
        found[name] = start + share * (end - start)
    return found


def cosines(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("n_cells", "bent", "least", "most"), [(300, True, 0.5, 1), (80, False, 0.05, 0.5), (30, False, 0, 0)]
)
def test_embedding_is_the_share_of_what_all_training_cells_teach(make_mdata, n_cells, bent, least, most):
    """More where the relation of the modalities bends, nothing of few cells whose relation is linear."""
    mdata = make_mdata(n_cells)
    if bent:
        mdata["prot"].X[:] = np.abs(mdata["prot"].X)
    fit(mdata, 5, recipe=STEADY, max_epochs=20, random_state=3, **QUICK)
    share = chosen_row(mdata)["share"]
    assert least <= share <= most
    recipe = replace(STEADY, max_epochs=20)
    for name, outputs in by_hand(mdata, recipe, 5, seed=3, share=share).items():
        np.testing.assert_allclose(mdata[name].obsm["X_clipdim"], cosines(outputs), atol=2e-3)


def test_temperature_is_the_best_one_of_cells_left_out(make_mdata, left_out, monkeypatch):
    """Of the model that is kept, where that was not trained on them."""
    monkeypatch.setattr(learning, "SPARED", 1.0)
    mdata = make_mdata(400)
    fit(mdata, 5, recipe=STEADY, **QUICK)
    names = names_of(left_out[0].inputs["rna"], mdata["rna"])
    u, v = (
        pd.DataFrame(adata.obsm["X_clipdim"], index=adata.obs_names).loc[names].to_numpy(dtype=float)
        for adata in mdata.mod.values()
    )

    def loss(temperature):
        logits = u @ v.T / temperature
        sums = [np.log(np.exp(logits - logits.max()).sum(axis=axis)) + logits.max() for axis in (0, 1)]
        return np.mean(sums) - np.diagonal(logits).mean()

    least = min(map(loss, np.geomspace(0.001, 3, 500)))
    assert loss(mdata.uns["clipdim"]["temperature"]) == pytest.approx(least, abs=1e-3)
    assert chosen_row(mdata)["loss"] == pytest.approx(least, abs=1e-3)


def test_recipe_of_the_paper_is_what_it_was(make_mdata):
    """Trained once, on all training cells, from weights at random; nothing is chosen."""
    mdata, recipe = make_mdata(300), replace(RECIPES["paper"], max_epochs=4, lr=3e-3, batch_size=64)
    fit(mdata, 5, recipe=recipe, random_state=3, **QUICK)
    assert "learning" not in mdata.uns["clipdim"]
    norm_set = mdata.obs_names[mdata.obs["clipdim_split"] == "norm set"]
    norm_inputs = {name: torch.tensor(adata[norm_set].X) for name, adata in mdata.mod.items()}
    for name, outputs in by_hand(mdata, recipe, 5, seed=3, norm_inputs=norm_inputs).items():
        norms = np.linalg.norm(outputs[mdata[name].obs_names.isin(norm_set)], axis=1)
        np.testing.assert_allclose(mdata[name].obsm["X_clipdim"], outputs / norms.mean(), rtol=1e-3, atol=1e-4)
    last = mdata.uns["clipdim"]["history"]["temperature"].iloc[-1]
    assert mdata.uns["clipdim"]["temperature"] == last


@pytest.mark.parametrize("name", ["plain", "batches"])
def test_without_a_choice_a_fit_trains_once(make_mdata, plain, runs, name):
    mdata, recipe = make_mdata(200), plain if name == "plain" else RECIPES[name]
    fit(mdata, 5, recipe=recipe, max_epochs=6, random_state=3, **QUICK)
    assert runs == [(180, 6, False)]
    assert "learning" not in mdata.uns["clipdim"]
    for name, outputs in by_hand(mdata, replace(recipe, max_epochs=6), 5, seed=3).items():
        np.testing.assert_allclose(mdata[name].obsm["X_clipdim"], cosines(outputs), atol=2e-3)


@pytest.mark.parametrize(
    "recipe",
    [
        replace(RECIPES["batches"], adaptive_noise=True),
        replace(STEADY, start="random"),
        replace(DEFAULT, shrink=False),
    ],
    ids=["no linear path", "random start", "not to be shrunk"],
)
def test_what_cannot_or_shall_not_be_shrunk_is_kept_whole(make_mdata, regime, recipe):
    mdata = make_mdata()
    fit(mdata, 4, recipe=recipe, max_epochs=3, **QUICK)
    assert set(table_of(mdata)["share"]) == {1.0}


def test_same_seed_same_choice(make_mdata, regime, assert_same):
    fits = [make_mdata() for _ in range(3)]
    for mdata, seed in zip(fits, (4, 4, 5), strict=True):
        fit(mdata, 4, max_epochs=3, random_state=seed, **QUICK)
    assert_same({"": table_of(fits[1])}, {"": table_of(fits[0])})
    assert not table_of(fits[2]).equals(table_of(fits[0]))
    np.testing.assert_array_equal(fits[1].obsm["X_clipdim"], fits[0].obsm["X_clipdim"])


@pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")
@pytest.mark.parametrize("form", ["h5mu", "zarr"])
@pytest.mark.parametrize("max_epochs", [0, 2])
def test_table_survives_a_file(make_mdata, through_file, form, max_epochs):
    mdata = make_mdata(100)
    fit(mdata, 4, max_epochs=max_epochs, **QUICK)
    read = table_of(through_file(mdata, form))
    pd.testing.assert_frame_equal(read, table_of(mdata), check_exact=True, check_index_type=False)
    assert read["chosen"].dtype == bool
    assert read["chosen"].sum() == 1


@pytest.mark.parametrize("on_trial", [True, False])
def test_progress_bar_says_what_is_on_trial(make_mdata, capsys, monkeypatch, on_trial):
    if not on_trial:
        monkeypatch.setattr(learning, "SPARED", 1.0)
    fit(make_mdata(100), 4, recipe=STEADY, max_epochs=2, progress=True, device="cpu")
    out, err = capsys.readouterr()
    assert out == ""
    assert ("clipdim, on trial" in err) == on_trial


def test_temperature_is_none_that_the_recipe_excludes(make_mdata):
    mdata, recipe = make_mdata(), replace(STEADY, min_temperature=0.05, initial_temperature=0.2)
    fit(mdata, 6, recipe=recipe, max_epochs=2, **QUICK)
    assert mdata.uns["clipdim"]["temperature"] >= 0.05
