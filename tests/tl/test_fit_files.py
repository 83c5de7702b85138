"""The file is the model: all that ``tl.fit`` writes comes back from h5mu and zarr."""

import mudata
import numpy as np
import pandas as pd
import pytest

from clipdim.tl import embed, fit, match

QUICK = {"max_epochs": 2, "progress": False, "device": "cpu"}
pytestmark = pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")


@pytest.fixture(params=["h5mu", "zarr"])
def through_file(request, tmp_path):
    """Return a function that writes a MuData and reads it back."""

    def write_and_read(mdata):
        path = tmp_path / f"cells.{request.param}"
        if request.param == "zarr":
            mdata.write_zarr(path)
            return mudata.read_zarr(path)
        mdata.write_h5mu(path)
        return mudata.read_h5mu(path)

    return write_and_read


def assert_same_slots(found, expected, keys, assert_same):
    for key in keys:
        assert_same(dict(found.uns[key]), dict(expected.uns[key]))
        assert found.uns[key]["history"].index.name == "epoch"
        assert found.uns[key]["params"]["batch_key"] is None
        pd.testing.assert_series_equal(found.obs[f"{key}_split"], expected.obs[f"{key}_split"])
        for ours, theirs in ((expected, found), *((expected[name], found[name]) for name in expected.mod)):
            assert_same({"": theirs.obsm[f"X_{key}"]}, {"": ours.obsm[f"X_{key}"]})
        for name in expected.mod:
            pd.testing.assert_series_equal(found[name].obs[f"{key}_norm"], expected[name].obs[f"{key}_norm"])


def test_two_fits_side_by_side(make_mdata, through_file, assert_same):
    mdata = make_mdata(lacking=20, names=("rna.v2", "prot", "atac"))
    mdata["prot"].obsm["X_pca"] = mdata["prot"].X[:, :5].copy()
    fit(mdata, 6, **QUICK)
    fit(mdata, 4, similarity="inner", holdout=0, key_added="second fit", **QUICK)
    read = through_file(mdata)
    assert_same_slots(read, mdata, ["clipdim", "second fit"], assert_same)


def test_no_features_are_stored(make_mdata, through_file, assert_same):
    """Representations in ``.obsm`` only: the empty dict of feature names must not get lost."""
    mdata = make_mdata()
    for modality in mdata.mod.values():
        modality.obsm["X_pca"] = modality.X.copy()
    fit(mdata, 4, **QUICK)
    read = through_file(mdata)
    assert_same_slots(read, mdata, ["clipdim"], assert_same)
    embed(mdata, read)


def test_reference_read_back_gives_the_same_coordinates(make_mdata, through_file):
    key = "other"
    mdata, query = make_mdata(), make_mdata()
    new = make_mdata(50, seed=1)
    fit(mdata, 6, key_added=key, similarity="inner", **QUICK)
    read = through_file(mdata)
    embed(query, read, key=key)
    np.testing.assert_allclose(query.obsm[f"X_{key}"], mdata.obsm[f"X_{key}"], atol=1e-5)
    again = embed(new, mdata, key=key, copy=True)
    embed(new, read, key=key)
    np.testing.assert_array_equal(new.obsm[f"X_{key}"], again.obsm[f"X_{key}"])


def test_a_file_that_was_read_can_be_measured_fitted_and_written(make_mdata, through_file, assert_same, tmp_path):
    mdata = make_mdata()
    fit(mdata, 6, **QUICK)
    read = through_file(mdata)
    pd.testing.assert_frame_equal(match(read), match(mdata))
    fit(read, 6, key_added="again", **QUICK)
    np.testing.assert_array_equal(read.obsm["X_again"], mdata.obsm["X_clipdim"])
    read.write_h5mu(tmp_path / "second.h5mu")
    assert_same_slots(mudata.read_h5mu(tmp_path / "second.h5mu"), mdata, ["clipdim"], assert_same)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("99.0.0", r"written by clipdim 99.0.0, newer than .*pip install --upgrade clipdim"),
        ("broken", r"is 'broken', not a version; fit again"),
    ],
)
def test_newer_or_corrupted_file(make_mdata, unchanged, tmp_path, version, message):
    mdata, query = make_mdata(), make_mdata()
    fit(mdata, 6, **QUICK)
    mdata.uns["clipdim"]["version"] = version
    mdata.write_h5mu(tmp_path / "other.h5mu")
    read = mudata.read_h5mu(tmp_path / "other.h5mu")
    with unchanged(query), pytest.raises(ValueError, match=message):
        embed(query, read)
    with unchanged(read), pytest.raises(ValueError, match=message):
        match(read)
