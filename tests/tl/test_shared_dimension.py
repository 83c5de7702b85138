"""How many dimensions the modalities of a fit share."""

import re
from dataclasses import replace
from itertools import combinations

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

import clipdim
from clipdim._mudata import read_fit
from clipdim.fitting import sharing
from clipdim.tl import fit, shared_dimension

SETTINGS = {"progress": False, "device": "cpu"}
ONCE = {"n_repeats": 1, **SETTINGS}
COLUMNS = ["first", "second", "group", "estimate", "low", "high", "at_least", "at_most", "p_value", "information"]
COLUMNS += ["information_ceiling", "n_cells", "cells", "n_fits", "reading"]
SPECTRUM = ["first", "second", "group", "direction", "information", "chance", "low", "high", "p", "counted"]
pytestmark = pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")


def linear(n_cells=600, n_shared=2, *, seed=0):
    return clipdim.datasets.linear(n_cells, n_shared, d_x=8, d_y=8, random_state=seed)


def numbers(table):
    return table[["at_least", "at_most"]].to_numpy().tolist()


@pytest.fixture
def few_epochs(monkeypatch, plain):
    """Cross-fits of two epochs: enough for latents that are mixed linearly."""
    monkeypatch.setattr(sharing, "RECIPES", {"default": replace(plain, max_epochs=2)})


@pytest.fixture(scope="module")
def fitted():
    mdata = linear()
    mdata.obs["group"] = pd.Categorical(np.repeat(["large", "small", "tiny"], [290, 270, 40]))
    fit(mdata, 8, max_epochs=2, holdout=0.3, **SETTINGS)
    return mdata


def test_number_of_shared_dimensions():
    mdata = clipdim.datasets.linear(n_cells=2_000, n_shared=3)
    fit(mdata, max_epochs=5, **SETTINGS)
    stored = mdata.uns["clipdim"]["shared_dimension"]
    assert numbers(stored) == [[3, 3]]
    assert (stored["cells"].item(), stored["n_fits"].item(), stored["n_cells"].item()) == ("held-out", 1, 200)
    table = shared_dimension(mdata, **ONCE)
    assert table["reading"].item() == "3 dimensions are shared."
    assert (table["cells"].item(), table["n_fits"].item(), table["n_cells"].item()) == ("cross-fitted", 2, 2_000)
    # among 1,024 of the 1,000 cells of a half
    assert table["information_ceiling"].item() == pytest.approx(np.log(1_000))
    assert 3 < table["information"].item() < np.log(1_000)


def test_fewer_columns_than_are_shared():
    """The cross-fits have room for all, whatever the fit in question has."""
    mdata = linear(1_000, 5)
    fit(mdata, 2, max_epochs=0, **SETTINGS)
    assert numbers(shared_dimension(mdata, **ONCE)) == [[5, 5]]


def test_nothing_shared():
    mdata = linear(n_shared=0)
    fit(mdata, 8, max_epochs=2, holdout=0.3, **SETTINGS)
    for table in (mdata.uns["clipdim"]["shared_dimension"], shared_dimension(mdata, **ONCE)):
        assert numbers(table) == [[0, 0]]
        assert table["p_value"].item() > 0.01
        assert table["information"].item() < 0.1
        assert table["reading"].item().startswith("Nothing shared was found (p = ")
    spectrum = mdata.uns["clipdim"]["shared_spectrum"]
    assert spectrum["counted"].tolist() == [False]


def test_simulated_counts():
    """Some cells lack the proteins."""
    mdata = clipdim.datasets.simulate_citeseq(1_500, 3, n_genes=1_000, missing_protein=0.1)
    rna, prot = mdata["rna"].X.toarray(), np.log1p(mdata["prot"].X)
    rna = np.log1p(10_000 * rna / rna.sum(axis=1, keepdims=True))
    for name, logs in (("rna", rna), ("prot", prot - prot.mean(axis=1, keepdims=True))):
        left, lengths, _ = np.linalg.svd(logs - logs.mean(axis=0), full_matrices=False)
        mdata[name].obsm["X_pca"] = left[:, :15] * lengths[:15]
    fit(mdata, 16, max_epochs=5, **SETTINGS)
    table = shared_dimension(mdata, **ONCE)
    assert numbers(table) == [[3, 3]]
    assert table["n_cells"].item() == 1_350
    around, has_both = mdata.obs["clipdim_shared_information"], mdata.obs_names.isin(mdata["prot"].obs_names)
    assert (around[has_both] > 0).mean() > 0.9
    assert around[~has_both].isna().all()


def test_neighborhoods_lie_within_batches(few_epochs):
    """Of batches that both modalities tell apart and that share nothing within."""
    mdata = linear(800, 0)
    batch = np.arange(800) % 2
    for adata in mdata.mod.values():
        adata.X[:, 0] += 4 * batch
    mdata.obs["batch"] = pd.Categorical(np.where(batch, "second", "first"))
    fit(mdata, 8, max_epochs=2, holdout=0.3, **SETTINGS)
    together = shared_dimension(mdata, **ONCE)
    assert together["p_value"].item() < 1e-6
    fit(mdata, 8, max_epochs=2, holdout=0.3, batch_key="batch", **SETTINGS)
    for table in (mdata.uns["clipdim"]["shared_dimension"], shared_dimension(mdata, **ONCE)):
        assert numbers(table) == [[0, 0]]
        assert table["p_value"].item() > 0.01
    # candidates are of the own batch
    assert table["information_ceiling"].item() == pytest.approx(np.log(200), abs=0.02)


def test_groups_only(few_epochs):
    mdata = linear(800, 0)
    for adata in mdata.mod.values():
        adata.X[:, 0] += 20 * (np.arange(800) % 2)
    fit(mdata, 8, max_epochs=2, **SETTINGS)
    table = shared_dimension(mdata, **ONCE)
    assert numbers(table)[0][0] == 0
    assert table["reading"].item().startswith("Groups only: ")


@pytest.fixture(scope="module")
def of_three():
    """Three modalities, some cells of which lack one or two; two dimensions in all, none in two only."""
    mdata = clipdim.datasets.simulate_modalities(700, 2, 0, n_features=8, missing=0.1)
    fit(mdata, 8, max_epochs=2, holdout=0.3, **SETTINGS)
    return mdata


def test_pairs_and_all(of_three, few_epochs):
    mdata = of_three.copy()
    has = {name: mdata.obs_names.isin(adata.obs_names) for name, adata in mdata.mod.items()}
    sizes = [int((has[a] & has[b]).sum()) for a, b in combinations("xyz", 2)]
    stored = mdata.uns["clipdim"]["shared_dimension"]
    table = shared_dimension(mdata, **ONCE)
    for found in (stored, table):
        assert found[["first", "second"]].to_numpy().tolist() == [[*"xy"], [*"xz"], [*"yz"], ["all", "all"]]
        assert found["estimate"].round().tolist() == found["at_least"].tolist() == [2, 2, 2, 2]
        assert found["information"].isna().tolist() == [False, False, False, True]
    assert table["n_cells"].tolist() == [*sizes, int(np.logical_and.reduce(list(has.values())).sum())]
    around = mdata.obs["clipdim_shared_information"]
    lacking = sum(map(np.asarray, has.values())) < 2
    assert lacking.any()
    assert around[lacking].isna().all()


def test_what_each_two_of_three_share_is_not_shared_by_all(few_epochs):
    mdata = clipdim.datasets.simulate_modalities(600, 0, 2, n_features=8)
    fit(mdata, 8, max_epochs=2, holdout=0.4, **SETTINGS)
    stored = mdata.uns["clipdim"]["shared_dimension"]
    assert stored["at_least"].tolist() == [2, 2, 2, 0]


@pytest.mark.filterwarnings("ignore:.*have none of the modalities")
def test_modalities_of_the_fit_only(of_three, few_epochs):
    mdata = of_three.copy()
    fit(mdata, 4, modalities=["x", "z"], max_epochs=2, key_added="other", **SETTINGS)
    table = shared_dimension(mdata, key="other", **ONCE)
    assert table[["first", "second"]].to_numpy().tolist() == [[*"xz"]]
    assert "other_shared_information" in mdata.obs
    assert "clipdim_shared_information" not in mdata.obs


def test_tables(fitted, few_epochs):
    mdata = fitted.copy()
    table = shared_dimension(mdata, groupby="group", **ONCE)
    stored, spectrum = (mdata.uns["clipdim"][f"shared_{name}"] for name in ("dimension", "spectrum"))
    pd.testing.assert_frame_equal(stored, table)
    assert stored is not table
    assert list(table) == list(fitted.uns["clipdim"]["shared_dimension"]) == COLUMNS
    assert list(spectrum) == list(fitted.uns["clipdim"]["shared_spectrum"]) == SPECTRUM
    known = table[table["estimate"].notna()].set_index("group")
    ends = known[["at_least", "estimate", "high", "at_most"]]
    assert (ends.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    for group, rows in spectrum.groupby("group"):
        assert rows["direction"].tolist() == list(range(1, len(rows) + 1))
        assert rows["counted"].tolist() == [True] * int(known.loc[group, "at_least"]) + [False]
        assert ((rows["low"] <= rows["information"]) & (rows["information"] <= rows["high"])).all()
    assert set(spectrum["group"]) == set(known.index)


def test_groups_of_equal_size_and_too_small_ones(fitted, few_epochs):
    mdata = fitted.copy()
    table = shared_dimension(mdata, groupby="group", **ONCE).set_index("group")
    assert table.index.tolist() == ["all", "large", "small", "tiny"]
    assert table.loc["large", "n_cells"] == table.loc["small", "n_cells"]
    assert 240 <= table.loc["small", "n_cells"] <= 270
    assert table.loc[["all", "large", "small"], "at_least"].tolist() == [2, 2, 2]
    tiny = table.loc["tiny"]
    assert tiny[["estimate", "low", "high", "at_least", "at_most", "p_value", "information"]].isna().all()
    assert tiny["n_cells"] == 40
    assert re.fullmatch(r"\d+ cells in one half are too few to count shared dimensions, of 120\.", tiny["reading"])
    # the column of .obs is of all cells, whatever the groups
    whole = fitted.copy()
    shared_dimension(whole, **ONCE)
    pd.testing.assert_series_equal(
        mdata.obs["clipdim_shared_information"], whole.obs["clipdim_shared_information"], check_exact=True
    )


def test_groups_that_are_nearly_too_small(fitted, few_epochs):
    """Either they have no number or all have theirs from as many cells."""
    mdata = fitted.copy()
    mdata.obs["group"] = pd.Categorical(np.repeat(["large", "small"], [400, 200]))
    table = shared_dimension(mdata, groupby="group", **ONCE).set_index("group").loc[["large", "small"]]
    assert len(set(table["n_cells"][table["estimate"].notna()])) == 1


def test_cells_without_a_group_count_in_all_only(fitted, few_epochs):
    mdata = fitted.copy()
    mdata.obs["group"] = mdata.obs["group"].where(mdata.obs["group"] == "large")
    table = shared_dimension(mdata, groupby="group", **ONCE)
    assert table["group"].tolist() == ["all", "large"]
    # as many of each half
    assert table["n_cells"][0] == 600
    assert 240 <= table["n_cells"][1] <= 290


def test_only_the_documented_slots_change(fitted, unchanged, few_epochs):
    mdata = fitted.copy()
    before = dict(mdata.uns["clipdim"])
    with unchanged(mdata):
        shared_dimension(mdata, **ONCE)
        around = mdata.obs.pop("clipdim_shared_information")
        for name in ("shared_dimension", "shared_spectrum"):
            assert not mdata.uns["clipdim"][name].equals(before[name])
            mdata.uns["clipdim"][name] = before[name]
    assert around.dtype == np.float64
    assert around.notna().mean() > 0.9
    assert around.min() > 0


def test_seed_and_global_random_state(fitted, few_epochs):
    states = np.random.get_state()[1].copy(), torch.get_rng_state()
    tables, arounds = [], []
    for seed in (3, 3, 4):
        mdata = fitted.copy()
        tables.append(shared_dimension(mdata, random_state=seed, **ONCE))
        arounds.append(mdata.obs["clipdim_shared_information"])
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)
    pd.testing.assert_series_equal(arounds[0], arounds[1], check_exact=True)
    assert not arounds[0].equals(arounds[2])
    assert numbers(tables[0]) == numbers(tables[2]) == [[2, 2]]
    np.testing.assert_array_equal(np.random.get_state()[1], states[0])
    assert torch.equal(torch.get_rng_state(), states[1])


def test_repeats_and_fewer_cells(fitted, few_epochs):
    mdata = fitted.copy()
    table = shared_dimension(mdata, n_repeats=2, max_cells=300, **SETTINGS)
    assert (table["n_fits"].item(), table["n_cells"].item(), numbers(table)) == (4, 300, [[2, 2]])
    assert 250 < mdata.obs["clipdim_shared_information"].notna().sum() <= 300


def test_rows_of_modalities_in_other_orders(fitted, few_epochs):
    """Cells are paired by name."""
    mdata = fitted.copy()
    shuffled = {
        name: adata[np.random.default_rng(i).permutation(adata.n_obs)].copy()
        for i, (name, adata) in enumerate(fitted.mod.items())
    }
    shuffled = mudata.MuData(shuffled)
    fit(shuffled, 8, max_epochs=2, holdout=0.3, **SETTINGS)
    assert numbers(shared_dimension(shuffled, **ONCE)) == numbers(shared_dimension(mdata, **ONCE)) == [[2, 2]]


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_tables_survive_the_file(fitted, through_file, few_epochs, form):
    mdata = fitted.copy()
    table = shared_dimension(mdata, groupby="group", **ONCE)
    read = through_file(mdata, form)
    found, expected = read_fit(read), read_fit(mdata)
    pd.testing.assert_frame_equal(found.shared_dimension, table, check_exact=True)
    pd.testing.assert_frame_equal(found.shared_spectrum, expected.shared_spectrum, check_exact=True)
    pd.testing.assert_series_equal(
        read.obs["clipdim_shared_information"], mdata.obs["clipdim_shared_information"], check_exact=True
    )
    pd.testing.assert_frame_equal(shared_dimension(read, groupby="group", **ONCE), table, check_exact=True)


@pytest.mark.parametrize("holdout", [0, 0.1])
@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_too_few_cells_held_out(through_file, form, holdout):
    mdata = linear(300)
    fit(mdata, 4, max_epochs=0, holdout=holdout, **SETTINGS)
    table, spectrum = (mdata.uns["clipdim"][f"shared_{name}"] for name in ("dimension", "spectrum"))
    numeric = ["estimate", "low", "high", "at_least", "at_most", "p_value", "information", "information_ceiling"]
    assert table[numeric].isna().all(axis=None)
    assert (table["cells"].item(), table["n_cells"].item()) == ("held-out", round(300 * holdout))
    assert table["reading"].item().startswith(f"{round(300 * holdout)} cells are too few")
    assert table["reading"].item().endswith("clipdim.tl.shared_dimension needs none held out.")
    assert (len(spectrum), list(spectrum)) == (0, SPECTRUM)
    found = read_fit(through_file(mdata, form))
    pd.testing.assert_frame_equal(found.shared_dimension, table)
    assert (len(found.shared_spectrum), list(found.shared_spectrum)) == (0, SPECTRUM)


def test_fit_without_cells_held_out_can_be_measured(few_epochs):
    mdata = linear(300)
    fit(mdata, 4, max_epochs=0, holdout=0, **SETTINGS)
    assert numbers(shared_dimension(mdata, **ONCE)) == [[2, 2]]


def test_fit_anew_replaces_the_tables(fitted, few_epochs):
    mdata = fitted.copy()
    shared_dimension(mdata, groupby="group", **ONCE)
    fit(mdata, 8, max_epochs=2, holdout=0.3, **SETTINGS)
    stored = mdata.uns["clipdim"]["shared_dimension"]
    pd.testing.assert_frame_equal(stored, fitted.uns["clipdim"]["shared_dimension"])


def test_cells_that_are_there_twice_share_nothing_more():
    """Every cell under two names, and modalities that have nothing in common."""
    modalities = {}
    for name, adata in linear(300, 0).mod.items():
        again = adata.copy()
        again.obs_names = "again_" + again.obs_names
        modalities[name] = anndata.concat([adata, again])
    mdata = mudata.MuData(modalities)
    fit(mdata, 8, max_epochs=0, **SETTINGS)
    table = shared_dimension(mdata, **ONCE)
    assert (numbers(table), table["p_value"].item() > 0.01) == ([[0, 0]], True)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"groupby": "donor"}, KeyError, "donor"),
        ({"groupby": 3}, TypeError, "must be a string, got 3"),
        ({"key": "other"}, KeyError, r"clipdim\.tl\.fit"),
        ({"n_repeats": 0}, ValueError, "n_repeats must be an integer of at least 1, got 0"),
        ({"n_repeats": 1.5}, TypeError, "n_repeats must be an integer"),
        ({"max_cells": 239}, ValueError, "max_cells must be an integer of at least 240, got 239"),
        ({"random_state": -1}, ValueError, "random_state must be an integer of at least 0"),
        ({"device": "abacus"}, ValueError, "abacus"),
    ],
)
def test_bad_arguments(fitted, unchanged, arguments, error, message):
    with unchanged(fitted), pytest.raises(error, match=message):
        shared_dimension(fitted, progress=False, **arguments)


def test_bad_objects(fitted, few_epochs, unchanged):
    with pytest.raises(TypeError, match="MuData"):
        shared_dimension(AnnData(np.zeros((2, 2))))
    with pytest.raises(ValueError, match="view"):
        shared_dimension(fitted[:400])
    with pytest.raises(KeyError, match=r"no fit .* run clipdim\.tl\.fit"):
        shared_dimension(linear(100), **ONCE)
    changed = fitted.copy()
    changed["x"].X[:7] += 1
    with (
        unchanged(changed),
        pytest.raises(ValueError, match=r"'X' of modality 'x' has changed since the fit: 7 of 600"),
    ):
        shared_dimension(changed, **ONCE)
    missing = fitted.copy()
    missing.obs["group"] = pd.Categorical([None] * 600, categories=["large"])
    with unchanged(missing), pytest.raises(ValueError, match="groupby='group' is missing for all 600 cells"):
        shared_dimension(missing, groupby="group", **ONCE)


def test_too_few_cells(unchanged):
    mdata = linear(239)
    fit(mdata, 4, max_epochs=0, **SETTINGS)
    with unchanged(mdata), pytest.raises(ValueError, match=r"239 cells have two of .* at least 240 are needed"):
        shared_dimension(mdata, **ONCE)


def test_batches_that_are_all_too_small_have_no_number():
    mdata = clipdim.datasets.linear(400, n_shared=2)
    mdata.obs["donor"] = pd.Categorical(np.arange(400) % 5)
    fit(mdata, 8, max_epochs=1, batch_key="donor", **SETTINGS)
    table = shared_dimension(mdata, **ONCE)
    assert table["estimate"].isna().all()
    assert table["reading"].str.contains("too few").all()
    assert "too few" in clipdim.tl.diagnose(mdata).verdict
