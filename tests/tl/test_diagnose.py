"""Each reading of `tl.diagnose` on data built to trigger it, and on data where it must stay silent."""

import re
from dataclasses import replace
from itertools import combinations

import mudata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy.special import logsumexp
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

import clipdim
from clipdim.contrast import RECIPES, info_nce
from clipdim.tl import diagnose, fit
from clipdim.tl._diagnosis.alignment import MISPLACED
from clipdim.tl._diagnosis.batches import NEGATIVES_OF_A_BATCH
from clipdim.tl._diagnosis.dimension import LOSS_RISE

CLEAN = replace(RECIPES["default"], input_noise=0.0)
# all that was learned is kept, whatever unseen cells say
UNSHRUNK = replace(CLEAN, shrink=False, adaptive_noise=False)
CHECKS = [
    *("shared_dimension", "matching", "positive_similarity", "separation", "misplaced_cells", "resolution"),
    *("dimension_agreement", "dimension_settled", "room", "sample_size"),
    *("temperature", "training_length", "learning", "overfitting", "held_out_loss"),
]
BATCH_CHECKS = ["batch_size", "batch_mixing", "batch_confounding", "batch_categories"]
pytestmark = pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")


def fitted(n_cells=1_500, out_dim=16, *, n_shared=5, noise=False, **settings):
    mdata = clipdim.datasets.linear(n_cells, n_shared=n_shared)
    if noise:
        mdata["x"].X[:] = np.random.default_rng(1).normal(size=mdata["x"].shape)
    settings = {"recipe": CLEAN, "holdout": 0.3, "device": "cpu", "progress": False, **settings}
    fit(mdata, out_dim, **settings)
    return mdata


def verdicts(mdata):
    return diagnose(mdata).checks.set_index("check")["verdict"]


def readings(mdata):
    return diagnose(mdata).checks.set_index("check")["reading"]


@pytest.fixture(scope="module")
def sound_fit():
    return fitted()


@pytest.fixture
def sound(sound_fit):
    return sound_fit.copy()


@pytest.fixture(scope="module")
def nothing_shared():
    return fitted(noise=True)


@pytest.fixture(scope="module")
def barely_trained():
    return fitted(max_epochs=1, recipe=UNSHRUNK)


def set_embedding(mdata, name, values):
    """Give a modality another embedding, rows in the order of mdata.obs_names; the joint one stays as it is."""
    mdata[name].obsm["X_clipdim"] = values.astype(np.float32)


def test_all_is_well(sound):
    table = diagnose(sound).checks
    # nothing beyond the linear start is kept: what came to rest during the training is of no interest
    assert table["check"].tolist() == [one for one in CHECKS if one not in ("dimension_settled", "temperature")]
    assert list(table.columns) == ["check", "value", "threshold", "verdict", "reading"]
    # the modalities agree linearly
    assert table.loc[table["verdict"] != "ok", "check"].tolist() == ["learning"]
    assert table[["value", "threshold"]].notna().all(axis=None)
    assert table["reading"].str.endswith(".").all()


def test_values_equal_their_definitions(sound):
    held_out = (sound.obs["clipdim_split"] == "held-out").to_numpy()
    u, v = (sound[name].obsm["X_clipdim"][held_out].astype(float) for name in ("x", "y"))
    s = u @ v.T
    positive, n = np.diagonal(s), len(s)
    negative = s[~np.eye(n, dtype=bool)]
    closer = [((one > positive[:, None]).sum(axis=1)) / (n - 1) for one in (s, s.T)]
    written, history = sound.uns["clipdim"], sound.uns["clipdim"]["history"]
    values = diagnose(sound).checks.set_index("check")["value"]
    assert values["matching"] == pytest.approx(np.mean(closer), abs=1e-6)
    assert values["positive_similarity"] == pytest.approx(np.median(positive), rel=1e-5)
    assert values["separation"] == pytest.approx(np.median(positive) - np.quantile(negative, 0.95), abs=0.01)
    assert values["misplaced_cells"] == np.mean(np.mean(closer, axis=0) > 0.5)
    assert values["resolution"] == pytest.approx(1 + np.median(np.mean(closer, axis=0)) * (n - 1))
    estimates = [written["intrinsic_dimension"][name]["estimate"] for name in ("x", "y")]
    assert values["dimension_agreement"] == pytest.approx(max(estimates) / min(estimates))
    assert values["held_out_loss"] == pytest.approx(history["held_out_loss"].iloc[-1] - history["held_out_loss"].min())
    # 450 cells are held out, and as many training cells are drawn
    temperature, losses = torch.tensor(written["temperature"]), {}
    train = np.random.default_rng(0).permutation(np.flatnonzero(sound.obs["clipdim_split"] == "train"))[:n]
    for name, cells in (("held-out", np.flatnonzero(held_out)), ("train", train)):
        spaces = [torch.from_numpy(sound[one].obsm["X_clipdim"][cells]) for one in ("x", "y")]
        losses[name] = info_nce(*spaces, temperature).item()
    assert values["overfitting"] == pytest.approx(losses["held-out"] - losses["train"], abs=1e-5)


def made_by_hand(make_fit, names, *, batches=1):
    """
    A fit of 240 cells, every second one held out, whose modalities agree less and less.

    Batches lie apart in the embedding. Temperatures differ from pair to pair, norms from modality to modality.
    """
    rng = np.random.default_rng(0)
    cells = pd.DataFrame(index=[f"cell{i}" for i in range(240)])
    batch = rng.integers(batches, size=240)
    shared = rng.normal(size=(240, 4)) + (2 * np.eye(4)[batch] if batches > 1 else 0)
    modalities = {}
    for place, name in enumerate(names):
        values = shared + (0.5 + place) * rng.normal(size=shared.shape)
        modalities[name] = AnnData(np.ones((240, 1), np.float32), obs=cells.copy())
        modalities[name].var_names = [f"{name}0"]
        modalities[name].obsm["X_clipdim"] = values.astype(np.float32) / np.float32(
            np.linalg.norm(values, axis=1, keepdims=True)
        )
        modalities[name].obs["clipdim_norm"] = 1 + 0.1 * (1 + place) * rng.uniform(size=240)
    mdata = mudata.MuData(modalities)
    mdata.obsm["X_clipdim"] = np.mean([mdata[name].obsm["X_clipdim"] for name in names], axis=0)
    mdata.obs["clipdim_split"] = pd.Categorical(np.where(np.arange(240) % 2, "held-out", "train"))
    mdata.obs["donor"] = pd.Categorical(np.array(["a", "b", "c"])[batch])
    pairs = pd.DataFrame(list(combinations(names, 2)), columns=["first", "second"])
    pairs = pairs.assign(temperature=0.1 * (1 + pairs.index), intrinsic_dimension=np.nan)
    mdata.uns["clipdim"] = make_fit(dict.fromkeys(names, 1), 4, pairs=pairs).to_uns()
    complete(mdata, [*names, "joint"])
    if batches > 1:
        mdata.uns["clipdim"]["params"]["batch_key"] = "donor"
    return mdata


def similarities(mdata, cells):
    """Matrix of the similarities of each pair of modalities."""
    embeddings = [adata.obsm["X_clipdim"][cells].astype(float) for adata in mdata.mod.values()]
    return [u @ v.T for u, v in combinations(embeddings, 2)]


def closer_than_the_partner(similarity, same):
    """Share of the other cells of the batch that come before the partner, mean of both directions."""
    found = []
    for s in (similarity, similarity.T):
        closer = ((s > np.diagonal(s)[:, None]) & same).sum(axis=1)
        found.append(closer / (same.sum(axis=1) - 1))
    return np.mean(found, axis=0)


def loss(similarity, same, temperature):
    logits = np.where(same, similarity / temperature, -np.inf)
    both = [logsumexp(logits, axis=axis) - np.diagonal(logits) for axis in (0, 1)]
    return np.mean(both)


@pytest.mark.parametrize(("names", "batches"), [("xy", 1), ("xyz", 1), ("xy", 3), ("xyz", 3)])
def test_values_of_batches_and_of_the_worst_pair_equal_their_definitions(names, batches, make_fit):
    """Negatives, ranks and losses are of the same batch; of three pairs the worst counts, for losses their mean."""
    mdata = made_by_hand(make_fit, tuple(names), batches=batches)
    held_out = np.arange(240) % 2 == 1
    donor = mdata.obs["donor"].to_numpy()
    same = {name: np.equal.outer(donor[cells], donor[cells]) for name, cells in splits_of(held_out)}
    of_split = {name: similarities(mdata, cells) for name, cells in splits_of(held_out)}
    measured, within = of_split["held-out"], same["held-out"]
    closer = [closer_than_the_partner(s, within) for s in measured]
    positive = [np.diagonal(s) for s in measured]
    negative = [s[within & ~np.eye(len(s), dtype=bool)] for s in measured]
    values = diagnose(mdata).checks.set_index("check")["value"]
    assert values["matching"] == pytest.approx(max(one.mean() for one in closer), abs=1e-6)
    assert values["resolution"] == pytest.approx(1 + max(np.median(one) for one in closer) * 59)
    assert values["misplaced_cells"] == pytest.approx(max((one > 0.5).mean() for one in closer))
    assert values["positive_similarity"] == pytest.approx(min(map(np.median, positive)), rel=1e-5)
    margins = [np.median(p) - np.quantile(n, 0.95) for p, n in zip(positive, negative, strict=True)]
    assert values["separation"] == pytest.approx(min(margins), abs=1e-5)
    temperatures = mdata.uns["clipdim"]["pairs"]["temperature"]
    losses = {
        name: np.mean([loss(s, same[name], t) for s, t in zip(of_split[name], temperatures, strict=True)])
        for name in of_split
    }
    assert values["overfitting"] == pytest.approx(losses["held-out"] - losses["train"], abs=1e-5)
    if batches > 1:
        joint = mdata.obsm["X_clipdim"]
        knn = KNeighborsClassifier(15).fit(joint[~held_out], donor[~held_out])
        skill = balanced_accuracy_score(donor[held_out], knn.predict(joint[held_out]), adjusted=True)
        assert values["batch_mixing"] == pytest.approx(skill)
        assert values["batch_size"] == pd.Series(donor[~held_out]).value_counts().min()


def splits_of(held_out):
    return [("held-out", held_out), ("train", ~held_out)]


def test_norms_of_the_modality_where_they_spread_most(make_fit):
    mdata = made_by_hand(make_fit, ("x", "y", "z"))
    mdata.uns["clipdim"]["params"]["recipe"]["similarity"] = "inner"
    norms = mdata["z"].obs["clipdim_norm"].to_numpy()[1::2]
    value = diagnose(mdata).checks.set_index("check").loc["norms", "value"]
    assert value == pytest.approx(norms.std() / norms.mean(), rel=1e-6)


def test_values_of_a_hand_made_history(make_fit):
    mdata = made_by_hand(make_fit, ("x", "y"))
    result = mdata.uns["clipdim"]
    logs = np.array([-1.0, -2, -3, -3.2, -3.3, -3.35, -3.38, -3.5])
    x, y = np.array([2, 2, 3, 3, 4, 4.5, 4.6, 5.0]), np.array([9, 9, 8, 7, 6, 6.2, 6.5, 5.5])
    result["params"]["recipe"]["initial_temperature"] = 1.0
    result["history"] = pd.DataFrame(
        {
            "loss": np.linspace(3, 1, 8),
            "temperature": np.exp(logs),
            "held_out_loss": [3, 2.5, 2, 1.5, 1, 1.2, 1.1, 1.3],
            "intrinsic_dimension_x": x,
            "intrinsic_dimension_y": y,
        }
    )
    values = diagnose(mdata).checks.set_index("check")["value"]
    # the last quarter of eight epochs is two
    assert values["temperature"] == pytest.approx((3.5 - 3.35) / 3.5)
    moved = [abs(one[-2:].mean() / one[-4:-2].mean() - 1) for one in (x, y)]
    assert moved[0] > moved[1] + 0.05
    assert values["dimension_settled"] == pytest.approx(moved[0])
    assert values["held_out_loss"] == pytest.approx(0.3)


@pytest.mark.parametrize(("share", "n_named"), [(0.85, 0), (0.75, 1)])
def test_a_batch_of_nearly_all_cells_holds_a_category_by_chance(share, n_named, make_fit):
    mdata = made_by_hand(make_fit, ("x", "y"), batches=3)
    order = np.random.default_rng(0).permutation(240)
    mdata.obs["donor"] = pd.Categorical(np.where(order < share * 240, "a", "b"))
    mdata.obs["cell_type"] = pd.Categorical(np.where(order < 30, "NK", "T"))
    table = diagnose(mdata).checks.set_index("check")
    assert table.loc["batch_categories", "value"] == n_named


def test_noise_says_that_nothing_shared_was_found(nothing_shared):
    table = diagnose(nothing_shared).checks.set_index("check")
    assert table.loc["matching", "verdict"] == "warning"
    assert table.loc["matching", "value"] == pytest.approx(0.5, abs=0.06)
    assert "Nothing shared was found" in table.loc["matching", "reading"]
    assert "intrinsic dimension is that of noise" in table.loc["matching", "reading"]
    assert table.loc["room", "verdict"] == "warning"
    assert "nothing shared was found" in table.loc["room", "reading"]
    assert table.loc["separation", "verdict"] == "warning"
    assert "orthogonal" in table.loc["separation", "reading"]
    for check in ("positive_similarity", "misplaced_cells", "resolution"):
        assert table.loc[check, "verdict"] == "note"


def test_unrelated_modalities_do_not_pass_and_related_ones_do(hand_made_fit):
    """The bound of `matching` holds for embeddings of any shape, here those of 50 permutations of the partners."""
    mdata, _, prot, _ = hand_made_fit
    complete(mdata)
    rng = np.random.default_rng(0)
    cells = pd.Index(mdata.obs_names).get_indexer(mdata["prot"].obs_names)
    assert verdicts(mdata)["matching"] == "ok"
    for _ in range(50):
        set_embedding(mdata, "prot", prot[rng.permutation(len(prot))][cells])
        assert verdicts(mdata)["matching"] == "warning"


def test_positives_that_concentrate_below_one(sound):
    rng = np.random.default_rng(0)
    for name in ("x", "y"):
        u = sound[name].obsm["X_clipdim"]
        noise = rng.normal(size=u.shape) * 0.75 / 4
        set_embedding(sound, name, (u + noise) / np.linalg.norm(u + noise, axis=1, keepdims=True))
    table = diagnose(sound).checks.set_index("check")
    value = table.loc["positive_similarity", "value"]
    assert 0.5 < value < 0.75
    assert table.loc["positive_similarity", "verdict"] == "note"
    assert f"concentrate at {value:.2f}" in table.loc["positive_similarity", "reading"]
    assert "not 1: the modalities share less than the encoders can align" in table.loc["positive_similarity", "reading"]


def set_out_dim(record, out_dim):
    """Let the record be that of a fit with so many dimensions."""
    record["params"]["out_dim"] = out_dim
    for arrays in record["encoders"].values():
        for name in ("layers.2.weight", "layers.2.bias", "linear.weight"):
            arrays[name] = np.resize(arrays[name], (out_dim, *arrays[name].shape[1:]))


@pytest.mark.parametrize("change", ["opposed", "orthogonal"])
def test_encoders_that_are_orthogonal_or_opposed(sound, change):
    u = {name: sound[name].obsm["X_clipdim"] for name in ("x", "y")}
    zero = np.zeros_like(u["x"])
    if change == "opposed":
        set_embedding(sound, "y", -u["y"])
    else:
        set_embedding(sound, "x", np.hstack([u["x"], zero]))
        set_embedding(sound, "y", np.hstack([zero, u["y"]]))
        set_out_dim(sound.uns["clipdim"], 32)
    table = diagnose(sound).checks.set_index("check")
    assert table.loc["separation", "verdict"] == "warning"
    assert "orthogonal or opposed" in table.loc["separation", "reading"]
    assert table.loc["misplaced_cells", "verdict"] == ("note" if change == "opposed" else "ok")


def test_cells_that_were_exchanged(sound):
    """8 % of the cells have another's protein, as doublets or barcode errors would."""
    held_out = np.flatnonzero(sound.obs["clipdim_split"] == "held-out")
    wrong = held_out[: round(0.08 * len(held_out))]
    u = sound["y"].obsm["X_clipdim"].copy()
    u[wrong] = -u[wrong]
    set_embedding(sound, "y", u)
    table = diagnose(sound).checks.set_index("check")
    assert table.loc["misplaced_cells", "value"] == pytest.approx(0.08, abs=0.01)
    assert table.loc["misplaced_cells", "value"] > MISPLACED
    share = f"{table.loc['misplaced_cells', 'value']:.1%}"
    assert f"Negatives exceed positives for {share} of held-out cells" in table.loc["misplaced_cells", "reading"]
    assert table.loc["matching", "verdict"] == "ok"


def test_dimension_read_off_what_is_not_shared(plain):
    """Two shared dimensions and much input noise: the estimate is far above, and the resolution says why."""
    mdata = fitted(n_shared=2, recipe=plain)
    assert mdata.uns["clipdim"]["intrinsic_dimension"]["joint"]["estimate"] > 4
    table = diagnose(mdata).checks.set_index("check")
    assert table.loc["resolution", "verdict"] == "note"
    assert "more than what is shared" in table.loc["resolution", "reading"]
    assert table.loc["matching", "verdict"] == "ok"


def test_out_dim_below_the_shared_dimension():
    mdata = fitted(out_dim=3)
    table = diagnose(mdata).checks.set_index("check")
    assert table.loc["room", "verdict"] == "warning"
    assert "out_dim limits it" in table.loc["room", "reading"]
    assert "out_dim=6" in table.loc["room", "reading"]


def test_reduced_on_purpose(sound):
    set_out_dim(sound.uns["clipdim"], 5)
    for name in ("x", "y"):
        set_embedding(sound, name, sound[name].obsm["X_clipdim"][:, :5])
    assert verdicts(sound)["room"] == "warning"
    sound.uns["clipdim"]["params"] |= {"reduced_from": "large", "method": "pca", "n_epochs": 0}
    table = diagnose(sound).checks.set_index("check")
    assert (table.loc[["room", "training_length"], "verdict"] == "ok").all()
    assert "key='large'" in table.loc["room", "reading"]


def test_barely_trained(barely_trained):
    table = diagnose(barely_trained).checks.set_index("check")
    assert table.loc["temperature", "verdict"] == "note"
    assert "train longer (max_epochs)" in table.loc["temperature", "reading"].lower()
    assert table.loc["dimension_settled", "verdict"] == "note"
    assert np.isnan(table.loc["dimension_settled", "value"])
    assert table.loc["training_length", "verdict"] == "ok"


def test_temperature_that_still_falls():
    mdata = fitted(recipe="paper", max_epochs=12, similarity="cosine")
    reading = readings(mdata)["temperature"]
    assert "still falling, so the intrinsic dimension is an upper bound" in reading


def test_interrupted(sound):
    sound.uns["clipdim"]["params"]["n_epochs"] = 7
    table = diagnose(sound).checks.set_index("check")
    assert table.loc["training_length", "verdict"] == "note"
    assert "interrupted after 7 of" in table.loc["training_length", "reading"]


def test_learned_by_heart():
    for arguments in ({"n_cells": 150, "max_epochs": 150}, {"n_cells": 300, "noise": True}):
        table = diagnose(fitted(**arguments, recipe=UNSHRUNK)).checks.set_index("check")
        assert table.loc["overfitting", "verdict"] == "note"
        assert table.loc["overfitting", "value"] > 2
        assert "learned training cells by heart" in table.loc["overfitting", "reading"]
    # unless unseen cells say how much of it to keep
    assert verdicts(fitted(300, noise=True))["overfitting"] == "ok"


def set_learning(mdata, *rows):
    """Give a fit the validation losses of some shares: (share, input_noise, loss, chosen) each."""
    table = pd.DataFrame(rows, columns=["share", "input_noise", "loss", "chosen"])
    mdata.uns["clipdim"]["learning"] = table.assign(n_cells=1_234, hidden_by_noise=0.1)


@pytest.mark.parametrize(
    ("rows", "value", "verdict", "reading"),
    [
        (
            [(0.0, 0.3, 2.0, False), (0.6, 0.3, 1.5, True), (1.0, 0.3, 1.7, False)],
            *(0.5, "ok"),
            r"improved the loss of 1,234 training cells left out for this by 0\.50 nats, with 60% of what was le",
        ),
        (
            [(0.0, 0.3, 2.0, True), (0.6, 0.3, 2.1, False)],
            *(0.0, "note"),
            "did not improve the loss of 1,234 training cells left out for this: the embedding is linear",
        ),
        # the start of the same noise counts
        (
            [(0.0, 0.3, 1.2, False), (0.6, 0.3, 1.1, False), (0.0, 0.0, 2.0, False), (1.0, 0.0, 1.0, True)],
            *(1.0, "ok"),
            r"by 1\.00 nats, with 100% of what was learned",
        ),
    ],
)
def test_whether_learning_beyond_the_start_was_of_use(sound, rows, value, verdict, reading):
    set_learning(sound, *rows)
    found = diagnose(sound).checks.set_index("check").loc["learning"]
    assert found["value"] == pytest.approx(value)
    assert found["threshold"] == 0
    assert found["verdict"] == verdict
    assert re.search(reading, found["reading"])


def test_learning_of_little_and_of_much():
    """Modalities that agree linearly have nothing to learn beyond the start, those whose relation bends have."""
    assert verdicts(fitted(200))["learning"] == "note"
    bent = clipdim.datasets.linear(1_000, n_shared=3, d_x=5, d_y=5)
    bent["y"].X = np.abs(bent["y"].X)
    fit(bent, 8, holdout=0.3, progress=False, device="cpu")
    table = diagnose(bent).checks.set_index("check")
    assert table.loc["learning", "verdict"] == "ok"
    assert table.loc["learning", "value"] > 0.5
    assert table.loc["matching", "verdict"] == "ok"


def test_a_linear_start_that_was_asked_for_is_no_fault():
    table = diagnose(fitted(300, max_epochs=0)).checks.set_index("check")
    assert table.loc["learning", "verdict"] == "ok"
    assert "as max_epochs=0 wants it: the embedding is linear" in table.loc["learning", "reading"]
    assert table.loc["training_length", "verdict"] == "ok"


@pytest.mark.parametrize("recipe", [UNSHRUNK, replace(RECIPES["default"], start="random"), "paper"])
def test_without_a_start_to_compare_with_there_is_nothing_to_say(recipe):
    table = diagnose(fitted(300, recipe=recipe, max_epochs=2)).checks.set_index("check")
    assert table.index.tolist() == [
        check for check in [*CHECKS, "norms"] if check != "learning" and (check != "norms" or recipe == "paper")
    ]


def set_history(mdata, **columns):
    history = mdata.uns["clipdim"]["history"].copy()
    for name, values in columns.items():
        history[name] = values
    mdata.uns["clipdim"]["history"] = history


@pytest.mark.parametrize(("slope", "verdict"), [(0.0, "ok"), (0.2, "note"), (-0.2, "note")])
def test_dimension_that_moves(sound, slope, verdict):
    set_learning(sound, (0.0, 0.0, 2.0, False), (1.0, 0.0, 1.0, True))
    n_epochs = len(sound.uns["clipdim"]["history"])
    values = 5 + slope * (np.arange(n_epochs) - n_epochs / 2) * 20 / n_epochs
    set_history(sound, intrinsic_dimension_x=values, intrinsic_dimension_y=values)
    assert verdicts(sound)["dimension_settled"] == verdict
    if verdict == "note":
        assert ("still rising" if slope > 0 else "still falling") in readings(sound)["dimension_settled"]


def test_held_out_loss_that_rises(sound):
    losses = sound.uns["clipdim"]["history"]["held_out_loss"].to_numpy().copy()
    losses[-1] = losses[:-1].min() + 2 * LOSS_RISE
    set_history(sound, held_out_loss=losses)
    assert verdicts(sound)["held_out_loss"] == "note"
    assert f"rose by 0.20 nats after epoch {losses.argmin()}" in readings(sound)["held_out_loss"]


def test_modalities_that_disagree(sound):
    sound.uns["clipdim"]["intrinsic_dimension"]["x"]["estimate"] *= 1.5
    table = diagnose(sound).checks.set_index("check")
    assert table.loc["dimension_agreement", "verdict"] == "note"
    assert "The modalities disagree" in table.loc["dimension_agreement", "reading"]


@pytest.mark.parametrize(("n_cells", "verdict"), [(60, "note"), (2_000, "ok")])
def test_few_cells_for_the_dimension(sound, n_cells, verdict):
    for record in sound.uns["clipdim"]["intrinsic_dimension"].values():
        record.update(estimate=9.0, n_cells=n_cells)
    table = diagnose(sound).checks.set_index("check")
    assert table.loc["sample_size", "verdict"] == verdict
    too_few = "too few cells for an intrinsic dimension of this size" in table.loc["sample_size", "reading"]
    assert too_few == (verdict == "note")


def test_no_dimension_at_all(make_mdata):
    mdata = make_mdata(30)
    fit(mdata, 8, holdout=0, max_epochs=2, progress=False)
    for record in mdata.uns["clipdim"]["intrinsic_dimension"].values():
        record.update(estimate=np.nan, low=np.nan, high=np.nan)
    table = diagnose(mdata).checks.set_index("check")
    for check in ("dimension_agreement", "room", "sample_size"):
        assert table.loc[check, "verdict"] == "warning"
        assert "too few" in table.loc[check, "reading"].lower()


def test_nothing_held_out_says_so():
    for noise in (False, True):
        mdata = fitted(300, noise=noise, holdout=0)
        table = diagnose(mdata).checks.set_index("check")
        assert table.loc["matching", "verdict"] == "note"
        assert "training cells" in table.loc["matching", "reading"]
        assert "holdout=0.1 to know" in table.loc["matching", "reading"]
        for check in ("overfitting", "held_out_loss"):
            assert table.loc[check, "verdict"] == "note"
            assert np.isnan(table.loc[check, "value"])
        assert "training cells" in table.loc["misplaced_cells", "reading"]


def test_norms_of_the_inner_product(sound):
    mdata = fitted(similarity="inner", max_epochs=20)
    table = diagnose(mdata).checks.set_index("check")
    assert table.loc["norms", "verdict"] == "ok"
    mdata["x"].obs["clipdim_norm"] = np.random.default_rng(0).exponential(size=mdata.n_obs).astype(np.float32)
    table = diagnose(mdata).checks.set_index("check")
    assert table.loc["norms", "verdict"] == "note"
    assert "do not gather" in table.loc["norms", "reading"]
    sound["x"].obs["clipdim_norm"] = mdata["x"].obs["clipdim_norm"]
    assert "norms" not in verdicts(sound)


def batched(shares, *, shift=0.0):
    mdata = clipdim.datasets.linear(1_500)
    rng = np.random.default_rng(0)
    mdata.obs["donor"] = pd.Categorical(np.array(["a", "b", "c"])[rng.choice(3, size=1_500, p=shares)])
    for name in ("x", "y"):
        mdata[name].X += shift * mdata.obs["donor"].cat.codes.to_numpy()[:, None].astype(np.float32)
    fit(mdata, 16, recipe=UNSHRUNK, batch_key="donor", holdout=0.3, progress=False, device="cpu", max_epochs=15)
    return mdata


def test_batches():
    table = diagnose(batched([0.4, 0.3, 0.3])).checks.set_index("check")
    assert table.index.tolist() == [*(check for check in CHECKS if check != "learning"), *BATCH_CHECKS]
    assert (table.loc[["matching", *BATCH_CHECKS], "verdict"] == "ok").all()
    assert table.loc["batch_size", "value"] == 256
    with pytest.warns(UserWarning, match=r"batch 'c' has \d+ paired cells"):
        mdata = batched([0.555, 0.44, 0.005], shift=3)
    mdata.uns["clipdim"]["params"]["recipe"]["batch_size"] = 7
    table = diagnose(mdata).checks.set_index("check")
    assert table.loc["batch_size", "verdict"] == "note"
    assert table.loc["batch_size", "value"] < NEGATIVES_OF_A_BATCH
    assert "the smallest batch: too few negatives" in table.loc["batch_size", "reading"]
    mdata = batched([0.4, 0.3, 0.3], shift=3)
    mdata.obsm["X_clipdim"][:, 0] += 10 * mdata.obs["donor"].cat.codes.to_numpy()
    assert verdicts(mdata)["batch_mixing"] == "note"
    assert "still name a cell's batch" in readings(mdata)["batch_mixing"]
    del mdata.obs["donor"]
    with pytest.raises(KeyError, match="donor"):
        diagnose(mdata)


def test_batch_confounded_with_a_disease():
    mdata = batched([0.4, 0.3, 0.3])
    donor = mdata.obs["donor"].astype(str)
    mdata.obs["disease"] = pd.Categorical(np.where(donor == "a", "healthy", "ill"))
    mdata.obs["site"] = "Lyon"
    mdata.obs["sex"] = np.random.default_rng(0).choice(["f", "m"], size=mdata.n_obs)
    table = diagnose(mdata).checks.set_index("check")
    assert table.loc["batch_confounding", ["value", "verdict"]].tolist() == [1, "note"]
    assert "one value of 'disease'" in table.loc["batch_confounding", "reading"]
    assert table.loc["batch_categories", "verdict"] == "ok"


def test_cell_type_of_one_batch_only():
    mdata = batched([0.4, 0.3, 0.3])
    rng = np.random.default_rng(0)
    types = rng.choice(["B", "T", "rare"], size=mdata.n_obs, p=[0.5, 0.49, 0.01]).astype(object)
    types[(mdata.obs["donor"] == "b").to_numpy() & (rng.random(mdata.n_obs) < 0.3)] = "NK"
    mdata.obs["cell_type"] = types
    table = diagnose(mdata).checks.set_index("check")
    assert table.loc["batch_categories", ["value", "verdict"]].tolist() == [1, "note"]
    assert "['NK'] of 'cell_type'" in table.loc["batch_categories", "reading"]
    assert table.loc["batch_confounding", "verdict"] == "ok"


def test_cells_are_compared_within_their_batch():
    """Modalities that share the batch and nothing else: no cell is told from others of its batch."""
    mdata = clipdim.datasets.linear(900, n_shared=1)
    rng = np.random.default_rng(0)
    mdata["x"].X[:] = rng.normal(size=mdata["x"].shape)
    mdata.obs["lane"] = pd.Categorical(rng.choice(["1", "2", "3"], size=900))
    for name in ("x", "y"):
        mdata[name].X += 5 * mdata.obs["lane"].cat.codes.to_numpy()[:, None].astype(np.float32)
    settings = {"holdout": 0.3, "progress": False, "device": "cpu", "max_epochs": 10}
    fit(mdata, 8, batch_key="lane", **settings)
    fit(mdata, 8, key_added="unconditional", **settings)
    assert verdicts(mdata)["matching"] == "warning"
    assert diagnose(mdata, key="unconditional").checks["verdict"][0] == "ok"


def test_every_cell_its_own_batch(sound):
    sound.uns["clipdim"]["params"]["batch_key"] = "barcode"
    sound.obs["barcode"] = sound.obs_names
    with pytest.raises(ValueError, match="a value of its own for every cell"):
        diagnose(sound)


def complete(mdata, spaces=("rna", "prot", "joint")):
    """Add to a hand-made fit what only `tl.fit` knows."""
    record = {"estimate": 4.0, "low": 3.5, "high": 4.5, "n_cells": 60, "n_neighbors": 20, "cells": "held-out"}
    record |= {"estimator": "mle", "aggregation": "harmonic"}
    losses = {"loss": [3.0, 2.0, 2.0], "held_out_loss": [3.0, 2.0, 2.0]}
    params = mdata.uns["clipdim"]["params"]
    params["n_epochs"] = params["recipe"]["max_epochs"] = 3
    mdata.uns["clipdim"] |= {
        "history": pd.DataFrame({"temperature": [0.2, 0.1, 0.1], **losses}),
        "temperature": 0.1,
        "intrinsic_dimension": {name: dict(record) for name in spaces},
    }
    for modality in mdata.mod.values():
        if "clipdim_norm" not in modality.obs:
            modality.obs["clipdim_norm"] = 1.0


def test_three_modalities_the_worst_pair_counts(make_mdata):
    mdata = make_mdata(600, names=("rna", "prot", "atac"))
    mdata["atac"].X[:] = np.random.default_rng(0).normal(size=mdata["atac"].shape)
    fit(mdata, 8, recipe=CLEAN, holdout=0.3, max_epochs=20, progress=False)
    table = diagnose(mdata).checks.set_index("check")
    assert table.loc["matching", "verdict"] == "warning"
    assert "atac" in table.loc["separation", "reading"]


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_a_fit_read_back_and_the_table_in_the_file(sound, through_file, form):
    again = through_file(sound, form)
    table = diagnose(again).checks
    pd.testing.assert_frame_equal(table, diagnose(sound).checks)
    pd.testing.assert_frame_equal(again.uns["clipdim"]["diagnose"], table)
    stored = through_file(again, form).uns["clipdim"]["diagnose"].reset_index(drop=True)
    pd.testing.assert_frame_equal(stored, table, check_dtype=False, check_index_type=False)
    table.loc[0, "verdict"] = "changed"
    assert again.uns["clipdim"]["diagnose"].loc[0, "verdict"] == "ok"


def test_shuffled_modalities_give_the_same_table(sound):
    order = np.random.default_rng(0).permutation(sound.n_obs)
    shuffled = mudata.MuData({"x": sound["x"].copy(), "y": sound["y"][order].copy()})
    shuffled = shuffled[sound.obs_names].copy()
    shuffled.obs["clipdim_split"], shuffled.uns = sound.obs["clipdim_split"], sound.uns
    shuffled.obsm["X_clipdim"] = sound.obsm["X_clipdim"]
    pd.testing.assert_frame_equal(diagnose(shuffled).checks, diagnose(sound).checks)


def test_nothing_else_changes_and_the_table_is_the_same_twice(sound):
    state = np.random.get_state()[1].copy()
    embedding, slots = sound.obsm["X_clipdim"].copy(), set(sound.uns["clipdim"])
    first = diagnose(sound).checks
    pd.testing.assert_frame_equal(diagnose(sound).checks, first)
    np.testing.assert_array_equal(sound.obsm["X_clipdim"], embedding)
    assert set(sound.uns["clipdim"]) == slots | {"diagnose"}
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_errors(sound, make_mdata):
    with pytest.raises(KeyError, match=r"no fit in .*run clipdim\.tl\.fit"):
        diagnose(make_mdata(20))
    with pytest.raises(KeyError, match=r"key='clipdim'"):
        diagnose(sound, key="other")
    with pytest.raises(TypeError, match="expected a MuData"):
        diagnose(AnnData(np.zeros((2, 2))))
    with pytest.raises(ValueError, match="view"):
        diagnose(sound[:50])
    sound.obs["clipdim_split"] = pd.Categorical([None] * sound.n_obs, categories=["train"])
    with pytest.raises(ValueError, match=r"0 cells of .* at least 2 are needed; fit anew"):
        diagnose(sound)
    assert "diagnose" not in sound.uns["clipdim"]
