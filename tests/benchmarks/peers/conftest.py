import pytest

import clipdim
from benchmarks.peers import data, run


@pytest.fixture(scope="session")
def cells():
    """Raw counts of a few cells of two batches."""
    return clipdim.datasets.simulate_citeseq(400, 3, n_genes=100, n_batches=2)


@pytest.fixture(autouse=True)
def small(cells, monkeypatch, tmp_path):
    """The same cells as data sets with labels and batches and without, and results in a temporary folder."""
    monkeypatch.setitem(data.DATA, "small", data.Data(cells.copy, "cell_type", "batch", "the truth"))
    monkeypatch.setitem(data.DATA, "unlabelled", data.Data(cells.copy, None, None, "nothing"))
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    return data.DATA["small"]


@pytest.fixture
def parts(small):
    """Known and new cells."""
    return data.split(small, 0, quick=False)


@pytest.fixture
def job(tmp_path):
    """Return what a process is told of one fit."""

    def make(**changes):
        default = {"peer": "concatenated PCA", "data": "small", "seed": 0, "threads": 1}
        return default | {"quick": False, "seconds": None, "path": str(tmp_path / "embedding.npz")} | changes

    return make
