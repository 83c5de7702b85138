"""``model.ContrastiveEncoders`` gives what ``tl.fit`` and ``tl.embed`` give."""

from dataclasses import replace

import mudata
import numpy as np
import pandas as pd
import pytest

from clipdim.contrast import RECIPES
from clipdim.model import ContrastiveEncoders
from clipdim.tl import embed, fit, match

QUICK = {"max_epochs": 2, "progress": False}
# trained once, on all training cells
PLAIN = replace(RECIPES["default"], shrink=False, adaptive_noise=False)


@pytest.fixture
def make_model():
    """Return a function that sets a MuData up and trains on it."""

    def make(mdata, n_latent=4, *, setup=None, train=None, **arguments):
        ContrastiveEncoders.setup_mudata(mdata, **(setup or {}))
        model = ContrastiveEncoders(mdata, n_latent, **{"recipe": PLAIN, **arguments})
        model.train(**{**QUICK, "accelerator": "cpu", **(train or {})})
        return model

    return make


def add_batches(mdata):
    mdata.obs["donor"] = pd.Categorical(np.where(np.arange(mdata.n_obs) % 3, "a", "b"))
    mdata.obs["lane"] = pd.Categorical(np.where(np.arange(mdata.n_obs) % 2, "1", "2"))


def add_components(mdata):
    mdata["prot"].obsm["X_mine"] = mdata["prot"].X[:, :5].copy()


@pytest.mark.parametrize(
    ("setup", "arguments", "train", "of_fit"),
    [
        ({}, {"recipe": "default"}, {}, {"recipe": "default"}),
        ({}, {"recipe": "default"}, {"max_epochs": 0}, {"recipe": "default", "max_epochs": 0}),
        ({"batch_key": "donor"}, {"recipe": "default"}, {}, {"recipe": "default", "batch_key": "donor"}),
        ({"batch_key": ["donor", "lane"]}, {}, {}, {"batch_key": ["donor", "lane"]}),
        ({"use_rep": {"prot": "X_mine"}}, {}, {}, {"use_rep": {"prot": "X_mine"}}),
        ({"modalities": ["atac", "rna"]}, {}, {}, {"modalities": ["atac", "rna"]}),
        ({}, {"similarity": "inner"}, {"train_size": 0.7}, {"similarity": "inner", "holdout": 0.3}),
        ({}, {"recipe": "paper", "key_added": "other"}, {"lr": 1e-3}, {"recipe": "paper", "lr": 1e-3}),
        ({}, {}, {"random_state": 3, "batch_size": 64}, {"random_state": 3, "batch_size": 64}),
    ],
)
def test_equals_fit(make_mdata, make_model, assert_same, setup, arguments, train, of_fit):
    ours, expected = (make_mdata(lacking=20, names=("rna", "prot", "atac")) for _ in range(2))
    for mdata in (ours, expected):
        add_batches(mdata)
        add_components(mdata)
    key = arguments.get("key_added", "clipdim")
    model = make_model(ours, setup=setup, train=train, **arguments)
    fit(expected, 4, device="cpu", key_added=key, **{"recipe": PLAIN, **QUICK, **of_fit})
    assert model.is_trained
    np.testing.assert_array_equal(model.get_latent_representation(), expected.obsm[f"X_{key}"])
    for name in expected.uns[key]["encoders"]:
        latent = model.get_latent_representation(modality=name)
        np.testing.assert_array_equal(latent, expected[name].obsm[f"X_{key}"])
    assert_same(dict(ours.uns[key]), dict(expected.uns[key]))
    pd.testing.assert_series_equal(ours.obs[f"{key}_split"], expected.obs[f"{key}_split"])


def test_latent_of_shuffled_modalities(make_mdata, make_model):
    """Joint in the order of the MuData, of a modality in its own order, and never the stored array itself."""
    mdata = make_mdata(lacking=20)
    model = make_model(mdata)
    by_name = [
        pd.DataFrame(model.get_latent_representation(modality=name), index=mdata[name].obs_names).reindex(
            mdata.obs_names
        )
        for name in mdata.mod
    ]
    joint = np.nanmean(by_name, axis=0)
    np.testing.assert_allclose(model.get_latent_representation(), joint, atol=1e-6)
    np.testing.assert_array_equal(model.get_latent_representation(modality="joint"), model.get_latent_representation())
    for latent in (model.get_latent_representation(), model.get_latent_representation(modality="rna")):
        assert latent.dtype == np.float32
        latent[:] = 0
    assert model.get_latent_representation().any()
    assert model.get_latent_representation(modality="rna").any()


def test_indices(make_mdata, make_model):
    mdata = make_mdata(lacking=20)
    model = make_model(mdata, train={"train_size": 0.75})
    split = mdata.obs["clipdim_split"]
    assert (split.iloc[model.train_indices] == "train").all()
    assert (split.iloc[model.validation_indices] == "held-out").all()
    assert len(model.train_indices) == 195
    assert len(model.validation_indices) == 65
    paired = np.flatnonzero(split.notna())
    np.testing.assert_array_equal(np.union1d(model.train_indices, model.validation_indices), paired)


def test_cells_of_the_expected_norms_count_as_seen(make_mdata, make_model):
    mdata = make_mdata()
    model = make_model(mdata, recipe="paper")
    assert set(mdata.obs["clipdim_split"].iloc[model.train_indices]) == {"train", "norm set"}
    assert len(model.train_indices) + len(model.validation_indices) == 300


def test_history(make_mdata, make_model):
    mdata = make_mdata()
    history = make_model(mdata).history
    stored = mdata.uns["clipdim"]["history"]
    assert list(history)[:3] == ["train_loss", "temperature", "validation_loss"]
    assert len(history) == stored.shape[1]
    for name, table in history.items():
        assert list(table.columns) == [name]
        assert table.index.name == "epoch"
        assert len(table) == 2
    np.testing.assert_array_equal(history["train_loss"]["train_loss"], stored["loss"])
    np.testing.assert_array_equal(history["validation_loss"]["validation_loss"], stored["held_out_loss"])
    without = make_model(make_mdata(), train={"train_size": 1})
    assert "validation_loss" not in without.history
    assert len(without.validation_indices) == 0


def test_setup_survives_a_file(make_mdata, tmp_path):
    mdata = make_mdata()
    add_batches(mdata)
    setup = {"modalities": ["prot", "rna"], "batch_key": ["donor", "lane"]}
    ContrastiveEncoders.setup_mudata(mdata, **setup)
    mdata.write_h5mu(tmp_path / "cells.h5mu")
    read = mudata.read_h5mu(tmp_path / "cells.h5mu")
    for cells in (mdata, read):
        ContrastiveEncoders(cells, 4, recipe=PLAIN).train(accelerator="cpu", **QUICK)
    fit(mdata, 4, device="cpu", recipe=PLAIN, key_added="expected", **QUICK, **setup)
    np.testing.assert_array_equal(read.obsm["X_clipdim"], mdata.obsm["X_clipdim"])
    np.testing.assert_array_equal(read.obsm["X_clipdim"], mdata.obsm["X_expected"])


def test_new_cells(make_mdata, make_model, unchanged):
    mdata, new = make_mdata(), make_mdata(60, lacking=10, seed=1)
    model = make_model(mdata)
    expected = embed(new, mdata, copy=True)
    with unchanged(new), unchanged(mdata):
        found = model.get_latent_representation(new)
        of_rna = model.get_latent_representation(new, modality="rna")
    np.testing.assert_array_equal(found, expected.obsm["X_clipdim"])
    np.testing.assert_array_equal(of_rna, expected["rna"].obsm["X_clipdim"])
    order = np.random.default_rng(0).permutation(new.n_obs)[:40]
    view = new[new.obs_names[order]]
    np.testing.assert_allclose(model.get_latent_representation(view), found[order], atol=1e-6)
    rna_only = mudata.MuData({"rna": new["rna"].copy()})
    np.testing.assert_allclose(model.get_latent_representation(rna_only), of_rna, atol=1e-6)


def test_new_cells_on_disk(make_mdata, make_model, tmp_path):
    model, new = make_model(make_mdata()), make_mdata(60, seed=1)
    new.write_h5mu(tmp_path / "new.h5mu")
    backed = mudata.read_h5mu(tmp_path / "new.h5mu", backed="r")
    np.testing.assert_array_equal(model.get_latent_representation(backed), model.get_latent_representation(new))


def test_cells_with_a_fit_of_their_own(make_mdata, make_model, unchanged):
    """Nothing is written in new cells, so another fit there is no obstacle."""
    model, new = make_model(make_mdata()), make_mdata(60, seed=1)
    expected = model.get_latent_representation(new)
    make_model(new)
    with unchanged(new):
        np.testing.assert_array_equal(model.get_latent_representation(new), expected)


def test_model_keeps_its_fit_when_another_takes_its_place(make_mdata, make_model):
    mdata = make_mdata()
    first = make_model(mdata)
    latent, validation = first.get_latent_representation(), first.validation_indices
    second = make_model(mdata, train={"random_state": 1})
    np.testing.assert_allclose(first.get_latent_representation(), latent, atol=1e-5)
    np.testing.assert_array_equal(first.validation_indices, validation)
    np.testing.assert_array_equal(second.get_latent_representation(), mdata.obsm["X_clipdim"])
    assert np.abs(second.get_latent_representation() - latent).max() > 0.1


def test_second_training_starts_anew(make_mdata, make_model):
    model = make_model(make_mdata())
    latent = model.get_latent_representation()
    model.train(accelerator="cpu", **{**QUICK, "random_state": 7})
    assert not np.allclose(model.get_latent_representation(), latent)
    model.train(accelerator="cpu", **QUICK)
    np.testing.assert_array_equal(model.get_latent_representation(), latent)


def test_repr(make_mdata):
    mdata = make_mdata()
    ContrastiveEncoders.setup_mudata(mdata)
    model = ContrastiveEncoders(mdata, recipe=PLAIN)
    assert repr(model).splitlines() == [
        "ContrastiveEncoders model with the following parameters:",
        "n_latent: 32, similarity: None, recipe: a Recipe, key_added: clipdim",
        "modalities: rna (X), prot (X), batch_key: None",
        "Training status: Not Trained",
    ]
    model.train(accelerator="cpu", devices=1, **QUICK)
    assert repr(model).endswith("Training status: Trained")


def test_results_are_those_of_the_tools(make_mdata, make_model):
    mdata = make_mdata()
    make_model(mdata, key_added="mine")
    assert len(match(mdata, key="mine"))
