"""What ``tl.fit`` writes, and that it learns what it should from the cells that it should."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import skdim
import torch

import clipdim
from clipdim.contrast import RECIPES, training
from clipdim.tl import embed, fit, match

QUICK = {"out_dim": 6, "max_epochs": 3, "progress": False, "device": "cpu"}
CLEAN = replace(RECIPES["default"], input_noise=0.05, lr=5e-3)


def by_name(mdata, slot="X_clipdim"):
    """Embeddings of the joint space and of the modalities, rows named."""
    spaces = {"joint": mdata, **mdata.mod}
    return {name: pd.DataFrame(data.obsm[slot], index=data.obs_names) for name, data in spaces.items()}


def cells(mdata, split, key="clipdim"):
    return mdata.obs_names[(mdata.obs[f"{key}_split"] == split).to_numpy(dtype=bool, na_value=False)]


def info_nce(u, v, temperature):
    s = u.astype(float) @ v.astype(float).T / temperature
    rows, columns = (np.log(np.exp(s - s.max()).sum(axis=axis)) + s.max() for axis in (1, 0))
    return np.mean((rows + columns) / 2 - np.diagonal(s))


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
@pytest.mark.parametrize("key", ["clipdim", "my.key"])
def test_slots(make_mdata, similarity, key):
    mdata = make_mdata(lacking=20)
    assert fit(mdata, similarity=similarity, key_added=key, holdout=0.2, **QUICK) is None
    assert mdata.obsm[f"X_{key}"].shape == (300, 6)
    for name in ("rna", "prot"):
        assert mdata[name].obsm[f"X_{key}"].shape == (280, 6)
        assert mdata[name].obsm[f"X_{key}"].dtype == mdata.obsm[f"X_{key}"].dtype == np.float32
        assert mdata[name].obs[f"{key}_norm"].dtype == np.float32
    split = mdata.obs[f"{key}_split"]
    assert split.cat.categories.tolist() == ["train", "held-out"]
    assert split.value_counts().to_dict() == {"train": 208, "held-out": 52}
    assert split.isna().sum() == 40
    written = mdata.uns[key]
    assert written["version"] == clipdim.__version__
    assert set(written) == {
        *("version", "params", "history", "temperature", "pairs", "intrinsic_dimension", "encoders", "features"),
        *("learning", "shared_dimension", "shared_spectrum"),
    }
    params = written["params"]
    assert params["out_dim"] == 6
    assert params["modalities"].tolist() == ["rna", "prot"]
    assert params["use_rep"] == {"rna": "X", "prot": "X"}
    assert params["batch_key"] is None
    assert params["recipe"] == {**asdict(RECIPES["default"]), "similarity": similarity, "max_epochs": 3}
    assert {name: list(features) for name, features in written["features"].items()} == {
        name: mdata[name].var_names.tolist() for name in ("rna", "prot")
    }
    assert set(written["encoders"]) == {"rna", "prot"}
    assert all(array.dtype == np.float32 for arrays in written["encoders"].values() for array in arrays.values())


@pytest.mark.parametrize(("similarity", "norm_fraction"), [("cosine", 0.0), ("inner", 0.0), ("inner", 0.1)])
def test_norms(make_mdata, similarity, norm_fraction):
    mdata = make_mdata(lacking=20)
    fit(mdata, recipe=replace(RECIPES["default"], similarity=similarity, norm_fraction=norm_fraction), **QUICK)
    counted = cells(mdata, "norm set" if norm_fraction else "train")
    for name in ("rna", "prot"):
        relative = mdata[name].obs["clipdim_norm"]
        assert relative[counted].mean() == pytest.approx(1, rel=1e-5)
        norms = np.linalg.norm(mdata[name].obsm["X_clipdim"], axis=1)
        np.testing.assert_allclose(norms, 1 if similarity == "cosine" else relative, rtol=1e-5)


def test_joint_is_the_mean_of_what_a_cell_has(make_mdata):
    mdata = make_mdata(lacking=20)
    fit(mdata, **QUICK)
    spaces = by_name(mdata)
    both = pd.concat([spaces["rna"], spaces["prot"]]).astype(float)
    pd.testing.assert_frame_equal(
        spaces["joint"], both.groupby(level=0).mean().loc[mdata.obs_names], check_dtype=False, rtol=1e-6
    )
    lacking = mdata.obs_names[mdata.obs["clipdim_split"].isna()]
    assert set(lacking) == {f"cell{i}" for i in [*range(20), *range(280, 300)]}


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_last_row_of_the_history_describes_the_embedding(make_mdata, plain, similarity):
    """Where all that was learned is kept."""
    mdata = make_mdata()
    fit(mdata, recipe=plain, similarity=similarity, holdout=0.3, **QUICK)
    history, written = mdata.uns["clipdim"]["history"], mdata.uns["clipdim"]
    assert history.index.name == "epoch"
    assert history.index.tolist() == [0, 1, 2]
    names = [f"{measure}_{name}" for measure in ("intrinsic_dimension", "norm_spread") for name in ("rna", "prot")]
    kinds = ("", "_sd", "_q05", "_q50", "_q95")
    similarities = [f"{sign}_similarity{of}" for sign in ("positive", "negative") for of in kinds]
    assert set(history) == {"loss", "held_out_loss", "temperature", *names, *similarities}
    assert (history.dtypes == np.float64).all()
    assert not history.isna().any(axis=None)
    last = history.iloc[-1]
    assert written["temperature"] == last["temperature"]

    held_out = cells(mdata, "held-out")
    u, v = (by_name(mdata)[name].loc[held_out].to_numpy(dtype=float) for name in ("rna", "prot"))
    norms = [mdata[name].obs.loc[held_out, "clipdim_norm"].astype(float) for name in ("rna", "prot")]
    for name, norm in zip(("rna", "prot"), norms, strict=True):
        assert last[f"norm_spread_{name}"] == pytest.approx(norm.std(ddof=0) / norm.mean(), rel=1e-4)
    if similarity == "inner":  # the expected norm of the history is that of the cells it is measured on
        u, v = u / norms[0].mean(), v / norms[1].mean()
    s = u @ v.T
    negatives = s[~np.eye(len(s), dtype=bool)]
    assert last["positive_similarity"] == pytest.approx(np.diagonal(s).mean(), rel=1e-4)
    assert last["positive_similarity_sd"] == pytest.approx(np.diagonal(s).std(), rel=1e-4)
    assert last["negative_similarity"] == pytest.approx(negatives.mean(), abs=1e-5)
    assert last["negative_similarity_sd"] == pytest.approx(negatives.std(), rel=1e-4)
    assert last["held_out_loss"] == pytest.approx(info_nce(u, v, last["temperature"]), rel=1e-4)


def test_intrinsic_dimension_is_that_of_the_held_out_embedding(make_mdata, plain):
    mdata = make_mdata()
    fit(mdata, recipe=plain, holdout=0.3, **QUICK)
    held_out = cells(mdata, "held-out")
    found = mdata.uns["clipdim"]["intrinsic_dimension"]
    assert list(found) == ["rna", "prot", "joint"]
    for name, space in by_name(mdata).items():
        points = space.loc[held_out].to_numpy(dtype=float)
        assert found[name]["estimate"] == pytest.approx(skdim.id.MLE().fit(points, n_neighbors=20).dimension_, rel=1e-4)
        assert found[name]["low"] < found[name]["estimate"] < found[name]["high"]
        assert {key: found[name][key] for key in ("estimator", "aggregation", "n_neighbors", "n_cells", "cells")} == {
            "estimator": "mle",
            "aggregation": "harmonic",
            "n_neighbors": 20,
            "n_cells": 90,
            "cells": "held-out",
        }
    last = mdata.uns["clipdim"]["history"].iloc[-1]
    assert last["intrinsic_dimension_rna"] == pytest.approx(found["rna"]["estimate"], rel=1e-4)


def test_nothing_held_out(make_mdata):
    mdata = make_mdata(100)
    fit(mdata, holdout=0, **QUICK)
    history = mdata.uns["clipdim"]["history"]
    assert history.drop(columns=["loss", "temperature"]).isna().all(axis=None)
    assert history[["loss", "temperature"]].notna().all(axis=None)
    assert mdata.uns["clipdim"]["intrinsic_dimension"]["joint"]["cells"] == "train"
    assert (mdata.obs["clipdim_split"] == "train").all()


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_learns_what_is_shared(make_mdata, similarity):
    mdata = make_mdata(1_000)
    fit(mdata, 16, recipe=CLEAN, similarity=similarity, holdout=0.3, max_epochs=25, progress=False)
    scores = match(mdata)
    assert (scores.loc[scores["split"] == "held-out", "foscttm"] < 0.1).all()
    history = mdata.uns["clipdim"]["history"]
    first, last = history.iloc[0], history.iloc[-1]
    assert last["temperature"] < first["temperature"]
    assert last["held_out_loss"] < first["held_out_loss"]
    assert last["positive_similarity"] > last["negative_similarity"] + 0.5
    for found in mdata.uns["clipdim"]["intrinsic_dimension"].values():
        assert 2 < found["estimate"] < 6  # 3 are shared, of 16


def test_same_seed_same_bits(make_mdata, assert_same):
    fits = [make_mdata() for _ in range(3)]
    for mdata, seed in zip(fits, (0, np.int64(0), 1), strict=True):
        fit(mdata, random_state=seed, **QUICK)
    assert_same(dict(fits[1].uns), dict(fits[0].uns))
    for name, space in by_name(fits[0]).items():
        np.testing.assert_array_equal(by_name(fits[1])[name], space)
        assert not np.allclose(by_name(fits[2])[name], space, atol=0.01)
    assert not cells(fits[0], "held-out").equals(cells(fits[2], "held-out"))


def test_global_random_states(make_mdata):
    mdata = make_mdata()
    before = torch.get_rng_state(), np.random.get_state()
    fit(mdata, **QUICK)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1][1])
    assert np.random.get_state()[2:] == before[1][2:]


def test_copy(make_mdata, unchanged):
    mdata, inplace = make_mdata(), make_mdata()
    with unchanged(mdata):
        fitted = fit(mdata, copy=True, **QUICK)
    fit(inplace, **QUICK)
    np.testing.assert_array_equal(fitted.obsm["X_clipdim"], inplace.obsm["X_clipdim"])
    assert fitted.uns["clipdim"]["params"]["out_dim"] == 6


def test_leaves_the_inputs_alone(make_mdata):
    mdata, before = make_mdata(), make_mdata()
    fit(mdata, **QUICK)
    for name in mdata.mod:
        np.testing.assert_array_equal(mdata[name].X, before[name].X)


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_held_out_cells_are_not_used(make_mdata, assert_same, similarity):
    mdata, other = make_mdata(), make_mdata()
    fit(mdata, similarity=similarity, **QUICK)
    held_out = cells(mdata, "held-out")
    for name in other.mod:
        rows = other[name].obs_names.isin(held_out)
        other[name].X[rows] = 100 * other[name].X[rows][::-1] + 3
    fit(other, similarity=similarity, **QUICK)
    assert cells(other, "held-out").equals(held_out)
    assert_same(other.uns["clipdim"]["encoders"], mdata.uns["clipdim"]["encoders"])
    columns = ["loss", "temperature"]
    pd.testing.assert_frame_equal(other.uns["clipdim"]["history"][columns], mdata.uns["clipdim"]["history"][columns])


def test_cells_that_lack_a_modality_are_not_used(make_mdata, assert_same):
    mdata, other = make_mdata(lacking=30), make_mdata(lacking=30)
    fit(mdata, **QUICK)
    for name in other.mod:
        other[name].X[other[name].obs_names.isin(mdata.obs_names[mdata.obs["clipdim_split"].isna()])] += 50
    fit(other, **QUICK)
    assert_same(other.uns["clipdim"]["encoders"], mdata.uns["clipdim"]["encoders"])


@pytest.mark.parametrize("update", [True, False])
def test_order_of_the_rows_of_a_modality(make_mdata, assert_same, update):
    mdata, other = make_mdata(), make_mdata()
    other.mod["prot"] = other["prot"][np.random.default_rng(1).permutation(300)].copy()
    if update:
        other.update()
    assert other.obs_names.equals(mdata.obs_names)
    fit(mdata, **QUICK)
    fit(other, **QUICK)
    assert_same(other.uns["clipdim"]["encoders"], mdata.uns["clipdim"]["encoders"])
    for name, space in by_name(mdata).items():
        pd.testing.assert_frame_equal(by_name(other)[name].loc[space.index], space, atol=1e-6, rtol=0)


def test_replaced_modality_of_the_same_size(make_mdata, unchanged):
    mdata = make_mdata()
    replaced = mdata["prot"].copy()
    replaced.obs_names = "new " + replaced.obs_names
    mdata.mod["prot"] = replaced
    with unchanged(mdata), pytest.raises(ValueError, match=r"'prot' has cells .* call mdata.update\(\)"):
        fit(mdata, **QUICK)


def test_three_modalities_one_with_a_dot(make_mdata):
    names = ("rna", "prot.surface", "atac")
    mdata = make_mdata(400, names=names)
    fit(mdata, recipe=CLEAN, **{**QUICK, "max_epochs": 15})
    assert set(mdata.uns["clipdim"]["intrinsic_dimension"]) == {*names, "joint"}
    assert {f"norm_spread_{name}" for name in names} < set(mdata.uns["clipdim"]["history"])
    mean = sum(by_name(mdata)[name].loc[mdata.obs_names] for name in names) / 3
    np.testing.assert_allclose(mdata.obsm["X_clipdim"], mean, atol=1e-6)
    scores = match(mdata)
    assert len(scores) == 12
    assert (scores["foscttm"] < 0.1).all()


def test_modalities_to_use(make_mdata):
    mdata = make_mdata(names=("rna", "prot", "atac"))
    fit(mdata, modalities=["atac", "rna"], **QUICK)
    assert mdata.uns["clipdim"]["params"]["modalities"].tolist() == ["atac", "rna"]
    assert "X_clipdim" not in mdata["prot"].obsm


def test_representations_to_use(make_mdata):
    mdata, other = make_mdata(), make_mdata()
    other["prot"].obsm["X_mine"] = other["prot"].X.copy()
    other["prot"].X = np.zeros((300, 8), np.float32)
    fit(mdata, **QUICK)
    fit(other, use_rep="prot:X_mine", **QUICK)
    assert other.uns["clipdim"]["params"]["use_rep"] == {"rna": "X", "prot": "X_mine"}
    assert list(other.uns["clipdim"]["features"]) == ["rna"]
    np.testing.assert_array_equal(other.obsm["X_clipdim"], mdata.obsm["X_clipdim"])


def test_batch_key_hides_the_batches(make_mdata):
    def share_of_batch(batch_key, recipe):
        """Share of the embedding's variance that lies between two batches of equal size."""
        mdata = make_mdata(600)
        first = pd.Series(np.arange(600) % 2 == 0, index=[f"cell{i}" for i in range(600)])
        for modality in mdata.mod.values():
            modality.X[first[modality.obs_names].to_numpy(), :4] += 1
        mdata.obs["donor"] = np.where(first[mdata.obs_names], "x", "y")
        fit(mdata, recipe=recipe, batch_key=batch_key, **{**QUICK, "max_epochs": 30})
        assert mdata.uns["clipdim"]["params"]["batch_key"] == batch_key
        joint = by_name(mdata)["joint"]
        between = joint[first[joint.index]].mean() - joint[~first[joint.index]].mean()
        return between.pow(2).sum() / 4 / joint.var(ddof=0).sum()

    # all that was learned, and as much as unseen cells want
    for recipe in (replace(CLEAN, shrink=False), CLEAN):
        assert share_of_batch(None, recipe) > 0.05
        assert share_of_batch("donor", recipe) < 0.005


def test_batch_key_of_a_modality(make_mdata):
    mdata, other = make_mdata(), make_mdata()
    donor = pd.Series(np.arange(300) % 3, index=[f"cell{i}" for i in range(300)])
    mdata.obs["donor"] = donor[mdata.obs_names]
    other["prot"].obs["donor"] = pd.Categorical(donor[other["prot"].obs_names].astype(str))
    for fitted in (mdata, other):
        fit(fitted, batch_key="donor", **QUICK)
    # the codes of the batches differ, the batches do not
    np.testing.assert_allclose(other.obsm["X_clipdim"], mdata.obsm["X_clipdim"], atol=1e-5)


def test_paper_recipe(make_mdata):
    mdata = make_mdata()
    fit(mdata, 31, recipe="paper", max_epochs=1, progress=False)
    recipe = mdata.uns["clipdim"]["params"]["recipe"]
    assert recipe == {**asdict(RECIPES["paper"]), "max_epochs": 1}
    assert mdata.uns["clipdim"]["encoders"]["rna"]["layers.0.weight"].shape == (50, 12)
    np.testing.assert_array_equal(mdata.uns["clipdim"]["encoders"]["rna"]["scale"], 1)
    assert len(cells(mdata, "norm set")) == 270 / 6
    fit(mdata, recipe="paper", similarity="cosine", max_epochs=1, progress=False)
    assert len(cells(mdata, "norm set")) == 0


def test_own_recipe_and_overrides(make_mdata):
    mdata = make_mdata()
    fit(mdata, recipe=replace(CLEAN, width=9, n_hidden=1), batch_size=50, lr=1e-3, **QUICK)
    recipe = mdata.uns["clipdim"]["params"]["recipe"]
    assert (recipe["width"], recipe["batch_size"], recipe["lr"], recipe["input_noise"]) == (9, 50, 1e-3, 0.05)
    assert mdata.uns["clipdim"]["encoders"]["prot"]["layers.0.weight"].shape == (9, 8)


def test_epochs_by_the_number_of_cells(make_mdata):
    mdata = make_mdata(60)
    fit(mdata, 4, progress=False)
    assert len(mdata.uns["clipdim"]["history"]) == RECIPES["default"].n_epochs(54)


def test_second_fit_beside_the_first(make_mdata, assert_same):
    mdata, alone = make_mdata(), make_mdata()
    fit(mdata, **QUICK)
    fit(mdata, key_added="other", **{**QUICK, "out_dim": 3})
    fit(alone, **QUICK)
    assert_same(dict(mdata.uns["clipdim"]), dict(alone.uns["clipdim"]))
    np.testing.assert_array_equal(mdata.obsm["X_clipdim"], alone.obsm["X_clipdim"])
    assert mdata.obsm["X_other"].shape == (300, 3)


def test_a_new_fit_drops_the_tables_of_the_old_one(make_mdata):
    mdata = make_mdata()
    fit(mdata, **QUICK)
    match(mdata)
    fit(mdata, **QUICK)
    assert "match" not in mdata.uns["clipdim"]


class Interrupted:
    """A progress bar that is interrupted after so many epochs."""

    after = 2

    def __init__(self, **_):
        self.n = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def set_postfix(self, **_):
        if self.n >= self.after:
            raise KeyboardInterrupt

    def update(self):
        self.n += 1


def interrupt_training(monkeypatch, after_batches):
    objective = training.contrastive
    calls = iter(range(after_batches))

    def interrupted(model, *args, **arguments):
        if model.training and next(calls, None) is None:
            raise KeyboardInterrupt
        return objective(model, *args, **arguments)

    monkeypatch.setattr(training, "contrastive", interrupted)


def test_interruption_keeps_what_was_learned(make_mdata, plain, monkeypatch):
    mdata, whole = make_mdata(), make_mdata()
    arguments = {**QUICK, "max_epochs": 9, "recipe": plain}
    fit(whole, **arguments)
    with monkeypatch.context() as patch:
        interrupt_training(patch, 2)  # one batch an epoch
        with pytest.warns(UserWarning, match="interrupted after 2 of 9 epochs; .* is kept") as caught:
            fit(mdata, **arguments)
    assert caught[0].filename == __file__
    pd.testing.assert_frame_equal(mdata.uns["clipdim"]["history"], whole.uns["clipdim"]["history"][:2])
    assert mdata.uns["clipdim"]["params"]["n_epochs"] == 2
    before = mdata.obsm["X_clipdim"].copy()
    assert np.isfinite(before).all()
    embed(mdata, mdata)
    np.testing.assert_allclose(mdata.obsm["X_clipdim"], before, atol=1e-5)


def test_interruption_between_epochs(make_mdata, plain, monkeypatch):
    monkeypatch.setattr("clipdim.fitting.training.tqdm", Interrupted)
    mdata = make_mdata()
    with pytest.warns(UserWarning, match="interrupted after 3 of 9"):
        fit(mdata, recipe=plain, **{**QUICK, "max_epochs": 9})
    assert len(mdata.uns["clipdim"]["history"]) == 3


@pytest.mark.parametrize("after_batches", [0, 2])
def test_interruption_of_the_trial_changes_nothing(make_mdata, monkeypatch, unchanged, after_batches):
    """There is no choice yet by which to keep what was learned."""
    interrupt_training(monkeypatch, after_batches)
    mdata = make_mdata()
    with unchanged(mdata), pytest.raises(KeyboardInterrupt):
        fit(mdata, **QUICK)


def test_interruption_after_the_trial_keeps_what_was_learned(make_mdata, monkeypatch):
    interrupt_training(monkeypatch, 3 + 2)  # the trial takes three epochs, of one batch each
    mdata, whole = make_mdata(), make_mdata()
    arguments = {**QUICK, "recipe": replace(RECIPES["default"], adaptive_noise=False)}
    with pytest.warns(UserWarning, match="interrupted after 2 of 3 epochs; .* is kept"):
        fit(mdata, **arguments)
    monkeypatch.undo()
    fit(whole, **arguments)
    assert mdata.uns["clipdim"]["params"]["n_epochs"] == 2
    learning = mdata.uns["clipdim"]["learning"]
    pd.testing.assert_frame_equal(learning, whole.uns["clipdim"]["learning"])
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()
    # shrunk as the trial chose
    before = mdata.obsm["X_clipdim"].copy()
    embed(mdata, mdata)
    np.testing.assert_allclose(mdata.obsm["X_clipdim"], before, atol=1e-5)


def test_interruption_without_a_trial_keeps_as_much_as_unseen_cells_want(make_mdata, monkeypatch):
    monkeypatch.setattr("clipdim.fitting.learning.SPARED", 1.0)
    interrupt_training(monkeypatch, 2)
    mdata, before = make_mdata(), torch.get_rng_state()
    with pytest.warns(UserWarning, match="interrupted after 2 of 3 epochs; .* is kept"):
        fit(mdata, **QUICK)
    # though it came in the middle of an epoch, no noise is added when unseen cells are asked
    assert torch.equal(torch.get_rng_state(), before)
    assert len(mdata.uns["clipdim"]["learning"]) == 9
    assert len(mdata.uns["clipdim"]["history"]) == 2
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_interruption_before_an_epoch_is_done(make_mdata, monkeypatch, unchanged, recipe):
    monkeypatch.setattr("clipdim.fitting.learning.SPARED", 1.0)
    interrupt_training(monkeypatch, 0)
    mdata = make_mdata()
    with unchanged(mdata), pytest.raises(KeyboardInterrupt):
        fit(mdata, recipe=recipe, **QUICK)


def test_divergence_changes_nothing(make_mdata, unchanged):
    mdata = make_mdata()
    with unchanged(mdata), pytest.raises(FloatingPointError, match=r"epoch [01]; .*pass a smaller lr"):
        fit(mdata, lr=1e20, **QUICK)


def test_progress_bar(make_mdata, capsys):
    mdata = make_mdata()
    fit(mdata, **QUICK)
    assert capsys.readouterr() == ("", "")
    fit(mdata, **{**QUICK, "progress": True})
    out, err = capsys.readouterr()
    assert out == ""
    assert all(part in err for part in ("3/3", "loss=", "temperature=", "<"))


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_bfloat16_is_close_to_float32(make_mdata, plain, similarity):
    runs = {}
    for precision in ("float32", "bfloat16"):
        mdata = make_mdata()
        fit(mdata, similarity=similarity, recipe=replace(plain, precision=precision), **QUICK)
        runs[precision] = mdata.obsm["X_clipdim"]
    difference = np.abs(runs["bfloat16"] - runs["float32"]).max()
    assert 0 < difference < 0.1
    assert runs["bfloat16"].dtype == np.float32


@pytest.mark.gpu
def test_on_the_gpu(make_mdata):
    mdata = make_mdata()
    fit(mdata, **{**QUICK, "device": "cuda"})
    assert mdata.uns["clipdim"]["params"]["device"] == "cuda:0"
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()
    query = make_mdata()
    embed(query, mdata, device="cpu")
    np.testing.assert_allclose(query.obsm["X_clipdim"], mdata.obsm["X_clipdim"], atol=1e-3)
