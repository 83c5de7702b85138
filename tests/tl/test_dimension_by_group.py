"""Groups that are measured from equally many cells."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from clipdim import dimension
from clipdim.tl import intrinsic_dimension


@pytest.fixture
def adata():
    """Groups of 900 and 150 cells with six dimensions, of 400 with two, of 60 and of 4, in another order each."""
    rng = np.random.default_rng(0)
    sizes = {"large": 900, "small": 150, "flat": 400, "few": 60, "fewer": 4}
    names = rng.permutation(np.repeat([*sizes], [*sizes.values()]))
    X = rng.normal(size=(len(names), 6))
    X[names == "flat", 2:] = 0
    adata = AnnData(obsm={"X_flat": X @ rng.normal(size=(6, 12))}, shape=(len(names), 0))
    adata.obs["group"] = pd.Categorical(names)
    return adata


def of_group(table):
    return table.set_index("group")


def test_groups_of_different_size_are_comparable(adata):
    settings = {"use_rep": "X_flat", "groupby": "group"}
    with pytest.warns(UserWarning, match="group 'fewer'"):
        at_once = of_group(intrinsic_dimension(adata, **settings))
    with pytest.warns(UserWarning, match="group 'few'"):
        equal = of_group(intrinsic_dimension(adata, **settings, n_per_group="equal"))
    assert at_once.loc["large", "low"] > at_once.loc["small", "high"]
    assert at_once["n_at_a_time"].to_dict() == at_once["n_cells"].to_dict()
    assert set(equal["n_at_a_time"]) == {150}
    assert set(equal["groupby"]) == {"group"}
    assert equal.loc["small", "low"] < equal.loc["large", "estimate"] < equal.loc["small", "high"]
    width = equal["high"] - equal["low"]
    assert width["large"] < width["small"]
    assert equal.loc["small", "estimate"] == pytest.approx(at_once.loc["small", "estimate"])
    assert equal["n_cells"].to_dict() == {"large": 900, "small": 150, "flat": 400, "few": 60, "fewer": 4}
    assert equal["n_anchors"].to_dict() == {"large": 900, "small": 150, "flat": 300, "few": 0, "fewer": 0}


@pytest.mark.filterwarnings("ignore:group 'fewer'")
def test_two_dimensions_are_told_from_six(adata):
    table = of_group(intrinsic_dimension(adata, use_rep="X_flat", groupby="group", n_per_group=60, n_neighbors=10))
    assert table.loc["flat", "high"] < 2.5 < 3.5 < table.loc[["large", "small", "few"], "low"].min()


def test_one_warning_for_all_groups_below_the_number(adata):
    with pytest.warns(UserWarning, match=r"'few' of 'group' .* 60 points are too few .* 150; .* \['fewer'\]") as caught:
        table = intrinsic_dimension(adata, use_rep="X_flat", groupby="group", n_per_group=150)
    assert len(caught) == 1
    assert of_group(table)["estimate"].isna().to_dict() == {
        "large": False,
        "small": False,
        "flat": False,
        "few": True,
        "fewer": True,
    }


def test_equals_the_estimate_in_parts_of_plain_arrays(adata):
    with pytest.warns(UserWarning, match="too few"):
        table = of_group(
            intrinsic_dimension(
                adata, use_rep="X_flat", groupby="group", n_per_group=100, random_state=2, key_added="d"
            )
        )
    members = (adata.obs["group"] == "large").to_numpy()
    expected = dimension.estimate_in_parts(adata.obsm["X_flat"][members], 100, random_state=2)
    assert table.loc["large", ["estimate", "low", "high"]].tolist() == [expected.estimate, expected.low, expected.high]
    np.testing.assert_array_equal(adata.obs["d"][members], expected.pointwise)
    assert adata.obs["d"][adata.obs["group"].isin(["few", "fewer"])].isna().all()


@pytest.mark.filterwarnings("ignore:group")
def test_the_same_number_for_all_modalities(hand_made_fit):
    """A cell type of which a modality lacks cells sets the number for all."""
    mdata = hand_made_fit[0]
    some_t = mdata.obs_names[mdata.obs["cell_type"] == "T"][:20]
    mdata.mod["prot"] = mdata["prot"][~mdata["prot"].obs_names.isin(some_t)].copy()
    mdata.update()
    table = intrinsic_dimension(mdata, groupby="cell_type", cells="all", n_neighbors=5, n_per_group="equal")
    sizes = mdata.obs["cell_type"].value_counts()
    assert set(table["n_at_a_time"]) == {min(sizes["T"] - 20, sizes["B"], sizes["NK"])}
    assert table["estimate"].notna().all()


@pytest.mark.filterwarnings("ignore:group")
@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_table_survives_the_file(hand_made_fit, through_file, form):
    mdata = hand_made_fit[0]
    settings = {"groupby": "cell_type", "cells": "all", "n_neighbors": 5, "n_per_group": "equal"}
    table = intrinsic_dimension(mdata, **settings, key_added="d")
    pd.testing.assert_frame_equal(table, intrinsic_dimension(mdata, **settings))
    again = through_file(mdata, form)
    for column in table:
        assert again.uns["d"][column].tolist() == table[column].tolist()
    np.testing.assert_array_equal(again.obs["d"], mdata.obs["d"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_per_group": "equal", "groupby": None}, ValueError, "n_per_group='equal' is for groups; pass groupby"),
        ({"n_per_group": "same"}, TypeError, "n_per_group must be an integer .*got 'same'; .* or 'equal', or None"),
        ({"n_per_group": 20}, ValueError, "n_per_group must be .*at least 21, got 20; more than n_neighbors=20"),
        ({"n_per_group": True}, TypeError, "n_per_group must be .* got True"),
        ({"n_per_group": 50.0}, TypeError, "n_per_group must be .* got 50.0"),
        (
            {"n_per_group": "equal", "n_neighbors": 200},
            ValueError,
            "a group of 1000 cells or more, .* of 'group' has 900",
        ),
    ],
)
def test_errors_leave_the_object_alone(adata, arguments, error, message):
    with pytest.raises(error, match=message):
        intrinsic_dimension(adata, **{"use_rep": "X_flat", "groupby": "group", "key_added": "d", **arguments})
    assert list(adata.obs) == ["group"]
    assert len(adata.uns) == 0
