import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from clipdim import dimension, pl
from clipdim.contrast import RECIPES
from clipdim.datasets import simulate_citeseq
from clipdim.pp import citeseq
from clipdim.tl import classify, embed, fit, intrinsic_dimension, match, reduce

QUICK = {"progress": False, "device": "cpu"}
KEY = "clipdim_reduced"
SLOT = f"X_{KEY}"
pytestmark = pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")


@pytest.fixture(scope="module")
def fitted_once(make_mdata, plain):
    mdata = make_mdata(400, lacking=20)
    mdata.obs["cell_type"] = pd.Categorical(np.where(np.arange(400) % 3, "T", "B"))
    mdata.obs["site"] = pd.Categorical(np.where(np.arange(400) % 2, "a", "b"))
    fit(mdata, 10, recipe=plain, max_epochs=10, holdout=0.3, batch_size=64, **QUICK)
    return mdata


@pytest.fixture
def fitted(fitted_once):
    """A short fit of three shared dimensions in ten; some cells lack a modality."""
    return fitted_once.copy()


def of_cells(mdata, name, slot):
    """Embedding of one modality by the names of the cells."""
    return pd.DataFrame(mdata[name].obsm[slot], index=mdata[name].obs_names)


def axes_by_svd(mdata, n, key="clipdim"):
    train = (mdata.obs[f"{key}_split"] == "train").to_numpy()
    return np.linalg.svd(mdata.obsm[f"X_{key}"][train].astype(float), full_matrices=False)[2][:n].T


def test_pca_against_numpy(fitted):
    """Cosine: the projected embedding of each modality, normalised; joint: the mean over those that a cell has."""
    assert reduce(fitted, 3, method="pca", **QUICK) is None
    axes = axes_by_svd(fitted, 3)
    found = {name: of_cells(fitted, name, SLOT) for name in fitted.mod}
    signs = None
    for name in fitted.mod:
        expected = of_cells(fitted, name, "X_clipdim").to_numpy() @ axes
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        signs = np.sign((expected * found[name]).to_numpy().sum(axis=0)) if signs is None else signs
        np.testing.assert_allclose(found[name], expected * signs, atol=1e-4)
        assert fitted[name].obsm[SLOT].dtype == np.float32
    mean = pd.concat(found.values()).groupby(level=0).mean().loc[fitted.obs_names]
    np.testing.assert_allclose(fitted.obsm[SLOT], mean, atol=1e-6)


@pytest.mark.parametrize("norm_fraction", [0.0, 0.2])
def test_pca_of_inner_products(make_mdata, norm_fraction):
    """Divided by the mean norm over the norm set, or over the training cells where there is none."""
    mdata = make_mdata(200)
    recipe = RECIPES["paper"] if norm_fraction else RECIPES["default"]
    fit(mdata, 6, recipe=recipe, similarity="inner", max_epochs=2, **QUICK)
    reduce(mdata, 4, method="pca", **QUICK)
    axes = axes_by_svd(mdata, 4)
    norm_cells = mdata.obs_names[mdata.obs["clipdim_split"] == ("norm set" if norm_fraction else "train")]
    for name in mdata.mod:
        expected = of_cells(mdata, name, "X_clipdim") @ axes
        expected /= np.linalg.norm(expected.loc[norm_cells], axis=1).mean()
        np.testing.assert_allclose(of_cells(mdata, name, SLOT).abs(), expected.abs(), rtol=1e-3, atol=1e-4)
    assert mdata.uns[KEY]["history"]["temperature"].item() == pytest.approx(mdata.uns["clipdim"]["temperature"])


def test_all_axes_are_a_rotation(fitted):
    reduce(fitted, 10, method="pca", **QUICK)
    for a, b in (("rna", "rna"), ("rna", "prot")):
        similarities = [fitted[a].obsm[slot] @ fitted[b].obsm[slot].T for slot in ("X_clipdim", SLOT)]
        np.testing.assert_allclose(*similarities, atol=1e-4)


def test_training_matches_better_than_projection():
    """On counts and in few dimensions; where the modalities agree closely, projection is as good."""
    mdata = simulate_citeseq(n_cells=1_500)
    citeseq(mdata)
    fit(mdata, 16, holdout=0.3, **QUICK)
    recall = {}
    for method in ("pca", "refit", "distill"):
        reduce(mdata, 3, method=method, key_added=f"by_{method}", **QUICK)
        scores = match(mdata, key=f"by_{method}")
        recall[method] = scores.loc[scores["split"] == "held-out", "recall_at_10"].mean()
    assert recall["pca"] < recall["refit"]
    assert recall["pca"] < recall["distill"]
    n_epochs = mdata.uns["clipdim"]["params"]["n_epochs"]
    for method in ("refit", "distill"):
        reduced = mdata.uns[f"by_{method}"]
        params = reduced["params"]
        assert len(reduced["history"]) == params["n_epochs"] == params["recipe"]["max_epochs"] == n_epochs
    assert mdata.uns["by_pca"]["params"]["n_epochs"] == 0


@pytest.mark.parametrize("method", ["refit", "distill"])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_training_begins_at_the_temperature_of_the_fit_or_the_first_of_the_recipe_if_higher(fitted, method, factor):
    """With a rate of next to nothing it ends there too."""
    result = fitted.uns["clipdim"]
    first = factor * result["temperature"]
    result["params"]["recipe"] |= {"lr": 1e-9, "initial_temperature": first}
    reduce(fitted, 3, method=method, max_epochs=1, **QUICK)
    assert fitted.uns[KEY]["temperature"] == pytest.approx(max(first, result["temperature"]), rel=1e-4)


def test_record_is_that_of_a_fit(fitted):
    before = dict(fitted.uns["clipdim"])
    reduce(fitted, 4, max_epochs=3, random_state=5, **QUICK)
    record, of_fit = fitted.uns[KEY], fitted.uns["clipdim"]
    assert of_fit == before
    assert set(record) == set(of_fit)
    assert set(record["params"]) == {*of_fit["params"], "reduced_from", "method"}
    changed = {name for name in of_fit["params"] if not np.array_equal(record["params"][name], of_fit["params"][name])}
    assert changed == {"out_dim", "n_epochs", "recipe", "random_state"}
    assert record["params"]["out_dim"] == 4
    assert list(record["history"]) == list(of_fit["history"])
    assert record["temperature"] == record["history"]["temperature"].iloc[-1]
    pd.testing.assert_series_equal(fitted.obs[f"{KEY}_split"], fitted.obs["clipdim_split"], check_names=False)
    for name, arrays in record["encoders"].items():
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
        assert {part: arrays[part].shape for part in arrays if not part.startswith(("layers.2", "linear"))} == {
            part: array.shape
            for part, array in of_fit["encoders"][name].items()
            if not part.startswith(("layers.2", "linear"))
        }
    held_out = fitted.obs[f"{KEY}_split"] == "held-out"
    found = record["intrinsic_dimension"]["joint"]
    assert found["estimate"] == pytest.approx(dimension.mle(fitted.obsm[SLOT][held_out]), rel=1e-3)
    assert found["n_cells"] == held_out.sum()


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
@pytest.mark.parametrize("method", ["pca", "refit", "distill"])
def test_everything_works_with_the_reduced_fit(fitted, make_mdata, method, form, through_file, assert_same):
    reduce(fitted, 3, method=method, max_epochs=2, **QUICK)
    del fitted.uns["clipdim"]
    read = through_file(fitted, form)
    assert_same(dict(read.uns[KEY]), dict(fitted.uns[KEY]))
    own, new = make_mdata(400, lacking=20), make_mdata(50, seed=3)
    embed(own, read, key=KEY, device="cpu")
    np.testing.assert_allclose(own.obsm[SLOT], fitted.obsm[SLOT], atol=1e-5)
    embed(new, read, key=KEY, device="cpu")
    assert new.obsm[SLOT].shape == (50, 3)
    pd.testing.assert_frame_equal(match(read, key=KEY), match(fitted, key=KEY))
    assert classify(read, "cell_type", key=KEY)["accuracy"].between(0, 1).all()
    intrinsic_dimension(read, use_rep=SLOT)
    for draw in (pl.history, pl.temperature, pl.similarity, pl.norms, pl.intrinsic_dimension):
        draw(read, key=KEY)
    plt.close("all")


def test_reduced_fit_can_be_reduced(fitted):
    reduce(fitted, 6, method="pca", **QUICK)
    reduce(fitted, 3, method="refit", key=KEY, key_added="again", **QUICK)
    assert fitted.obsm["X_again"].shape == (400, 3)
    assert fitted.uns["again"]["params"]["reduced_from"] == KEY


def test_auto(make_mdata):
    for similarity, extra in (("cosine", 2), ("inner", 1)):
        mdata = make_mdata(150)
        fit(mdata, 12, similarity=similarity, max_epochs=3, holdout=0.3, **QUICK)
        for high, n_dims in ((2.2, 3), (4.0, 4), (0.3, 1)):
            mdata.uns["clipdim"]["intrinsic_dimension"]["joint"]["high"] = high
            reduce(mdata, method="pca", **QUICK)
            assert mdata.obsm[SLOT].shape == (150, n_dims + extra)


def test_seed_and_global_state(fitted):
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    results = []
    for seed in (0, 0, 1):
        reduce(fitted, 3, max_epochs=2, random_state=seed, **QUICK)
        results.append(fitted.obsm[SLOT])
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    assert torch.equal(torch.get_rng_state(), state[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])


def test_copy(fitted, unchanged):
    with unchanged(fitted):
        reduced = reduce(fitted, 3, max_epochs=1, copy=True, **QUICK)
    assert reduced.obsm[SLOT].shape == (400, 3)


def test_batches_and_nothing_held_out(make_mdata, unchanged):
    mdata = make_mdata(200)
    mdata.obs["site"] = pd.Categorical(np.where(np.arange(200) % 2, "a", "b"))
    fit(mdata, 6, batch_key="site", holdout=0, max_epochs=2, **QUICK)
    for method in ("pca", "refit", "distill"):
        reduce(mdata, 3, method=method, **QUICK)
        assert mdata.uns[KEY]["params"]["batch_key"] == "site"
        assert mdata.uns[KEY]["intrinsic_dimension"]["joint"]["cells"] == "train"
    mdata.obs["site"] = mdata.obs["site"].cat.remove_categories("a")
    with unchanged(mdata), pytest.raises(ValueError, match="batch_key='site' is missing for 100 of 200 paired cells"):
        reduce(mdata, 3, **QUICK)
    del mdata.obs["site"]
    with unchanged(mdata), pytest.raises(KeyError, match="no column 'site'"):
        reduce(mdata, 3, **QUICK)


def test_one_dimension_of_cosines_is_warned_of(fitted):
    with pytest.warns(UserWarning, match="with out_dim=1 and cosine .*; pass a larger out_dim$"):
        reduce(fitted, 1, method="pca", **QUICK)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"out_dim": 3.0}, TypeError, r"out_dim must be an integer .* got 3\.0.*'auto' chooses"),
        ({"out_dim": "3"}, TypeError, "out_dim must be an integer .* got '3'"),
        ({"out_dim": True}, TypeError, "out_dim must be an integer"),
        ({"out_dim": None}, TypeError, "out_dim must be an integer"),
        ({"out_dim": 0}, ValueError, "out_dim must be .* at least 1 and at most 10, got 0; the fit 'clipdim' has 10"),
        ({"out_dim": 11}, ValueError, "at most 10, got 11; the fit 'clipdim' has 10"),
        ({"key": "other"}, KeyError, r"no fit in mdata.uns\['other'\]"),
        ({"key_added": "clipdim"}, ValueError, "key_added='clipdim' would overwrite the fit"),
        ({"key_added": "a/b"}, ValueError, "key_added must be a non-empty string"),
        ({"method": "umap"}, ValueError, r"method must be one of \['distill', 'refit', 'pca'\], got 'umap'"),
        ({"max_epochs": 0}, ValueError, "max_epochs must be an integer of at least 1, got 0"),
        ({"random_state": -1}, ValueError, "random_state must be an integer of at least 0"),
        ({"device": "abacus"}, ValueError, "device='abacus' is not available"),
    ],
)
def test_bad_arguments(fitted, unchanged, arguments, error, message):
    with unchanged(fitted), pytest.raises(error, match=message):
        reduce(fitted, **{"out_dim": 3, **QUICK, **arguments})


def test_auto_that_cannot_be(fitted, unchanged):
    joint = fitted.uns["clipdim"]["intrinsic_dimension"]["joint"]
    joint["estimate"] = joint["low"] = joint["high"] = np.nan
    shared = fitted.uns["clipdim"].pop("shared_dimension")
    with pytest.raises(ValueError, match=r"too few for a dimension; run .*, or pass out_dim as an integer"):
        reduce(fitted, **QUICK)
    assert SLOT not in fitted.obsm
    assert KEY not in fitted.uns
    joint["estimate"] = joint["low"] = 1.5
    joint["high"] = 9.5
    with (
        unchanged(fitted),
        pytest.raises(ValueError, match=r"up to 9\.5 dimensions, which takes 12, and the fit has 10;"),
    ):
        reduce(fitted, **QUICK)
    fitted.uns["clipdim"]["shared_dimension"] = shared.assign(at_most=9)
    with unchanged(fitted), pytest.raises(ValueError, match=r"up to 9 dimensions, which takes 11, and the fit has 10;"):
        reduce(fitted, **QUICK)


def test_changed_data(fitted, unchanged):
    values = fitted["prot"].X.copy()
    fitted["prot"].X[5] += 1
    with unchanged(fitted), pytest.raises(ValueError, match=r"'X' of modality 'prot' has changed .*: 1 of 380 cells"):
        reduce(fitted, 3, **QUICK)
    fitted["prot"].X = values
    del fitted["prot"].obsm["X_clipdim"]
    with unchanged(fitted), pytest.raises(KeyError, match=r"missing from \['prot'\]"):
        reduce(fitted, 3, **QUICK)


def test_other_objects(fitted, unchanged):
    with unchanged(fitted):
        with pytest.raises(TypeError, match="expected a MuData, got AnnData"):
            reduce(fitted["rna"])
        with pytest.raises(ValueError, match="is a view"):
            reduce(fitted[:100])
        held_out = fitted[fitted.obs["clipdim_split"] == "held-out"].copy()
        with pytest.raises(ValueError, match="has 0 of the cells that the fit was trained on"):
            reduce(held_out, 3, **QUICK)


def test_divergence_changes_nothing(fitted, unchanged):
    for arrays in fitted.uns["clipdim"]["encoders"].values():
        arrays["layers.0.bias"][:] = np.nan
    with unchanged(fitted), pytest.raises((FloatingPointError, ValueError)):
        reduce(fitted, 3, **QUICK)


def test_representation_is_not_overwritten(make_mdata, unchanged):
    mdata = make_mdata()
    for adata in mdata.mod.values():
        adata.obsm["X_mine"] = adata.X.copy()
    fit(mdata, 5, use_rep="X_mine", max_epochs=1, **QUICK)
    with unchanged(mdata), pytest.raises(ValueError, match="key_added='mine' would overwrite the representation"):
        reduce(mdata, 3, key_added="mine", **QUICK)
