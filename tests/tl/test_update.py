from dataclasses import replace

import matplotlib.pyplot as plt
import mudata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from clipdim import pl, pp
from clipdim._mudata import read_fit, read_inputs
from clipdim.contrast import RECIPES
from clipdim.datasets import simulate_citeseq
from clipdim.fitting.replay import replay
from clipdim.tl import classify, embed, fit, match, reduce, transfer_labels, update

QUICK = {"progress": False, "device": "cpu"}
KEY = "clipdim_updated"
SLOT = f"X_{KEY}"
pytestmark = pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")


@pytest.fixture(scope="module")
def fitted(make_mdata, plain):
    mdata = make_mdata(500, lacking=20)
    mdata.obs["cell_type"] = pd.Categorical(np.where(np.arange(500) % 3, "T", "B"))
    fit(mdata, 8, recipe=plain, max_epochs=10, holdout=0.2, batch_size=64, **QUICK)
    return mdata


@pytest.fixture
def reference(fitted):
    return fitted.copy()


@pytest.fixture
def new(make_mdata):
    """Another sample, whose first three proteins mean something else than in the reference."""
    mdata = make_mdata(400, lacking=10, seed=1)
    mdata["prot"].X[:, :3] = mdata["prot"].X[:, [1, 2, 0]]
    for adata in mdata.mod.values():
        adata.obs_names = "new_" + adata.obs_names
    return mudata.MuData(mdata.mod)


def of_cells(mdata, name, slot):
    return pd.DataFrame(mdata[name].obsm[slot], index=mdata[name].obs_names)


def shifts(reference, name):
    """1 less the cosine between the old and the new place of each cell of the reference, naively."""
    old, moved = (reference[name].obsm[slot].astype(float) for slot in ("X_clipdim", SLOT))
    return np.array([1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(old, moved, strict=True)])


def top_one(mdata, key, cells):
    x, y = (of_cells(mdata, name, f"X_{key}").loc[cells].to_numpy() for name in ("rna", "prot"))
    return ((x @ y.T).argmax(axis=1) == np.arange(len(x))).mean()


@pytest.mark.parametrize("max_shift", [0.003, 0.02])
def test_old_cells_move_no_farther_than_allowed(new, reference, max_shift):
    assert update(new, reference, max_shift=max_shift, max_epochs=5, **QUICK) is None
    embed(reference, new, key=KEY)
    table = new.uns[KEY]["shift"].set_index("modality")
    for name in ("rna", "prot"):
        expected = shifts(reference, name)
        assert table.loc[name, "mean"] == pytest.approx(expected.mean(), abs=1e-5)
        assert table.loc[name, "q95"] == pytest.approx(np.quantile(expected, 0.95), abs=1e-5)
        assert table.loc[name, "n_cells"] == reference[name].n_obs
    # the bound is used up to a halving or so of the way
    assert 0.8 * max_shift < table["mean"].max() <= max_shift
    assert 0 < new.uns[KEY]["params"]["interpolation"] < 1


def test_new_cells_are_matched_better_than_by_the_reference(new, reference):
    embed(new, reference)
    update(new, reference, max_shift=2, **QUICK)
    assert new.uns[KEY]["params"]["interpolation"] == 1
    held_out = new.obs_names[new.obs[f"{KEY}_split"] == "held-out"]
    assert len(held_out) == 38
    assert top_one(new, KEY, held_out) > top_one(new, "clipdim", held_out) + 0.1
    # and what the reference knew is not forgotten
    embed(reference, new, key=KEY)
    old = reference.obs_names[reference.obs["clipdim_split"] == "held-out"]
    assert top_one(reference, KEY, old) > top_one(reference, "clipdim", old) - 0.1


def test_what_is_written(new, reference, unchanged):
    with unchanged(reference):
        update(new, reference, max_epochs=2, random_state=3, **QUICK)
    result, params = new.uns[KEY], new.uns[KEY]["params"]
    assert params["updated_from"] == read_fit(reference).fingerprint
    assert (params["max_shift"], params["random_state"], params["n_epochs"], params["holdout"]) == (0.05, 3, 2, 0.1)
    split = new.obs[f"{KEY}_split"]
    assert split.value_counts().to_dict() == {"train": 342, "held-out": 38}
    assert split.isna().sum() == 20  # cells with one modality
    assert (
        params["n_reference_cells"] == 368
    )  # all of the reference's training cells: fewer than three for each new one
    assert list(result["history"].columns[:2]) == ["loss", "temperature"]
    assert result["pairs"].loc[0, "temperature"] == pytest.approx(result["temperature"])
    assert set(result["intrinsic_dimension"]) == {"rna", "prot", "joint"}
    assert new.obsm[SLOT].shape == (400, 8)
    assert not np.isnan(new.obsm[SLOT]).any()
    mean = pd.concat([of_cells(new, name, SLOT) for name in new.mod]).groupby(level=0).mean().loc[new.obs_names]
    np.testing.assert_allclose(new.obsm[SLOT], mean, atol=1e-6)
    assert "clipdim" not in new.uns


def test_at_most_three_old_cells_for_each_new_one(make_mdata, reference):
    new = make_mdata(60, seed=1)
    update(new, reference, max_epochs=1, **QUICK)
    assert new.uns[KEY]["params"]["n_reference_cells"] == 3 * 54


def test_old_and_new_cells_are_never_negatives_of_each_other(make_mdata):
    """Whatever their batches are called: the groups of the loss differ, and every row is still that of its cell."""
    arguments = {"modalities": None, "use_rep": None, "holdout": 0.2, "norm_fraction": 0.0, "random_state": 0}
    parts = []
    for seed in range(2):
        mdata = make_mdata(100, lacking=10, seed=seed)
        mdata.obs["donor"] = pd.Categorical(np.where(np.arange(100) % 2, "a", "b"))
        parts.append(read_inputs(mdata, batch_key="donor", **arguments))
    old, new = parts
    both = replay(old, new, random_state=0)
    n_old = len(old.rows)
    assert not set(both.batches[:n_old]) & set(both.batches[n_old:])
    assert len(set(both.batches)) == 4
    np.testing.assert_array_equal(both.held_out, new.held_out + n_old)
    assert (both.train < n_old).sum() == len(old.train)
    for name, column in (("rna", 0), ("prot", 1)):
        for part, cells, start in ((old, old.train, 0), (new, new.train, n_old)):
            found = both.values[name][both.rows[cells + start, column]]
            np.testing.assert_array_equal(found, part.values[name][part.rows[cells, column]])


def test_same_seed_same_numbers_and_global_state_untouched(new, reference):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (update(new, reference, max_epochs=2, copy=True, **QUICK) for _ in range(2))
    other = update(new, reference, max_epochs=2, random_state=1, copy=True, **QUICK)
    np.testing.assert_array_equal(first.obsm[SLOT], second.obsm[SLOT])
    assert not np.allclose(first.obsm[SLOT], other.obsm[SLOT], atol=1e-3)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])
    assert KEY not in new.uns
    assert SLOT not in new.obsm


def test_a_bound_without_room_warns_and_leaves_the_encoders(new, reference):
    with pytest.warns(UserWarning, match=r"max_shift=1e-12 leaves no room"):
        update(new, reference, max_shift=1e-12, max_epochs=2, **QUICK)
    embed(new, reference)
    np.testing.assert_allclose(new.obsm[SLOT], new.obsm["X_clipdim"], atol=1e-5)


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_everything_works_with_the_updated_fit(new, reference, through_file, make_mdata, assert_same, form):
    new.obs["cell_type"] = pd.Categorical(np.where(np.arange(400) % 3, "T", "B"))
    update(new, reference, max_epochs=2, **QUICK)
    embed(reference, new, key=KEY)
    again = through_file(new, form)
    assert_same(again.uns[KEY], new.uns[KEY])
    match(again, key=KEY)
    classify(again, "cell_type", key=KEY)
    reduce(again, 3, key=KEY, max_epochs=1, **QUICK)
    pl.history(again, key=KEY)
    plt.close("all")
    # the next month's sample, by the saved fit
    third = make_mdata(300, seed=2)
    update(third, again, key=KEY, key_added="third", max_epochs=2, **QUICK)
    assert third.uns["third"]["shift"]["n_cells"].tolist() == [again["rna"].n_obs, again["prot"].n_obs]
    assert third.uns["third"]["params"]["recipe"]["lr"] == reference.uns["clipdim"]["params"]["recipe"]["lr"]


def test_labels_of_both_samples_after_they_are_put_together(new, reference, make_mdata):
    """What the documentation shows: one atlas of the reference and the new sample, with the updated fit."""
    new.obs["cell_type"] = pd.Categorical(np.where(np.arange(400) % 3, "T", "B"))
    update(new, reference, max_epochs=2, **QUICK)
    embed(reference, new, key=KEY)
    atlas = mudata.concat([reference, new], join="outer", uns_merge="first")
    third = make_mdata(200, seed=2)
    embed(third, atlas, key=KEY)
    transfer_labels(third, atlas, "cell_type", key=KEY)
    assert third.obs["cell_type"].notna().all()


def test_batches_of_both_samples(new, make_mdata):
    reference = make_mdata(400)
    reference.obs["donor"] = pd.Categorical(np.where(np.arange(400) % 2, "a", "b"))
    fit(reference, 6, batch_key="donor", max_epochs=2, **QUICK)
    with pytest.raises(KeyError, match=r"batch_key='donor'.*query.obs\['donor'\] = "):
        update(new, reference, **QUICK)
    new.obs["donor"] = "c"
    update(new, reference, max_epochs=2, **QUICK)
    assert new.uns[KEY]["params"]["batch_key"] == "donor"
    new.obs.iloc[50, new.obs.columns.get_loc("donor")] = np.nan
    with pytest.raises(ValueError, match="is missing for 1 of 380 paired cells"):
        update(new, reference, key_added="other", **QUICK)
    new.obs["donor"] = pd.Categorical(np.where(np.arange(400) % 2, "c", "d"))
    update(new, reference, max_epochs=2, key_added="other", **QUICK)


def test_encoders_of_modalities_that_the_new_sample_lacks_are_kept(make_mdata):
    names = ("rna", "prot", "atac")
    reference, new, third = (make_mdata(300, names=names, seed=seed) for seed in range(3))
    fit(reference, 6, max_epochs=2, **QUICK)
    del new.mod["prot"]
    new.update()
    update(new, reference, max_epochs=2, **QUICK)
    assert new.uns[KEY]["pairs"][["first", "second"]].to_numpy().tolist() == [["rna", "atac"]]
    embed(third, new, key=KEY)
    embed(third, reference)
    np.testing.assert_array_equal(third["prot"].obsm[SLOT], third["prot"].obsm["X_clipdim"])
    assert not np.allclose(third["rna"].obsm[SLOT], third["rna"].obsm["X_clipdim"], atol=1e-3)


def test_inner_similarity_measures_half_of_the_squared_distance(new, make_mdata):
    reference = make_mdata(400)
    fit(reference, 6, similarity="inner", max_epochs=3, **QUICK)
    update(new, reference, max_shift=0.01, max_epochs=3, **QUICK)
    embed(reference, new, key=KEY)
    table = new.uns[KEY]["shift"].set_index("modality")["mean"]
    for name in ("rna", "prot"):
        moved = reference[name].obsm[SLOT] - reference[name].obsm["X_clipdim"]
        assert table[name] == pytest.approx((moved.astype(float) ** 2).sum(axis=1).mean() / 2, rel=1e-3)
    assert table.max() <= 0.01


def test_after_preprocessing_with_the_reference():
    cells = simulate_citeseq(n_cells=500)
    reference, new = cells[:300].copy(), cells[300:].copy()
    pp.citeseq(reference)
    fit(reference, 6, max_epochs=2, **QUICK)
    with pytest.raises(KeyError, match="reference=reference"):
        update(new, reference, **QUICK)
    pp.citeseq(new, reference=reference)
    update(new, reference, max_epochs=2, **QUICK)
    embed(reference, new, key=KEY)
    assert new.uns[KEY]["shift"]["mean"].max() <= 0.05


def test_features_that_the_new_sample_lacks_count_as_the_mean(new, reference):
    new.mod["prot"] = new["prot"][:, 1:].copy()
    new.update()
    with pytest.warns(UserWarning, match="1 of the 8 features"):
        update(new, reference, max_epochs=2, **QUICK)
    assert new.uns[KEY]["encoders"]["prot"]["mean"].shape == (8,)


def drop_protein(new, reference):
    del new.mod["prot"]
    new.update()


def change_reference(new, reference):
    reference["rna"].X = reference["rna"].X + 1


def remove_fit(new, reference):
    del reference.uns["clipdim"]


def to_counts(new, reference):
    new["rna"].X = 1000 * new["rna"].X


@pytest.mark.parametrize(
    ("spoil", "arguments", "error", "message"),
    [
        (None, {"max_shift": 0}, ValueError, r"max_shift must be a number above 0 and at most 2.*got 0.*tl.embed"),
        (None, {"max_shift": 2.5}, ValueError, "at most 2"),
        (None, {"max_shift": np.nan}, ValueError, "got nan"),
        (None, {"max_shift": "small"}, TypeError, "got 'small'"),
        (None, {"max_epochs": 0}, ValueError, "max_epochs must be an integer of at least 1"),
        (None, {"holdout": 1.0}, ValueError, "holdout"),
        (None, {"key_added": "clipdim"}, ValueError, "name of the reference's fit"),
        (None, {"key": "other"}, KeyError, "no fit in"),
        (drop_protein, {}, ValueError, r"at least two must be the same.*tl.embed"),
        (change_reference, {}, ValueError, "has changed since the fit"),
        (remove_fit, {}, KeyError, "no fit in"),
        (to_counts, {}, ValueError, "another normalisation"),
    ],
)
def test_bad_input_changes_nothing(new, reference, unchanged, spoil, arguments, error, message):
    if spoil is not None:
        spoil(new, reference)
    with unchanged(new), unchanged(reference), pytest.raises(error, match=message):
        update(new, reference, **QUICK, **arguments)


def test_what_is_no_new_sample_is_refused(new, reference):
    with pytest.raises(ValueError, match="the reference itself"):
        update(reference, reference, **QUICK)
    with pytest.raises(TypeError, match="expected a MuData, got AnnData"):
        update(AnnData(np.ones((3, 2))), reference, **QUICK)
    with pytest.raises(TypeError, match="AnnData"):
        update(new, reference["rna"], **QUICK)
    with pytest.raises(ValueError, match="view"):
        update(new[:50], reference, **QUICK)


def test_a_quarter_of_the_rate(new, make_mdata, plain):
    """Adam moves a weight by the rate in a step, whatever the gradient; of two minibatches, two steps."""
    reference = make_mdata(300)
    recipe = replace(plain, one_cycle=False, weight_decay=0.0, lr=1e-3, batch_size=1_000)
    fit(reference, 6, recipe=recipe, max_epochs=2, **QUICK)
    update(new, reference, max_shift=2, max_epochs=1, **QUICK)
    assert new.uns[KEY]["params"]["interpolation"] == 1
    for name in ("rna", "prot"):
        before, after = (of["encoders"][name] for of in (reference.uns["clipdim"], new.uns[KEY]))
        moved = max(np.abs(after[part] - before[part]).max() for part in before if part.startswith("layers"))
        assert 0.9 * 0.25e-3 < moved < 2.1 * 0.25e-3


@pytest.mark.parametrize("more", [-1, 3])
def test_epochs_are_those_of_the_recipe_or_of_the_fit_if_it_had_more(new, reference, more):
    n_cells = 342 + 368  # of both samples, see above
    by_recipe = replace(RECIPES["default"], batch_size=64).n_epochs(n_cells)
    reference.uns["clipdim"]["params"]["n_epochs"] = by_recipe + more
    update(new, reference, **QUICK)
    assert len(new.uns[KEY]["history"]) == by_recipe + max(more, 0)


def test_a_recipe_of_the_paper_goes_on(new, make_mdata):
    reference = make_mdata(300)
    fit(reference, 4, recipe="paper", max_epochs=2, **QUICK)
    update(new, reference, max_epochs=2, **QUICK)
    assert new.uns[KEY]["params"]["recipe"]["similarity"] == RECIPES["paper"].similarity
    assert "norm set" in set(new.obs[f"{KEY}_split"].dropna())


def test_an_update_of_a_reduced_fit_is_still_known_as_reduced(reference, new):
    reduce(reference, 4, method="pca", key_added="small", **QUICK)
    update(new, reference, key="small", max_epochs=1, **QUICK)
    params = new.uns[KEY]["params"]
    assert params["reduced_from"] == "clipdim"
    assert "method" not in params  # of the update all epochs were trained
