"""
What input noise hides: held-out nats that a short fit gains without it, on real data and on data of known truth.

``python benchmarks/noise.py`` writes the gain for each data set and seed to ``results/noise.md``; ``tl.fit`` leaves the
noise out where it is above the bound of ``clipdim.contrast.noise``.
"""

import argparse
import warnings
from functools import partial

import numpy as np
import pandas as pd
import tables
import torch
from mudata import MuData
from quality import bmcite, pbmc10k

import clipdim
from clipdim import _mudata
from clipdim.contrast import RECIPES
from clipdim.contrast.noise import HIDDEN_INFORMATION, PILOT_CELLS, information_hidden_by_noise


def simulated() -> MuData:
    """Simulate the counts of 5,000 cells."""
    mdata = clipdim.datasets.simulate_citeseq(n_cells=5_000)
    clipdim.pp.citeseq(mdata)
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
    data = _mudata.read_inputs(
        mdata, modalities=None, use_rep=None, batch_key=None, holdout=0.3, norm_fraction=0.0, random_state=seed
    )
    cells = np.random.default_rng(seed).permutation(data.train)[: n_cells or PILOT_CELLS]
    inputs = {name: torch.from_numpy(x) for name, x in data.of(cells).items()}
    return information_hidden_by_noise(RECIPES["default"], inputs, random_state=seed)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = {}
    for name, (make, n_cells) in DATASETS.items():
        mdata = make()
        rows[name] = {f"seed {seed}": gain(mdata, n_cells, seed) for seed in arguments.seeds}
    gains = pd.DataFrame(rows).T
    table = gains.map("{:.2f}".format).rename_axis("data").reset_index()
    n_left_out = (gains > HIDDEN_INFORMATION).sum(axis=1).to_numpy()
    table["noise"] = np.where(n_left_out == 0, "kept", np.where(n_left_out == gains.shape[1], "left out", "by seed"))
    print(tables.write("noise", table, note="Nats gained without noise.").read_text())


if __name__ == "__main__":
    main()
