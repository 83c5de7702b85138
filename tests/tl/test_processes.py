import subprocess
import sys
from pathlib import Path

import mudata
import numpy as np
import pytest

import clipdim


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where each of two processes wrote its MuData of each recipe, and its errors."""
    folder = tmp_path_factory.mktemp("processes")
    cells = clipdim.datasets.simulate_citeseq(n_cells=400)
    clipdim.pp.citeseq(cells)
    cells.write(folder / "cells.h5mu")
    script = Path(__file__).with_name("fit_worker.py")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*launcher, script, folder], check=True, timeout=200, capture_output=True)
    return folder


@pytest.fixture(params=["default", "paper"])
def recipe(request):
    return request.param


@pytest.fixture
def fits(recipe, folder):
    """What the two processes wrote."""
    return [mudata.read(folder / f"{recipe}_{rank}.h5mu") for rank in range(2)]


@pytest.fixture
def alone(recipe, folder):
    """The fit of one process."""
    mdata = mudata.read(folder / "cells.h5mu")
    clipdim.tl.fit(mdata, out_dim=8, recipe=recipe, batch_size=64, max_epochs=10, n_snapshots=3, progress=False)
    return mdata


def test_processes_end_with_the_same_result(fits, assert_same):
    first, second = fits
    np.testing.assert_array_equal(first.obsm["X_clipdim"], second.obsm["X_clipdim"])
    assert first.obs["clipdim_split"].equals(second.obs["clipdim_split"])
    assert first.uns["clipdim"]["history"].equals(second.uns["clipdim"]["history"])
    assert_same(first.uns["clipdim"]["snapshots"], second.uns["clipdim"]["snapshots"])
    tables = [mdata.uns["clipdim"].get("learning") for mdata in fits]
    assert (tables[0] is None and tables[1] is None) or tables[0].equals(tables[1])
    assert first.uns["clipdim"]["temperature"] == second.uns["clipdim"]["temperature"]


def test_result_is_like_that_of_one_process(fits, alone):
    first, _ = fits
    assert first.obs["clipdim_split"].astype(str).equals(alone.obs["clipdim_split"].astype(str))
    history, expected = first.uns["clipdim"]["history"], alone.uns["clipdim"]["history"]
    assert list(history.columns) == list(expected.columns)
    snapshots, of_one = first.uns["clipdim"]["snapshots"], alone.uns["clipdim"]["snapshots"]
    assert snapshots["cells"].tolist() == of_one["cells"].tolist()
    # untrained, all are the same, but for the principal components: torchrun gives each process one thread
    for name, points in snapshots["embeddings"].items():
        np.testing.assert_allclose(points[0], of_one["embeddings"][name][0], atol=1e-3)
    assert history["loss"].iloc[-1] == pytest.approx(expected["loss"].iloc[-1], rel=0.1)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    if "learning" in alone.uns["clipdim"]:
        losses, of_one = (mdata.uns["clipdim"]["learning"]["loss"] for mdata in (first, alone))
        assert losses.min() == pytest.approx(of_one.min(), rel=0.1)


@pytest.mark.parametrize("different", ["batches", "order"])
def test_different_data_are_refused_by_all(folder, different):
    errors = [(folder / f"{different}_{rank}.txt").read_text() for rank in range(2)]
    assert all("the processes hold different cells, features or batches" in error for error in errors)


def test_without_processes():
    mdata = clipdim.datasets.simulate_citeseq(n_cells=100)
    clipdim.pp.citeseq(mdata)
    with pytest.raises(ValueError, match="start the script by torchrun"):
        clipdim.tl.fit(mdata, distributed=True, progress=False)
    assert "clipdim" not in mdata.uns
