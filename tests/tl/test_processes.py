import subprocess
import sys
from pathlib import Path

import mudata
import numpy as np
import pytest

import clipdim


@pytest.fixture(scope="module", params=["cosine", "inner"])
def results(request, tmp_path_factory):
    """MuData that each of two processes wrote, the errors of both, and the fit of one process."""
    folder = tmp_path_factory.mktemp("processes")
    script = Path(__file__).with_name("fit_worker.py")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*launcher, script, folder, request.param], check=True, timeout=200, capture_output=True)
    alone = clipdim.datasets.simulate_citeseq(n_cells=400)
    clipdim.pp.citeseq(alone)
    recipe = "paper" if request.param == "inner" else "default"
    clipdim.tl.fit(alone, out_dim=8, recipe=recipe, batch_size=64, max_epochs=10, n_snapshots=3, progress=False)
    errors = [(folder / f"{rank}.txt").read_text() for rank in range(2)]
    return [mudata.read(folder / f"{rank}.h5mu") for rank in range(2)], errors, alone


def test_processes_end_with_the_same_result(results, assert_same):
    (first, second), _, _ = results
    np.testing.assert_array_equal(first.obsm["X_clipdim"], second.obsm["X_clipdim"])
    assert first.obs["clipdim_split"].equals(second.obs["clipdim_split"])
    assert first.uns["clipdim"]["history"].equals(second.uns["clipdim"]["history"])
    assert_same(first.uns["clipdim"]["snapshots"], second.uns["clipdim"]["snapshots"])


def test_result_is_like_that_of_one_process(results):
    (first, _), _, alone = results
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


def test_different_data_are_refused_by_all(results):
    _, errors, _ = results
    assert all("the processes hold different cells or features" in error for error in errors)


def test_without_processes():
    mdata = clipdim.datasets.simulate_citeseq(n_cells=100)
    clipdim.pp.citeseq(mdata)
    with pytest.raises(ValueError, match="start the script by torchrun"):
        clipdim.tl.fit(mdata, distributed=True, progress=False)
    assert "clipdim" not in mdata.uns
