"""What ``import clipdim`` adds to ``import mudata``, each in a process of its own."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("how", ["mudata", "mudata and clipdim"])
def test_import(benchmark, how):
    benchmark.group = "import"
    benchmark.extra_info |= {"how": how, "baseline": how == "mudata"}
    command = [sys.executable, "-c", f"import {how.replace(' and ', ', ')}"]
    benchmark.pedantic(subprocess.run, args=(command,), kwargs={"check": True}, rounds=7, warmup_rounds=1)
