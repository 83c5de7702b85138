import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from clipdim.evaluation import match_scores
from clipdim.tl import match


def naive_scores(u, v, alpha, k):
    similarity = u @ v.T
    rank = 1 + (similarity > np.diagonal(similarity)[:, None]).sum(axis=1)
    n = len(u)
    return [
        np.mean(rank <= max(1, int(alpha * n))),
        *[np.mean(rank <= number) for number in k],
        np.mean((rank - 1) / (n - 1)),
        np.median(rank),
    ]


def test_table_equals_definitions(hand_made_fit):
    mdata, rna, prot, split = hand_made_fit
    table = match(mdata, alpha=0.05, k=(1, 5)).set_index(["split", "query", "target"]).sort_index()
    assert list(table.columns) == [
        "n_cells",
        "n_queries",
        "top_alpha",
        "recall_at_1",
        "recall_at_5",
        "foscttm",
        "median_rank",
    ]
    assert len(table) == 4
    for name in ("held-out", "train"):
        cells = split == name
        assert set(table.loc[name, "n_cells"]) == {cells.sum()}
        for query, target, u, v in (("rna", "prot", rna, prot), ("prot", "rna", prot, rna)):
            expected = naive_scores(u[cells], v[cells], 0.05, (1, 5))
            found = table.loc[name, query, target].to_numpy()[2:]
            np.testing.assert_allclose(found.astype(float), expected, rtol=1e-6)


def test_default_columns_and_slot(hand_made_fit):
    mdata = hand_made_fit[0]
    table = match(mdata)
    assert {"recall_at_1", "recall_at_10", "recall_at_50"} < set(table.columns)
    pd.testing.assert_frame_equal(mdata.uns["clipdim"]["match"], table)
    assert "encoders" in mdata.uns["clipdim"]


def test_table_survives_the_file(hand_made_fit, tmp_path):
    mdata = hand_made_fit[0]
    table = match(mdata)
    mdata.write_h5mu(tmp_path / "m.h5mu")
    again = mudata.read_h5mu(tmp_path / "m.h5mu")
    stored = again.uns["clipdim"]["match"].reset_index(drop=True)
    pd.testing.assert_frame_equal(stored, table, check_dtype=False, check_index_type=False)
    pd.testing.assert_frame_equal(match(again), table)


def test_random_queries_among_all_cells(hand_made_fit):
    mdata, rna, prot, split = hand_made_fit
    table = match(mdata, alpha=0.05, k=(1, 5), n_queries=30, random_state=2)
    assert set(table["n_queries"]) == {30}
    for name in ("held-out", "train"):
        cells = split == name
        scores = match_scores(rna[cells], prot[cells], alpha=0.05, k=(1, 5), n_queries=30, random_state=2)
        row = table[(table["split"] == name) & (table["query"] == "rna")].iloc[0]
        assert row["n_cells"] == cells.sum()
        assert (row["recall_at_5"], row["foscttm"]) == (scores.recall[5], scores.foscttm)
    assert not table.equals(match(mdata, alpha=0.05, k=(1, 5), n_queries=30, random_state=3))
    pd.testing.assert_frame_equal(match(mdata, n_queries=None), match(mdata))


def test_nothing_held_out(hand_made_fit):
    mdata = hand_made_fit[0]
    mdata.obs["clipdim_split"] = pd.Categorical(["train"] * mdata.n_obs)
    with pytest.warns(UserWarning, match="no cell was held out"):
        table = match(mdata)
    assert set(table["split"]) == {"train"}


def test_cell_without_a_modality_and_norm_set_are_left_out(hand_made_fit):
    mdata, _, _, split = hand_made_fit
    smaller = mudata.MuData({"rna": mdata["rna"].copy(), "prot": mdata["prot"][10:].copy()})
    smaller.uns, smaller.obsm["X_clipdim"] = mdata.uns, mdata[smaller.obs_names].obsm["X_clipdim"]
    smaller.obs["clipdim_split"] = pd.Series(split, mdata.obs_names).replace("held-out", "norm set").astype("category")
    smaller.obs["clipdim_split"] = smaller.obs["clipdim_split"].where(smaller.obs_names != mdata.obs_names[20])
    with pytest.warns(UserWarning, match="held out"):
        table = match(smaller)
    shared = np.isin(smaller.obs_names, mdata["prot"].obs_names[10:]) & (smaller.obs["clipdim_split"] == "train")
    assert set(table["n_cells"]) == {shared.sum()}


def test_errors(hand_made_fit):
    mdata = hand_made_fit[0]
    with pytest.raises(ValueError, match="view"):
        match(mdata[:50])
    with pytest.raises(KeyError, match=r"clipdim\.tl\.fit"):
        match(mdata, key="other")
    with pytest.raises(ValueError, match="alpha=2"):
        match(mdata, alpha=2)
    with pytest.raises(ValueError, match="n_queries must be an integer of at least 1, got 0"):
        match(mdata, n_queries=0)
    with pytest.raises(TypeError, match="MuData"):
        match(AnnData(np.zeros((2, 2))))
    mdata.obs["clipdim_split"] = pd.Categorical([None] * mdata.n_obs, categories=["train"])
    with pytest.raises(ValueError, match="no cell of"):
        match(mdata)
    assert "match" not in mdata.uns["clipdim"]
