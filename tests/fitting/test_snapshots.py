"""The snapshots of ``tl.fit``: which cells, which epochs, and that nothing else depends on them."""

from dataclasses import replace

import mudata
import numpy as np
import pytest
import torch

from clipdim.contrast import RECIPES, ContrastiveModel, ridge_cca
from clipdim.fitting import learning, training
from clipdim.fitting.snapshots import MAX_CELLS
from clipdim.tl import fit, reduce

QUICK = {"progress": False, "device": "cpu"}
SIMILARITIES = pytest.mark.parametrize(
    "arguments",
    [{"similarity": "cosine"}, {"similarity": "inner"}, {"recipe": "paper"}],
    ids=["cosine", "inner", "paper"],
)


def snapshots_of(mdata, key="clipdim"):
    return mdata.uns[key]["snapshots"]


@SIMILARITIES
def test_nothing_else_depends_on_them(make_mdata, assert_same, arguments):
    mdata, without = make_mdata(lacking=20), make_mdata(lacking=20)
    fit(mdata, 4, max_epochs=5, n_snapshots=4, **arguments, **QUICK)
    fit(without, 4, max_epochs=5, **arguments, **QUICK)
    assert "snapshots" not in without.uns["clipdim"]
    del mdata.uns["clipdim"]["snapshots"]
    assert_same(mdata.uns["clipdim"], without.uns["clipdim"])
    np.testing.assert_array_equal(mdata.obsm["X_clipdim"], without.obsm["X_clipdim"])
    for name in mdata.mod:
        np.testing.assert_array_equal(mdata[name].obsm["X_clipdim"], without[name].obsm["X_clipdim"])


@SIMILARITIES
def test_the_last_one_is_the_embedding(make_mdata, arguments):
    mdata = make_mdata(lacking=20)
    fit(mdata, 4, max_epochs=5, n_snapshots=3, holdout=0.3, **arguments, **QUICK)
    stored = snapshots_of(mdata)
    held_out = mdata.obs_names[mdata.obs["clipdim_split"] == "held-out"]
    assert sorted(stored["cells"]) == sorted(held_out)
    assert stored["split"] == "held-out"
    for name in mdata.mod:
        rows = mdata[name].obs_names.get_indexer(stored["cells"])
        np.testing.assert_array_equal(stored["embeddings"][name][-1], mdata[name].obsm["X_clipdim"][rows])


@pytest.mark.parametrize("start", ["ridge_cca", "random"])
def test_the_first_one_is_of_the_untrained_model(make_mdata, start):
    mdata, recipe = make_mdata(), replace(RECIPES["default"], start=start)
    fit(mdata, 4, recipe=recipe, max_epochs=3, n_snapshots=2, random_state=5, **QUICK)
    stored = snapshots_of(mdata)
    train = mdata.obs_names[mdata.obs["clipdim_split"] == "train"]
    inputs = {name: torch.tensor(mdata[name][train].X) for name in mdata.mod}
    generator = torch.Generator().manual_seed(5)
    model = ContrastiveModel.create({"rna": 12, "prot": 8}, 4, recipe).initialize(generator)
    for name, encoder in model.eval().encoders.items():
        encoder.standardize(inputs[name])
    if start == "ridge_cca":
        model.begin_at(ridge_cca({name: x.numpy() for name, x in inputs.items()}, 4, random_state=5), generator)
    for name, encoder in model.encoders.items():
        with torch.no_grad():
            outputs = encoder(torch.tensor(mdata[name][stored["cells"]].X))
        expected = torch.nn.functional.normalize(outputs).numpy()
        np.testing.assert_allclose(stored["embeddings"][name][0], expected, atol=1e-5)


def test_one_between_is_that_of_a_fit_so_far(make_mdata, plain):
    """The snapshot of an epoch follows from the monitored cells' similarities of that epoch, as in the history."""
    mdata = make_mdata()
    fit(mdata, 4, recipe=plain, max_epochs=6, n_snapshots=7, holdout=0.3, **QUICK)
    stored, history = snapshots_of(mdata), mdata.uns["clipdim"]["history"]
    np.testing.assert_array_equal(stored["epochs"], np.arange(7))
    similarity = np.einsum("scd,scd->sc", *stored["embeddings"].values()).mean(axis=1)
    np.testing.assert_allclose(similarity[1:], history["positive_similarity"], atol=1e-5)


@pytest.mark.parametrize(("n_snapshots", "epochs"), [(2, [0, 9]), (4, [0, 3, 6, 9]), (6, [0, 2, 4, 5, 7, 9])])
def test_epochs_are_even_from_untrained_to_the_last(make_mdata, n_snapshots, epochs):
    mdata = make_mdata(60)
    fit(mdata, 3, max_epochs=9, n_snapshots=np.int64(n_snapshots), **QUICK)
    assert snapshots_of(mdata)["epochs"].tolist() == epochs
    assert {x.shape for x in snapshots_of(mdata)["embeddings"].values()} == {(n_snapshots, 6, 3)}


def test_training_cells_where_none_were_held_out_and_not_too_many(make_mdata):
    mdata = make_mdata(MAX_CELLS + 200)
    fit(mdata, 3, max_epochs=1, n_snapshots=2, holdout=0, **QUICK)
    assert snapshots_of(mdata)["split"] == "train"
    assert len(set(snapshots_of(mdata)["cells"])) == MAX_CELLS


@pytest.mark.parametrize("n_done", [2, 3])
@pytest.mark.parametrize("shrunk", [True, False])
def test_of_an_interrupted_fit_the_last_one_is_still_the_embedding(make_mdata, plain, monkeypatch, n_done, shrunk):
    # what is learned is then shrunk in place, and no trial comes before it
    monkeypatch.setattr(learning, "SPARED", 1.0)
    epochs = training.train

    def interrupted(*args, **kwargs):
        for epoch in epochs(*args, **kwargs):
            if epoch.index == n_done:
                raise KeyboardInterrupt
            yield epoch

    monkeypatch.setattr(training, "train", interrupted)
    mdata = make_mdata()
    with pytest.warns(UserWarning, match=f"interrupted after {n_done} of 6 epochs"):
        fit(mdata, 4, recipe="default" if shrunk else plain, max_epochs=6, n_snapshots=4, **QUICK)
    assert ("learning" in mdata.uns["clipdim"]) == shrunk
    stored = snapshots_of(mdata)
    assert stored["epochs"].tolist() == [0, 2, 3][:n_done]
    rows = mdata["rna"].obs_names.get_indexer(stored["cells"])
    np.testing.assert_array_equal(stored["embeddings"]["rna"][-1], mdata["rna"].obsm["X_clipdim"][rows])


@pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")
@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_through_a_file(make_mdata, assert_same, tmp_path, form):
    mdata = make_mdata(names=("rna.v2", "epochs", "cells"))
    fit(mdata, 4, max_epochs=2, n_snapshots=3, **QUICK)
    path = tmp_path / f"cells.{form}"
    (mdata.write_zarr if form == "zarr" else mdata.write_h5mu)(path)
    read = (mudata.read_zarr if form == "zarr" else mudata.read_h5mu)(path)
    assert_same(read.uns["clipdim"]["snapshots"], snapshots_of(mdata))


def test_a_reduced_fit_has_none(make_mdata):
    mdata = make_mdata()
    fit(mdata, 6, max_epochs=2, n_snapshots=2, **QUICK)
    reduce(mdata, 3, **QUICK)
    assert "snapshots" in mdata.uns["clipdim"]
    assert "snapshots" not in mdata.uns["clipdim_reduced"]


@pytest.mark.parametrize(
    ("n_snapshots", "error", "message"),
    [
        (1, ValueError, r"n_snapshots must be 0, or 2 \(untrained and trained\) to 4 .* 3 epochs\), got 1"),
        (5, ValueError, r"to 4 \(untrained and after each of the 3 epochs\), got 5; .*max_epochs changes"),
        (-2, ValueError, "n_snapshots must be 0, or 2"),
        (2.0, TypeError, "n_snapshots must be an integer, got 2.0"),
        (True, TypeError, "n_snapshots must be an integer, got True"),
        (None, TypeError, "n_snapshots must be an integer, got None"),
    ],
)
def test_refused_before_training(make_mdata, unchanged, monkeypatch, n_snapshots, error, message):
    monkeypatch.setattr("clipdim.fitting.run.train_with_history", None)  # not called
    mdata = make_mdata(60)
    with unchanged(mdata), pytest.raises(error, match=message):
        fit(mdata, 3, max_epochs=3, n_snapshots=n_snapshots, **QUICK)


@pytest.mark.parametrize("n_snapshots", [1, 2, -1])
def test_a_start_that_nothing_follows_has_none(make_mdata, unchanged, n_snapshots):
    mdata = make_mdata(60)
    with unchanged(mdata), pytest.raises(ValueError, match="max_epochs=0 trains nothing that"):
        fit(mdata, 3, max_epochs=0, n_snapshots=n_snapshots, **QUICK)
    fit(mdata, 3, max_epochs=0, n_snapshots=0, **QUICK)
    assert "snapshots" not in mdata.uns["clipdim"]
