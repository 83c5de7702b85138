"""
Held-out quality and time of a recipe on real data, one row for each data set, the mean over seeds.

``make quality``, or ``python -m benchmarks.quality``, prints the table of the README; ``--recipe paper`` the same for
the settings of Gui, Ma and Ma. The data sets are downloaded once.
"""

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
from mudata import MuData

import clipdim
from benchmarks.shared import command
from benchmarks.shared.data import DATASETS
from benchmarks.shared.scores import scores_of

SMALL_TRAINING, SMALL_HELD_OUT = 800, 2_055


def quality(dataset: str, mdata: MuData, *, seed: int, recipe: str = "default") -> dict[str, float]:
    """Fit once and measure on the held-out cells."""
    holdout = 0.3
    if dataset.endswith("800 training cells"):
        n_cells = SMALL_TRAINING + SMALL_HELD_OUT
        cells = np.random.default_rng(seed).permutation(mdata.n_obs)[:n_cells]
        mdata, holdout = mdata[np.sort(cells)].copy(), SMALL_HELD_OUT / n_cells
    start = time.perf_counter()
    clipdim.tl.fit(mdata, recipe=recipe, holdout=holdout, random_state=seed, progress=False)
    return {"seconds": time.perf_counter() - start, **scores_of(mdata, dataset)}


def table(datasets: Sequence[str], seeds: Sequence[int], recipe: str) -> pd.DataFrame:
    """Mean over the seeds, one row for each data set."""
    rows = {}
    for dataset in datasets:
        mdata = DATASETS[dataset][0]()
        rows[dataset] = pd.DataFrame(
            [quality(dataset, mdata.copy(), seed=seed, recipe=recipe) for seed in seeds]
        ).mean()
    return pd.DataFrame(rows).T


def main() -> None:
    """Print the table."""
    parser = command.parser(__doc__, seeds=[0, 1, 2])
    parser.add_argument("--recipe", default="default", choices=["default", "paper"])
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=list(DATASETS))
    arguments = parser.parse_args()
    command.quiet()
    scores = table(arguments.datasets, arguments.seeds, arguments.recipe)
    print(scores.to_string(float_format="{:.4f}".format, na_rep="-"))


if __name__ == "__main__":
    main()
