"""
What input noise hides: held-out nats that a short fit gains without it, on real data and on data of known truth.

``python -m benchmarks.recipe.noise`` writes the gain for each data set and seed to ``noise.md``; ``tl.fit`` leaves the
noise out where it is above the bound of ``clipdim.contrast.noise``.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from mudata import MuData

import clipdim
from benchmarks.shared import command, tables
from benchmarks.shared.data import bmcite, pbmc10k, preprocess
from clipdim.contrast import RECIPES
from clipdim.contrast.noise import HIDDEN_INFORMATION, PILOT_CELLS, information_hidden_by_noise


def simulated() -> MuData:
    """Simulate the counts of 5,000 cells."""
    mdata = clipdim.datasets.simulate_citeseq(n_cells=5_000)
    preprocess(mdata)
    return mdata


DATASETS = {
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


def gain(mdata: MuData, n_cells: int | None, seed: int) -> float:
    """Nats gained without noise, from as many cells as a fit looks at."""
    clipdim.tl.fit(mdata, max_epochs=1, holdout=0.3, random_state=seed, progress=False)
    train = mdata.obs_names[mdata.obs["clipdim_split"] == "train"]
    cells = np.random.default_rng(seed).permutation(train)[: n_cells or PILOT_CELLS]
    inputs = {}
    for name, use_rep in mdata.uns["clipdim"]["params"]["use_rep"].items():
        part = mdata[name][cells]
        inputs[name] = torch.tensor(part.X if use_rep == "X" else part.obsm[use_rep], dtype=torch.float32)
    return information_hidden_by_noise(RECIPES["default"], inputs, random_state=seed)


def main() -> None:
    """Write the table."""
    arguments = command.parser(__doc__, seeds=[0, 1, 2]).parse_args()
    command.quiet()
    rows = {}
    for name, (make, n_cells) in DATASETS.items():
        mdata = make()
        rows[name] = {f"seed {seed}": gain(mdata, n_cells, seed) for seed in arguments.seeds}
    gains = pd.DataFrame(rows).T
    table = gains.map("{:.2f}".format).rename_axis("data").reset_index()
    n_left_out = (gains > HIDDEN_INFORMATION).sum(axis=1).to_numpy()
    table["noise"] = np.where(n_left_out == 0, "kept", np.where(n_left_out == gains.shape[1], "left out", "by seed"))
    tables.write(Path(__file__).with_name("noise.md"), table, note="Nats gained without noise.")


if __name__ == "__main__":
    main()
