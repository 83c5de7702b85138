"""
How long the parts take, each group against its alternative: ``make bench`` prints the ratios.

Everything runs on one thread, on data simulated with a fixed seed.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from mudata import MuData

import clipdim
from clipdim import dimension, evaluation
from clipdim.contrast import RECIPES


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def mdata() -> MuData:
    mdata = clipdim.datasets.simulate_citeseq(n_cells=5_000)
    clipdim.pp.citeseq(mdata)
    return mdata


@pytest.mark.benchmark(group="import, in a process of its own")
@pytest.mark.parametrize("module", ["mudata", "clipdim"])
def test_import(benchmark, module):
    benchmark.pedantic(subprocess.run, args=([sys.executable, "-c", f"import {module}"],), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="five epochs of tl.fit, 4,500 training cells")
@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_fit(benchmark, mdata, recipe):
    settings = replace(RECIPES[recipe], max_epochs=5)
    benchmark.pedantic(
        clipdim.tl.fit, args=(mdata,), kwargs={"recipe": settings, "progress": False}, rounds=3, warmup_rounds=1
    )


@pytest.mark.benchmark(group="intrinsic dimension, 5,000 points in 32 columns")
@pytest.mark.parametrize("how", ["all points", "1,000 anchors", "scikit-dimension"])
def test_dimension(benchmark, how):
    from skdim.id import MLE

    points = np.random.default_rng(0).normal(size=(5_000, 8)) @ np.random.default_rng(1).normal(size=(8, 32))
    if how == "scikit-dimension":
        benchmark.pedantic(lambda: MLE().fit(points, n_neighbors=20).dimension_, rounds=3, warmup_rounds=1)
    else:
        n_anchors = 1_000 if how == "1,000 anchors" else None
        benchmark.pedantic(dimension.mle, args=(points,), kwargs={"n_anchors": n_anchors}, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="ranks of the true match, 5,000 x 5,000 cells")
@pytest.mark.parametrize("how", ["in blocks", "argsort of the whole matrix"])
def test_ranks(benchmark, how):
    u, v = np.random.default_rng(0).normal(size=(2, 5_000, 32)).astype(np.float32)
    if how == "in blocks":
        benchmark.pedantic(evaluation.ranks, args=(u, v), rounds=3, warmup_rounds=1)
    else:
        benchmark.pedantic(lambda: (-(u @ v.T)).argsort(axis=1).argsort(axis=1).diagonal(), rounds=3)
