"""
How much of what the modalities share input noise hides early in the training, on real and on simulated data.

``python -m benchmarks.recipe.noise`` writes to ``noise.md``, for each data set and seed, the share of the information
that noise hides from cells left out of the training, and the noise that ``tl.fit`` then trained with.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData

import clipdim
from benchmarks.shared import command, tables
from benchmarks.shared.data import bmcite, pbmc10k, preprocess


def simulated() -> MuData:
    """Simulate the counts of 5,000 cells."""
    mdata = clipdim.datasets.simulate_citeseq(n_cells=5_000)
    preprocess(mdata)
    return mdata


DATASETS: dict[str, tuple[Callable[[], MuData], int | None]] = {
    "pbmc10k": (pbmc10k, None),
    "pbmc10k, 800 cells": (pbmc10k, 800),
    "bmcite": (bmcite, None),
    "simulate_citeseq": (simulated, None),
    **{
        f"{make.__name__}, {n_shared} shared": (partial(make, 12_000, n_shared=n_shared), None)
        for make in (clipdim.datasets.linear, clipdim.datasets.nonlinear)
        for n_shared in (0, 1, 2, 5, 8, 10)
        if n_shared > 0 or make is clipdim.datasets.linear
    },
}


def hidden(mdata: MuData, n_cells: int | None, seed: int) -> tuple[float, float]:
    """Share of the information that the noise hid, and the noise that was trained with."""
    if n_cells is not None:
        mdata = mdata[np.sort(np.random.default_rng(seed).permutation(mdata.n_obs)[:n_cells])].copy()
    clipdim.tl.fit(mdata, holdout=0.3, random_state=seed, progress=False)
    fit = mdata.uns["clipdim"]
    return fit["learning"]["hidden_by_noise"].iloc[0], fit["params"]["recipe"]["input_noise"]


def main() -> None:
    """Write the table."""
    arguments = command.parser(__doc__, seeds=[0, 1, 2]).parse_args()
    command.quiet()
    rows = []
    for name, (make, n_cells) in DATASETS.items():
        mdata = make()
        found = [hidden(mdata, n_cells, seed) for seed in arguments.seeds]
        row = {f"seed {seed}": f"{share:.0%}" for seed, (share, _) in zip(arguments.seeds, found, strict=True)}
        noises = {noise for _, noise in found}
        kept = "by seed" if len(noises) > 1 else "left out" if noises == {0.0} else "kept"
        rows.append({"data": name} | row | {"noise": kept})
        print(rows[-1], flush=True)
    note = "Share of the information on cells left out of the training that noise hides."
    tables.write(Path(__file__).with_name("noise.md"), pd.DataFrame(rows), note=note)


if __name__ == "__main__":
    main()
