"""
What ``tl.reduce`` keeps and gains: held-out quality, size and times of the reduced embedding relative to the large one.

``python -m benchmarks.dimension.reduction`` prints a table for each data set, a column for each way and number of
dimensions, the mean over seeds. n is the joint intrinsic dimension of the fit rounded up. Times are of one thread.
"""

import math
import time
from collections.abc import Callable

import pandas as pd
from mudata import MuData

import clipdim
from benchmarks.shared import command
from benchmarks.shared.data import DATASETS
from benchmarks.shared.scores import scores_of
from clipdim.neighbors import nearest_neighbors

HOLDOUT = 0.3
REPEATS = 5
KEPT = {"15-NN, level 1": "15-NN", "15-NN, level 2": "15-NN, fine", "top 0.5 %, RNA to protein": "top 0.5 %"}


def fastest(function: Callable[[], object]) -> float:
    """Milliseconds of the fastest of some calls."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1_000 * min(times)


def measure(mdata: MuData, dataset: str, n_dims: int, method: str, seed: int) -> dict[str, float]:
    """Reduce the fit ``"large"`` to the fit ``"clipdim"``, which is the one that the scores are of."""
    start = time.process_time()
    clipdim.tl.reduce(mdata, n_dims, method=method, key="large", key_added="clipdim", random_state=seed, progress=False)
    seconds = time.process_time() - start
    query = MuData({name: adata.copy() for name, adata in mdata.mod.items()})
    joint = mdata.obsm["X_clipdim"]
    return {
        "n_dims": n_dims,
        "n_dims, auto": math.ceil(mdata.uns["large"]["intrinsic_dimension"]["joint"]["high"]) + 2,
        "seconds": seconds,
        "bytes per cell": joint.nbytes / len(joint),
        "embed, ms": fastest(lambda: clipdim.tl.embed(query, mdata, device="cpu")),
        "neighbours, ms": fastest(lambda: nearest_neighbors(joint, 15)),
        **scores_of(mdata, dataset),
    }


def compare(dataset: str, mdata: MuData, methods: list[str], extras: list[int], seed: int) -> pd.DataFrame:
    """Fit once; one row for the fit and for each way and number of dimensions, quality relative to the fit's."""
    clipdim.tl.fit(mdata, holdout=HOLDOUT, random_state=seed, progress=False, key_added="large")
    out_dim = mdata.uns["large"]["params"]["out_dim"]
    n = math.ceil(mdata.uns["large"]["intrinsic_dimension"]["joint"]["estimate"])
    # all axes are kept: a rotation, which changes no measure
    rows = {("fit", "out_dim"): measure(mdata, dataset, out_dim, "pca", seed)}
    for method in methods:
        for extra in extras:
            rows[method, f"n + {extra}"] = measure(mdata, dataset, n + extra, method, seed)
    table = pd.DataFrame(rows).T.astype(float)
    for score, name in KEPT.items():
        if score in table:
            table[f"{name} kept"] = table[score] / table[score].iloc[0]
    return table.drop(columns=[column for column in table if column.startswith("dimension, ")])


def main() -> None:
    """Print the table."""
    parser = command.parser(__doc__, seeds=[0, 1, 2])
    parser.add_argument("--datasets", nargs="+", default=["pbmc10k", "bmcite"], choices=list(DATASETS))
    parser.add_argument("--methods", nargs="+", default=["pca", "refit", "distill"])
    parser.add_argument("--extra", type=int, nargs="+", default=[0, 1, 2, 3], help="dimensions beyond n")
    arguments = parser.parse_args()
    command.quiet_on_one_thread()
    for dataset in arguments.datasets:
        mdata = DATASETS[dataset][0]()
        tables = [compare(dataset, mdata.copy(), arguments.methods, arguments.extra, seed) for seed in arguments.seeds]
        by_way = pd.concat(tables).groupby(level=[0, 1], sort=False)
        means = by_way.mean().assign(error=by_way["top 0.5 % kept"].sem())
        print(f"{dataset}, {len(tables)} seeds; error: standard error of what is kept of top 0.5 %")
        print(means.T.to_string(float_format="{:.4g}".format, na_rep="-"), flush=True)


if __name__ == "__main__":
    main()
