"""A fit of a peer, and the table that keeps it."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.peers import data, peer, run


def test_new_cells_are_scored_from_known_ones(cells, job, tmp_path):
    scores = run.measure(job())
    with np.load(tmp_path / "embedding.npz") as kept:
        joint, names = kept["joint"], kept["cells"]
    labels = cells.obs["cell_type"][names]
    expected = KNeighborsClassifier(15).fit(joint[:280], labels[:280]).score(joint[280:], labels[280:])
    assert scores["15-NN accuracy"] == pytest.approx(expected, abs=0.02)
    assert {"seconds", "cpu_seconds", "peak_gib", "15-NN accuracy, balanced", "run named"} <= set(scores)


def test_no_labels_and_no_batches(job):
    scores = run.measure(job(data="unlabelled"))
    assert set(scores) == {"seconds", "cpu_seconds", "peak_gib"}


def test_a_peer_that_is_not_installed_is_named(job, monkeypatch):
    monkeypatch.setitem(peer.MODULES, "absent", "no_such_peer")
    scores = run.measure(job(peer="absent"))
    assert "not installed" in scores["error"]
    assert "no_such_peer" in scores["error"]


def test_a_peer_that_cannot_use_the_data_says_why(job, small, monkeypatch):
    monkeypatch.setitem(data.DATA, "small", replace(small, batch=None, has_counts=False))
    pytest.importorskip("scvi")
    assert run.measure(job(peer="totalVI"))["error"] == "cannot run: no RNA counts"


def test_a_failed_fit_is_a_row_with_its_error_and_can_be_run_again():
    results = run.Results(quick=True)
    row = {"data": "no such data", "peer": "CCA", "seed": 0, "threads": 1}
    run.fit(row, results, timeout=600)
    assert not results.has(row)
    assert "no such data" in results.outcome(row)
    results.add({**row, "error": np.nan, "seconds": 1.0})
    assert results.has(row)
    assert len(results.table()) == 1


def test_a_fit_that_takes_too_long_is_given_up():
    results = run.Results(quick=True)
    row = {"data": "pbmc10k", "peer": "CCA", "seed": 0, "threads": 1}
    run.fit(row, results, timeout=0.1)
    assert results.outcome(row) == "given up after 0 s"
    assert results.has(row)


def test_a_peer_that_was_not_installed_is_run_again():
    results = run.Results(quick=True)
    row = {"data": "small", "peer": "CCA", "seed": 0, "threads": 1}
    assert not results.has(row)
    results.add({**row, "error": "not installed: no module"})
    assert not results.has(row)
    results.add({**row, "error": "cannot run: no RNA counts"})
    assert results.has(row)


def test_a_fit_that_is_run_again_takes_the_place_of_the_earlier_one():
    results = run.Results(quick=True)
    row = {"data": "small", "peer": "CCA", "seed": 0, "threads": 1, "error": np.nan}
    results.add({**row, "cpu_seconds": 2.0, "15-NN accuracy": 0.7, "ARI": 0.5})
    results.add({**row, "cpu_seconds": 3.0, "15-NN accuracy": 0.8})
    results.add({**row, "NMI": 0.4}, keep=True)
    found = results.table().iloc[0]
    assert found[["cpu_seconds", "15-NN accuracy", "NMI"]].tolist() == [3.0, 0.8, 0.4]
    assert np.isnan(found["ARI"])
