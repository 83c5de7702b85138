"""
Shared dimensions of groups that share two or six, and their intrinsic dimension from equally many cells and from all.

``python -m benchmarks.dimension.known_by_group`` writes to ``known_by_group.md``, with shared features that are the
same in both modalities and with ones that differ by noise. Half of the cells are held out, and measured.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

import clipdim
from benchmarks.dimension.by_group import HOLDOUT, Fitted, by_group, partner_rank
from benchmarks.shared import command, tables
from clipdim.dimension import mle

SHARED, SIZES = (2, 6, 2, 6, 2, 6), (4_000, 4_000, 2_000, 2_000, 1_000, 1_000)


def simulate(noise: float, seed: int) -> tuple[MuData, dict[str, np.ndarray]]:
    """Make groups around centres of their own, whose first two or six features are shared."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(SIZES)), SIZES)
    y, x = rng.standard_normal((2, len(groups), 20), dtype=np.float32)
    shared = np.arange(20) < np.array(SHARED)[groups][:, None]
    x = np.where(shared, y + noise * rng.standard_normal(y.shape, dtype=np.float32), x)
    names = [f"{group}: {n_shared}" for group, n_shared in enumerate(SHARED)]
    truth = {name: y[groups == group][:, : SHARED[group]] for group, name in enumerate(names)}
    centres = rng.standard_normal((len(SIZES), 20), dtype=np.float32)
    cells = pd.Index([f"cell{i}" for i in range(len(groups))])
    modalities = {name: AnnData(z + centres[groups], obs=pd.DataFrame(index=cells)) for name, z in (("x", x), ("y", y))}
    mdata = MuData(modalities)
    mdata.obs["group"] = pd.Categorical.from_codes(groups, names)
    return mdata, truth


def known(seeds: list[int]) -> pd.DataFrame:
    """Fit and measure, one row for each group and noise, the mean over seeds."""
    rows = []
    for noise in (0.0, 0.3):
        for seed in seeds:
            mdata, truth = simulate(noise, seed)
            clipdim.tl.fit(mdata, holdout=HOLDOUT, random_state=seed, progress=False)
            fitted = Fitted(mdata, "group", ("x", "y"))
            n = fitted.n_at_a_time
            ranks, reads = partner_rank(fitted), by_group(fitted.joint, fitted.labels, n)
            clipdim.tl.intrinsic_dimension(mdata, key_added="dimension")
            counted = clipdim.tl.shared_dimension(mdata, groupby="group", progress=False).set_index("group")["estimate"]
            around = 1 / (1 / mdata.obs["dimension"]).groupby(mdata.obs["group"].astype(str)).mean()
            for group, (name, shared) in enumerate(truth.items()):
                rows.append(
                    {
                        "noise between the modalities": f"{noise:g}",
                        "shared": SHARED[group],
                        "cells of the group": f"{SIZES[group]:,}",
                        "shared dimensions counted": counted[name],
                        "truth reads": mle(shared[:n]),
                        "equally many cells": reads[name],
                        "all cells of the group": mle(fitted.joint[fitted.labels == name]),
                        "neighbours from all groups": around[name],
                        "rank of the partner": ranks[name],
                        "n": n,
                    }
                )
    table = pd.DataFrame(rows)
    keys = ["noise between the modalities", "shared", "cells of the group"]
    means = table.groupby(keys, sort=False).mean().sort_index(level=[0, 1], kind="stable", sort_remaining=False)
    means["rank of the partner"] = [
        f"{row['rank of the partner']:.0f} of {row['n']:.0f}" for _, row in means.iterrows()
    ]
    numbers = means.drop(columns="n").map(lambda value: value if isinstance(value, str) else f"{value:.1f}")
    return numbers.reset_index()


def main() -> None:
    """Write the table."""
    arguments = command.parser(__doc__, seeds=[0, 1, 2]).parse_args()
    command.quiet()
    note = f"Half of the cells held out, means over the seeds {', '.join(map(str, arguments.seeds))}."
    tables.write(Path(__file__).with_name("known_by_group.md"), known(arguments.seeds), note=note)


if __name__ == "__main__":
    main()
