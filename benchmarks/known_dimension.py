"""
Estimated against true shared dimension where the truth is known, with adaptive input noise and with the fixed one.

``python benchmarks/known_dimension.py`` prints, for held-out cells, the intrinsic dimension of the joint embedding and
the share of cells whose first match is their own.
"""

import argparse
import warnings
from dataclasses import replace

import pandas as pd

import clipdim
from clipdim import dimension
from clipdim.contrast import RECIPES


def measure(n_shared: int, *, adaptive_noise: bool, n_cells: int, seed: int) -> dict[str, float]:
    """Fit linear data of Gaussian coordinates and measure it."""
    mdata = clipdim.datasets.linear(n_cells, n_shared=n_shared, random_state=seed)
    recipe = replace(RECIPES["default"], adaptive_noise=adaptive_noise)
    clipdim.tl.fit(mdata, recipe=recipe, holdout=1 / 6, random_state=seed, progress=False)
    matching = clipdim.tl.match(mdata, k=(1,)).query("split == 'held-out'")
    found = mdata.uns["clipdim"]["intrinsic_dimension"]["joint"]
    return {
        "true": n_shared,
        "adaptive": adaptive_noise,
        "input noise": mdata.uns["clipdim"]["params"]["recipe"]["input_noise"],
        "estimate": found["estimate"],
        "low": found["low"],
        "high": found["high"],
        "truth reads": dimension.mle(mdata.obsm["shared"][(mdata.obs["clipdim_split"] == "held-out").to_numpy()]),
        "first match": matching["recall_at_1"].mean(),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shared", type=int, nargs="+", default=[1, 2, 5, 8, 10])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = [
        measure(n_shared, adaptive_noise=adaptive, n_cells=arguments.cells, seed=arguments.seed)
        for n_shared in arguments.shared
        for adaptive in (True, False)
    ]
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.2f}".format))


if __name__ == "__main__":
    main()
