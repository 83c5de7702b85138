"""The command runs what can be run, and fails where a fit does."""

import contextlib
import sys
from dataclasses import replace

import numpy as np
import pytest

import clipdim
from benchmarks.peers import __main__ as command
from benchmarks.peers import data


def test_cells_that_cannot_be_read_are_left_out(small, monkeypatch, capsys):
    def offline():
        msg = "no network"
        raise clipdim.datasets.DownloadError(msg)

    found = []
    for module in (data, command):
        monkeypatch.setattr(module, "DATA", {"away": replace(small, load=offline), "near": small, "here": small})
    monkeypatch.setattr(command.run, "fit", lambda row, results, timeout: found.append(row["data"]))
    monkeypatch.setattr(command.run.Results, "has", lambda *_: bool(found))
    for asked, run in ((["--quick"], ["near"]), ([], ["near", "here"])):
        found.clear()
        monkeypatch.setattr(sys, "argv", ["peers", "--no-report", "--seeds", "0", "--peers", "CCA", *asked])
        command.main()
        assert found == run
        assert "away is left out: no network" in capsys.readouterr().out


def test_the_command_fails_if_a_fit_does_and_runs_it_again(monkeypatch):
    asked = {"--quick": None, "--no-report": None, "--data": "simulated", "--peers": "CCA"}
    monkeypatch.setattr(sys, "argv", ["peers", *(text for pair in asked.items() for text in pair if text)])
    for error, exits in (("ValueError: no", True), ("not installed: cca", False), (np.nan, False), (None, True)):
        # the last time nothing is written, which is no success either
        def fit(row, results, timeout, error=error):
            results.path.unlink(missing_ok=True)
            if error is not None:
                results.add({**row, "error": error})

        monkeypatch.setattr(command.run, "fit", fit)
        with pytest.raises(SystemExit, match=r"CCA.*failed") if exits else contextlib.nullcontext():
            command.main()
