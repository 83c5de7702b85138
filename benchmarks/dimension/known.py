"""
Estimated against true shared dimension where the truth is known, with adaptive input noise and with the fixed one.

``python -m benchmarks.dimension.known`` writes to ``known.md``, for held-out cells, the intrinsic
dimension of the joint embedding and the share of cells whose first match is their own.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

import clipdim
from benchmarks.shared import command, tables
from clipdim import dimension
from clipdim.contrast import RECIPES


def measure(n_shared: int, *, n_cells: int, seed: int) -> dict[str, str]:
    """Fit linear data of Gaussian coordinates twice and measure it."""
    row = {"shared dimensions": f"{n_shared}"}
    for adaptive in (True, False):
        mdata = clipdim.datasets.linear(n_cells, n_shared=n_shared, random_state=seed)
        recipe = replace(RECIPES["default"], adaptive_noise=adaptive)
        clipdim.tl.fit(mdata, recipe=recipe, holdout=1 / 6, random_state=seed, progress=False)
        held_out = (mdata.obs["clipdim_split"] == "held-out").to_numpy()
        row["truth reads"] = f"{dimension.mle(mdata.obsm['shared'][held_out]):.1f}"
        found = mdata.uns["clipdim"]["intrinsic_dimension"]["joint"]
        matching = clipdim.tl.match(mdata, k=(1,)).query("split == 'held-out'")
        noise = mdata.uns["clipdim"]["params"]["recipe"]["input_noise"]
        name = "default" if adaptive else f"always with noise {noise:g}"
        row[name] = f"{found['estimate']:.1f} ({found['low']:.1f} to {found['high']:.1f})" + (
            f", noise {noise:g}" if adaptive else ""
        )
        row[f"first match, {name}"] = f"{matching['recall_at_1'].mean():.0%}"
    return row


def main() -> None:
    """Write the table."""
    parser = command.parser(__doc__)
    parser.add_argument("--cells", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shared", type=int, nargs="+", default=[1, 2, 5, 8, 10])
    arguments = parser.parse_args()
    command.quiet()
    rows = [measure(n_shared, n_cells=arguments.cells, seed=arguments.seed) for n_shared in arguments.shared]
    note = f"{arguments.cells:,} cells, a sixth of them held out, seed {arguments.seed}."
    tables.write(Path(__file__).with_name("known.md"), pd.DataFrame(rows), note=note)


if __name__ == "__main__":
    main()
