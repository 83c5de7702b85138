"""
Held-out quality and time of a recipe on real data, one row for each data set, the mean over seeds.

``python benchmarks/quality.py`` prints the table of the documentation's results page; ``--recipe paper`` the same for
the settings of Gui, Ma and Ma. The data sets are downloaded once.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from mudata import MuData

import clipdim

SMALL_TRAINING, SMALL_HELD_OUT = 800, 2_055


def pbmc10k() -> MuData:
    """All cells; 30 % of them are held out."""
    mdata = clipdim.datasets.pbmc10k()
    clipdim.pp.citeseq(mdata)
    return mdata


def bmcite() -> MuData:
    """All cells with both modalities; the RNA is a 10-dimensional latent representation."""
    mdata = clipdim.datasets.bmcite()
    clipdim.pp.protein(mdata)
    return mdata


DATASETS: dict[str, tuple[Callable[[], MuData], list[str]]] = {
    "pbmc10k": (pbmc10k, ["cell_type"]),
    "pbmc10k, 800 training cells": (pbmc10k, ["cell_type"]),
    "bmcite": (bmcite, ["celltype_l1", "celltype_l2"]),
}


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


def scores_of(mdata: MuData, dataset: str) -> dict[str, float]:
    """Measures of a fitted data set on its held-out cells."""
    scores = {}
    matching = clipdim.tl.match(mdata).query("split == 'held-out'")
    scores["top 0.5 %, RNA to protein"] = matching.set_index("query").loc["rna", "top_alpha"]
    scores["FOSCTTM"] = matching["foscttm"].mean()
    for level, label_key in enumerate(DATASETS[dataset][1], start=1):
        accuracy = clipdim.tl.classify(mdata, label_key).query(
            "split == 'held-out' and method == 'joint k-NN' and kind == 'overall'"
        )
        scores[f"15-NN, level {level}"] = accuracy["accuracy"].item()
    for name, found in mdata.uns["clipdim"]["intrinsic_dimension"].items():
        scores[f"dimension, {name}"] = found["estimate"]
    return scores


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipe", default="default", choices=["default", "paper"])
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=list(DATASETS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    scores = table(arguments.datasets, arguments.seeds, arguments.recipe)
    print(scores.to_string(float_format="{:.4f}".format, na_rep="-"))


if __name__ == "__main__":
    main()
