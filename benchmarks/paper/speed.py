"""Seconds of a fit by the default recipe and by the paper's, on one core, one after the other."""

import time
from dataclasses import replace
from pathlib import Path

import mudata
import numpy as np
import torch
from mudata import MuData
from threadpoolctl import threadpool_limits

import clipdim
from benchmarks.paper.claims import Claim, judged
from benchmarks.paper.settings import DEFAULT, PAPER, Settings, cached, synthetic, top_1
from clipdim.contrast import Recipe

NAME = "speed"
OUT_DIM = 22
QUICK_EPOCHS = (10, 30)
TIMES = 50
CLAIM = f"Not in the paper: as accurate in a fiftieth of the time, out_dim {OUT_DIM}, one core"


def run(settings: Settings) -> list[Claim]:
    """Time both recipes on one thread of this process."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        measure("linear", replace(DEFAULT, max_epochs=1))  # what is imported late
        claims = [_extrapolate("linear")] if settings.quick else [_compare(kind) for kind in ("linear", "nonlinear")]
    torch.set_num_threads(n_threads)
    return claims


def measure(kind: str, recipe: Recipe) -> tuple[float, float]:
    """Seconds of ``tl.fit``, and top-1 matching of held-out cells."""
    mdata, holdout = synthetic(kind, recipe)
    start = time.perf_counter()
    clipdim.tl.fit(mdata, OUT_DIM, recipe=recipe, holdout=holdout, progress=False)
    seconds = time.perf_counter() - start
    if recipe == PAPER:
        mdata.write(_path(kind))
    return seconds, top_1(mdata)


def fitted_by_paper(kind: str) -> MuData:
    """Read the fit by the paper's recipe that was timed, or fit where there is none."""
    if not _path(kind).exists():
        measure(kind, PAPER)
    return mudata.read_h5mu(_path(kind))


def _path(kind: str) -> Path:
    return cached(f"{kind}_{OUT_DIM}.h5mu", PAPER)


def _default(kind: str) -> tuple[float, float, str]:
    seconds, matching = np.median([measure(kind, DEFAULT) for _ in range(3)], axis=0)
    return seconds, matching, f"default recipe {seconds:.1f} s (median of 3), top-1 {matching:.3f}"


def _compare(kind: str) -> Claim:
    seconds, matching, shown = _default(kind)
    paper, of_paper = measure(kind, PAPER)
    return judged(
        f"{NAME}, {kind}",
        CLAIM,
        f"{shown}; the paper's, {PAPER.max_epochs} epochs, {paper:.0f} s, top-1 {of_paper:.3f}: "
        f"{paper / seconds:.0f} times as long",
        {f"at least {TIMES} times as fast": paper >= TIMES * seconds, "top-1 as good or better": matching >= of_paper},
    )


def _extrapolate(kind: str) -> Claim:
    """Take the seconds of the paper's recipe from the difference between two fits of few epochs."""
    seconds, _, shown = _default(kind)
    few, more = (measure(kind, replace(PAPER, max_epochs=n_epochs))[0] for n_epochs in QUICK_EPOCHS)
    of_epoch = (more - few) / (QUICK_EPOCHS[1] - QUICK_EPOCHS[0])
    paper = more + (PAPER.max_epochs - QUICK_EPOCHS[1]) * of_epoch
    return judged(
        f"{NAME}, {kind}",
        CLAIM,
        f"{shown}; the paper's {of_epoch:.2f} s for an epoch (fits of {' and '.join(map(str, QUICK_EPOCHS))}), which "
        f"extrapolates to {paper:.0f} s for {PAPER.max_epochs}: {paper / seconds:.0f} times as long. "
        "Its accuracy then was not measured",
        {f"at least {TIMES} times as fast, extrapolated": paper >= TIMES * seconds},
    )
