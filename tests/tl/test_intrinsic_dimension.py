import mudata
import numpy as np
import pandas as pd
import pytest
import skdim
from anndata import AnnData

from clipdim.tl import intrinsic_dimension

COLUMNS = [
    "representation",
    "group",
    "estimate",
    "low",
    "high",
    "n_cells",
    "cells",
    "estimator",
    "aggregation",
    "n_neighbors",
    "n_anchors",
    "exact",
]


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    adata = AnnData(np.ones((400, 1), np.float32), obs=pd.DataFrame(index=[f"c{i}" for i in range(400)]))
    adata.obsm["X_flat"] = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 20))
    adata.obs["donor"] = pd.Categorical(rng.choice(["a", "b"], 400))
    return adata


def test_anndata_equals_scikit_dimension(adata):
    table = intrinsic_dimension(adata, use_rep="X_flat")
    assert list(table.columns) == COLUMNS
    row = table.iloc[0]
    assert (row["representation"], row["group"], row["cells"], row["n_cells"]) == ("X_flat", "all", "all", 400)
    assert row["estimate"] == pytest.approx(skdim.id.MLE().fit(adata.obsm["X_flat"]).dimension_, abs=1e-6)
    assert row["low"] < row["estimate"] < row["high"]
    assert len(adata.uns) == 0


@pytest.mark.parametrize(("cells", "used"), [("auto", "held-out"), ("held-out", "held-out"), ("train", "train")])
def test_mudata_measures_each_representation(hand_made_fit, cells, used):
    mdata, rna, prot, split = hand_made_fit
    table = intrinsic_dimension(mdata, cells=cells, n_neighbors=10).set_index("representation")
    assert list(table.index) == ["rna", "prot", "joint"]
    for name, values in (("rna", rna), ("prot", prot), ("joint", (rna + prot) / 2)):
        expected = skdim.id.MLE().fit(values[split == used].astype(np.float64), n_neighbors=10).dimension_
        assert table.loc[name, "estimate"] == pytest.approx(expected, abs=1e-5)
    assert set(table["cells"]) == {used}
    assert set(table["n_cells"]) == {(split == used).sum()}


def test_all_cells_and_representation_of_one_modality(hand_made_fit):
    mdata = hand_made_fit[0]
    assert set(intrinsic_dimension(mdata, cells="all")["n_cells"]) == {160}
    table = intrinsic_dimension(mdata, use_rep="X_rna")
    assert table["representation"].tolist() == ["rna"]
    assert table["cells"].tolist() == ["all"]
    mdata.obs["clipdim_split"] = pd.Categorical(["train"] * 160)
    assert set(intrinsic_dimension(mdata)["cells"]) == {"train"}


@pytest.mark.parametrize("estimator", ["mle", "twonn", "lpca"])
@pytest.mark.parametrize("aggregation", ["harmonic", "arithmetic"])
def test_every_estimator(adata, estimator, aggregation):
    row = intrinsic_dimension(adata, use_rep="X_flat", estimator=estimator, aggregation=aggregation).iloc[0]
    assert row["estimate"] == pytest.approx(3, abs=0.5)
    assert row["aggregation"] == ("none" if estimator == "twonn" else aggregation)
    assert row["n_neighbors"] == (2 if estimator == "twonn" else 20)


def test_groups(adata):
    adata.obs["donor"] = adata.obs["donor"].cat.add_categories(["few", "empty"])
    adata.obs.iloc[:5, 0] = "few"
    adata.obs.iloc[5:8, 0] = None
    with pytest.warns(UserWarning, match="group 'few' of 'donor' has no estimate for 'X_flat': 5 distinct points"):
        table = intrinsic_dimension(adata, use_rep="X_flat", groupby="donor", key_added="id").set_index("group")
    assert list(table.index) == ["a", "b", "few"]
    of_a = (adata.obs["donor"] == "a").to_numpy()
    assert table.loc["a", "n_cells"] == of_a.sum()
    expected = skdim.id.MLE().fit(adata.obsm["X_flat"][of_a])
    assert table.loc["a", "estimate"] == pytest.approx(expected.dimension_, abs=1e-6)
    assert table.loc["few", ["estimate", "low", "high"]].isna().all()
    np.testing.assert_allclose(adata.obs["id"][of_a], expected.dimension_pw_)
    assert adata.obs["id"].iloc[:8].isna().all()


def test_small_groups_give_one_warning(adata):
    adata.obs["donor"] = adata.obs["donor"].cat.add_categories(["few", "fewer"])
    adata.obs.iloc[:5, 0] = "few"
    adata.obs.iloc[5:8, 0] = "fewer"
    with pytest.warns(UserWarning, match=r"'few' of 'donor' has no estimate .*; nor have \['fewer'\]") as caught:
        intrinsic_dimension(adata, use_rep="X_flat", groupby="donor")
    assert len(caught) == 1


def test_results_in_the_object_survive_the_file(hand_made_fit, tmp_path):
    mdata, _, _, split = hand_made_fit
    table = intrinsic_dimension(mdata, key_added="id")
    mdata.write_h5mu(tmp_path / "m.h5mu")
    again = mudata.read_h5mu(tmp_path / "m.h5mu")
    np.testing.assert_array_equal(again.uns["id"]["estimate"], table["estimate"])
    np.testing.assert_array_equal(again.obs["id"].isna(), split == "train")
    for name in ("rna", "prot"):
        local = again[name].obs["id"].reindex(again.obs_names)
        np.testing.assert_array_equal(local.isna(), split == "train")
        assert 1 / np.mean(1 / local.dropna()) == pytest.approx(table.set_index("representation").loc[name, "estimate"])
    assert "clipdim" in again.uns


def test_repeated_cells_and_anchors(adata):
    once = intrinsic_dimension(adata, use_rep="X_flat").loc[0, "estimate"]
    doubled = AnnData(obsm={"X_flat": np.tile(adata.obsm["X_flat"], (2, 1))}, shape=(800, 0))
    assert intrinsic_dimension(doubled, use_rep="X_flat").loc[0, "estimate"] == pytest.approx(once)
    anchored = intrinsic_dimension(adata, use_rep="X_flat", n_anchors=200, key_added="id", random_state=1)
    assert anchored.loc[0, "estimate"] == pytest.approx(once, abs=0.3)
    assert adata.obs["id"].notna().sum() == 200


def test_many_cells_are_measured_around_some_unless_each_is_asked_for():
    X = np.random.default_rng(0).normal(size=(20_001, 2))
    adata = AnnData(obsm={"X_flat": X}, shape=(len(X), 0))
    few = AnnData(obsm={"X_flat": X[1:]}, shape=(20_000, 0))
    some = intrinsic_dimension(adata, use_rep="X_flat").iloc[0]
    every = intrinsic_dimension(adata, use_rep="X_flat", key_added="id").iloc[0]
    assert (some["n_anchors"], every["n_anchors"], every["exact"]) == (10_000, 20_001, True)
    assert intrinsic_dimension(few, use_rep="X_flat")["n_anchors"].tolist() == [20_000]
    assert some["low"] < every["estimate"] < some["high"]
    assert adata.obs["id"].notna().all()
    assert every["estimate"] == intrinsic_dimension(adata, use_rep="X_flat", n_anchors=None)["estimate"].item()


def test_twonn_writes_the_table_only(adata):
    intrinsic_dimension(adata, use_rep="X_flat", estimator="twonn", key_added="id")
    assert "id" in adata.uns
    assert "id" not in adata.obs


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"use_rep": "X_none"}, KeyError, "X_flat"),
        ({"groupby": "nothing"}, KeyError, "donor"),
        ({"cells": "some"}, ValueError, "cells must be one of .* got 'some'"),
        ({"cells": "train"}, ValueError, "no train cells"),
        ({"estimator": "danco"}, ValueError, "choose one of mle"),
        ({"n_neighbors": 400}, ValueError, "too few for n_neighbors=400"),
        ({"key_added": "taken"}, ValueError, "pass another key_added"),
    ],
)
def test_errors(adata, arguments, error, message):
    adata.uns["taken"] = {"encoders": {}}
    with pytest.raises(error, match=message):
        intrinsic_dimension(adata, **{"use_rep": "X_flat", **arguments})
    assert list(adata.obs) == ["donor"]


def test_views_and_wrong_types(adata, hand_made_fit):
    with pytest.raises(ValueError, match="view"):
        intrinsic_dimension(adata[:100], use_rep="X_flat", key_added="id")
    assert np.isfinite(intrinsic_dimension(adata[:100], use_rep="X_flat").loc[0, "estimate"])
    with pytest.raises(ValueError, match="view"):
        intrinsic_dimension(hand_made_fit[0][:100])
    with pytest.raises(TypeError, match="MuData"):
        intrinsic_dimension(adata.obsm["X_flat"], use_rep="X_flat")
    adata.obsm["X_flat"][3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 400 rows"):
        intrinsic_dimension(adata, use_rep="X_flat")


@pytest.mark.parametrize("dtype", ["Int64", "string", "boolean"])
def test_cells_without_a_group_in_a_nullable_column_are_left_out(adata, dtype):
    groups = {"Int64": [10, 9, None], "string": ["b", "a", None], "boolean": [True, False, None]}[dtype]
    adata.obs["group"] = pd.array(groups * 133 + groups[:1], dtype=dtype)
    table = intrinsic_dimension(adata, use_rep="X_flat", groupby="group")
    assert table["group"].tolist() == {"Int64": ["9", "10"], "string": ["a", "b"], "boolean": ["False", "True"]}[dtype]
    assert table["n_cells"].tolist() == [133, 134]


@pytest.mark.parametrize("groups", [[1, "b"], pd.to_datetime(["2020-01-01", "2020-01-02"])])
def test_groups_of_any_type(adata, groups):
    adata.obs["group"] = pd.Series(list(groups) * 200, index=adata.obs_names)
    assert intrinsic_dimension(adata, use_rep="X_flat", groupby="group")["n_cells"].tolist() == [200, 200]


def test_no_cell_with_a_group(adata):
    adata.obs["group"] = np.nan
    with pytest.raises(ValueError, match=r"groupby='group' is missing for all 400 cells"):
        intrinsic_dimension(adata, use_rep="X_flat", groupby="group")


def test_a_column_of_the_user_is_not_overwritten(adata):
    with pytest.raises(ValueError, match=r"\.obs\['donor'\] exists and would be lost; pass another key_added"):
        intrinsic_dimension(adata, use_rep="X_flat", key_added="donor")
    for _ in range(2):  # its own result may be replaced
        intrinsic_dimension(adata, use_rep="X_flat", key_added="dimension")
    assert adata.obs["dimension"].notna().all()


def test_too_few_held_out_cells_give_way_to_the_training_cells(adata):
    adata.obsm["X_clipdim"] = adata.obsm["X_flat"]
    adata.obs["clipdim_split"] = ["held-out"] * 8 + ["train"] * 392
    assert intrinsic_dimension(adata)["cells"].tolist() == ["train"]
    with pytest.raises(ValueError, match=r"8 distinct points .* or cells='all' \(these are the held-out cells"):
        intrinsic_dimension(adata, cells="held-out")
