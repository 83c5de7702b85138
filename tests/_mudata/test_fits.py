"""The record of a fit: what comes back, what is refused, what older versions and files make of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import pytest

import clipdim
from clipdim._mudata import read_fit, write_fit
from clipdim._mudata.fits import TABLES, Fit
from clipdim.contrast import RECIPES, ContrastiveModel, Recipe

OLD = Path(__file__).parent / "data"


@pytest.fixture
def fitted(mdata, make_fit):
    write_fit(mdata, make_fit({"rna": 3, "prot": 2}, 2), key="clipdim")
    return mdata


@pytest.fixture(params=["h5mu", "zarr"])
def old(request, tmp_path):
    """Cells with a fit, a reduction of it and all measures, as version 0.1.0 left them in a file."""
    if request.param == "h5mu":
        return mudata.read_h5mu(OLD / "fit_0.1.0.h5mu")
    shutil.unpack_archive(OLD / "fit_0.1.0.zarr.zip", tmp_path / "fit.zarr")
    return mudata.read_zarr(tmp_path / "fit.zarr")


def test_tables_lie_beside_the_fit(fitted):
    before = dict(fitted.uns["clipdim"])
    table = pd.DataFrame({name: [1] for name in TABLES["match"]})
    write_fit(fitted, replace(read_fit(fitted), match=table), key="clipdim")
    assert list(fitted.uns["clipdim"]) == [*before, "match"]
    assert read_fit(fitted).match["foscttm"].tolist() == [1]


def test_no_fit(fitted):
    with pytest.raises(
        KeyError,
        match=r"no fit in mdata.uns\['other'\] \(there are fits named \['clipdim'\]: pass key='clipdim'\); run",
    ):
        read_fit(fitted, "other")
    fitted.uns["clipdim"] = "something else"
    with pytest.raises(KeyError, match=r"no fit in mdata.uns\['clipdim'\] \(there is none under another name"):
        read_fit(fitted)


@pytest.mark.parametrize("version", ["99.0.0", "99.0.0rc1"])
def test_newer_version(fitted, version):
    fitted.uns["clipdim"]["version"] = version
    with pytest.raises(ValueError, match=f"written by clipdim {version}, newer than .*pip install --upgrade clipdim"):
        read_fit(fitted)


@pytest.mark.parametrize("version", [clipdim.__version__, "0.0.1"])
def test_known_versions(fitted, version):
    fitted.uns["clipdim"]["version"] = version
    assert read_fit(fitted).version == version


@pytest.mark.parametrize("version", ["", "newest", None])
def test_corrupted_version(fitted, version):
    fitted.uns["clipdim"]["version"] = version
    with pytest.raises(ValueError, match=r"not a version; fit again with clipdim.tl.fit"):
        read_fit(fitted)


def test_update_keeps_the_results(fitted):
    fitted.update()
    assert read_fit(fitted).version == clipdim.__version__


def test_entries_that_this_version_does_not_know_are_kept(fitted):
    fitted.uns["clipdim"]["notes"] = "mine"
    write_fit(fitted, read_fit(fitted), key="clipdim")
    assert fitted.uns["clipdim"]["notes"] == "mine"


def test_not_a_mudata(fitted):
    with pytest.raises(TypeError, match=r"expected a MuData after clipdim\.tl\.fit, got AnnData"):
        read_fit(fitted["rna"], "clipdim")


def test_to_uns_and_back(make_fit, assert_same):
    written = make_fit({"rna": 3, "prot": 2}, 2).to_uns()
    assert_same(Fit.from_uns(written, "clipdim").to_uns(), written)


@pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")
def test_a_fit_of_an_older_version(old):
    """It loads, embeds its own cells where they were, and can be measured and diagnosed."""
    fit = read_fit(old)
    assert (fit.params.out_dim, fit.params.modalities, fit.params.batch_key) == (4, ["rna", "prot"], ["batch", "site"])
    assert fit.snapshots.embeddings["rna"].shape == (2, len(fit.snapshots.cells), 4)
    assert read_fit(old, "clipdim_reduced").params.reduced_from == "clipdim"
    before = old.obsm["X_clipdim"].copy(), old.obsm["X_clipdim_complete"].copy()
    clipdim.tl.embed(old, old)
    np.testing.assert_allclose(old.obsm["X_clipdim"], before[0], atol=1e-5)
    np.testing.assert_allclose(old.obsm["X_clipdim_complete"], before[1], atol=1e-5)
    stored = {name: table.copy() for name in TABLES if (table := getattr(fit, name)) is not None}
    assert len(clipdim.tl.diagnose(old).checks) == len(stored["diagnose"]) + 1  # shared_dimension
    np.testing.assert_allclose(clipdim.tl.match(old)["foscttm"], stored["match"]["foscttm"], atol=1e-6)
    accuracy = clipdim.tl.classify(old, "cell_type")["accuracy"]
    np.testing.assert_allclose(accuracy, stored["classify"]["accuracy"], atol=1e-6)


def test_a_fit_without_the_table_of_pairs(make_fit):
    """Versions before it had one temperature for the only pair of modalities."""
    written = make_fit({"rna": 3, "prot": 2}, 2).to_uns()
    del written["pairs"]
    fit = Fit.from_uns(written, "clipdim")
    assert fit.temperature_of("rna", "prot") == fit.temperature == 0.1
    again = Fit.from_uns(fit.to_uns(), "clipdim")
    assert again.temperature_of("rna", "prot") == 0.1


def test_retired_settings_of_a_recipe(make_fit):
    written = make_fit({"rna": 3, "prot": 2}, 2).to_uns()
    written["params"]["recipe"]["cuda_graph"] = False
    assert Fit.from_uns(written, "clipdim").params.recipe == make_fit({"rna": 3, "prot": 2}, 2).params.recipe


def change(record, path, value):
    """Put a value, or nothing for None, where the path leads."""
    *parents, last = path
    for name in parents:
        record = record[name]
    if value is None:
        del record[last]
    else:
        record[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("params",), None, r"\['params'\] is missing, expected a dict"),
        (("params",), 3, r"\['params'\] is int, expected a dict"),
        (("params", "out_dim"), "two", r"\['params'\]\['out_dim'\] is 'two', expected an integer of at least 1"),
        (("params", "out_dim"), 3, r"\['encoders'\]\['rna'\]\['layers.1.weight'\] is .*\(2, 4\), expected .*\(3, 4\)"),
        (("params", "modalities"), "rna", r"\['modalities'\] is 'rna', expected a list of strings"),
        (("params", "use_rep"), None, r"\['use_rep'\] is missing"),
        (("params", "use_rep", "rna"), 1, r"\['use_rep'\]\['rna'\] is 1, expected a string"),
        (("params", "recipe"), None, r"\['recipe'\] is missing"),
        (("params", "recipe", "width"), 999, r"layers.0.weight'\] is .*\(4, 3\), expected .*\(999, 3\)"),
        (("params", "recipe", "n_hidden"), 8_000, r"\['rna'\]\['layers.1.weight'\]"),
        (("params", "recipe", "width"), "wide", r"\['recipe'\]: width must be an integer"),
        (("temperature",), "low", r"\['temperature'\] is 'low', expected a number"),
        (("history",), {}, r"\['history'\] is .*, expected a table"),
        (("intrinsic_dimension", "joint"), None, r"\['intrinsic_dimension'\]\['joint'\] is missing"),
        (("encoders", "prot"), None, r"\['encoders'\]\['prot'\] is missing"),
        (("encoders", "rna", "mean"), None, r"\['encoders'\]\['rna'\]\['mean'\] is missing"),
        (("encoders", "rna", "layers.1.bias"), None, r"\['layers.1.bias'\] is missing, expected .*\(2,\)"),
        (("encoders", "rna", "layers.0.weight"), np.full((4, 3), np.nan), r"\['layers.0.weight'\] has NaN or infinite"),
        (("encoders", "rna", "layers.0.weight"), np.ones((3, 4)), r"is ndarray of shape \(3, 4\), expected .*\(4, 3\)"),
        (("encoders", "rna", "layers.9.weight"), np.ones((4, 4)), r"\['layers.9.weight'\] is .*, expected only"),
        (("features", "rna"), np.array(["a", "b"], dtype=object), r"\['features'\]\['rna'\] is .*expected 3 names"),
        (("private",), {"maps": {}}, r"\['private'\]\['modalities'\] is missing"),
        (("snapshots",), {"epochs": np.array([0])}, r"\['snapshots'\]\['cells'\] is missing"),
    ],
)
def test_damaged_record(fitted, unchanged, path, value, message):
    change(fitted.uns["clipdim"], path, value)
    mend = r".*the record is damaged; read the file again, or run clipdim\.tl\.fit\(mdata, key_added='clipdim'\)"
    with unchanged(fitted), pytest.raises(ValueError, match=message + mend):
        read_fit(fitted)


@pytest.mark.parametrize(("name", "function"), [("match", "match"), ("confusion", "classify"), ("shift", "update")])
def test_damaged_table(fitted, unchanged, name, function):
    """It can be made anew without another fit."""
    fitted.uns["clipdim"][name] = pd.DataFrame({"else": [1]})
    mend = rf"run clipdim\.tl\.{function} again, after del mdata\.uns\['clipdim'\]\['{name}'\]"
    with unchanged(fitted), pytest.raises(ValueError, match=rf"\['{name}'\] is DataFrame .* with the columns .*{mend}"):
        read_fit(fitted)


@pytest.mark.parametrize("name", RECIPES)
def test_encoders_are_checked_against_what_the_recipe_makes(name):
    """The shapes that the record is checked by are those of the arrays that encoders give."""
    recipe: Recipe = replace(RECIPES[name], width=7)
    model = ContrastiveModel.create({"a": 5, "b": 4}, 3, recipe)
    for encoder, n in zip(model.encoders.values(), (5, 4), strict=True):
        shapes = {name: array.shape for name, array in encoder.to_arrays().items()}
        assert shapes == dict(recipe.encoder_shapes(n, 3))
