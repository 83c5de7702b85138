"""
Cost of a fit and of the measures against the number of cells: ``python -m benchmarks.speed.scale``.

Each size runs in a process of its own, on simulated representations (50 and 25 features) that share 8 dimensions with
20 cell types in them. The held-out scores show that the fit is a real one. Memory is the high-water mark of the
process: with the libraries loaded and the data made, after the fit, and after the measures. ``--plot PATH`` draws the
CSV of earlier runs. Needs Linux or macOS.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.shared import command, machine, tables

HERE = Path(__file__).parent
N_SHARED, N_TYPES = 8, 20
NOISE = 3.0
N_FEATURES = {"rna": 50, "prot": 25}
STAGES = {"fit": "fit", "match": "match", "classify": "classify", "dimension": "intrinsic_dimension"}
TABLE = [
    "n_cells",
    *(f"{stage}_s" for stage in STAGES),
    *("inputs_gb", "data_made_gb", "fit_gb", "peak_gb", "top_alpha", "foscttm", "knn_accuracy", "dimension_joint"),
]


def simulate(n_cells: int, seed: int = 0):
    """Two modalities of ``X_pca`` alone: linear maps of a mixture of cell types, plus noise of their own."""
    from anndata import AnnData
    from mudata import MuData

    rng = np.random.default_rng(seed)
    types = rng.integers(N_TYPES, size=n_cells)
    latent = rng.standard_normal((n_cells, N_SHARED), dtype=np.float32)
    latent += 2 * rng.standard_normal((N_TYPES, N_SHARED), dtype=np.float32)[types]
    cells = pd.Index([f"cell{i}" for i in range(n_cells)])
    modalities = {}
    for name, n_features in N_FEATURES.items():
        values = rng.standard_normal((n_cells, n_features), dtype=np.float32)
        values *= NOISE
        values += latent @ rng.standard_normal((N_SHARED, n_features), dtype=np.float32)
        modalities[name] = AnnData(obs=pd.DataFrame(index=cells), obsm={"X_pca": values})
    mdata = MuData(modalities)
    mdata.obs["cell_type"] = pd.Categorical.from_codes(types, [f"type {i}" for i in range(N_TYPES)])
    return mdata


def measure(n_cells: int, device: str) -> dict[str, float | str]:
    """Seconds, gigabytes and held-out scores in this process, which should be a fresh one."""
    import torch

    import clipdim

    command.quiet()
    # what is imported or compiled on first use is no part of the cost
    small = simulate(300)
    clipdim.tl.fit(small, max_epochs=1, device=device, progress=False)
    clipdim.tl.classify(small, "cell_type")
    mdata = simulate(n_cells)
    row: dict[str, float | str] = {
        "n_cells": n_cells,
        "inputs_gb": sum(adata.obsm["X_pca"].nbytes for adata in mdata.mod.values()) / 1e9,
        "data_made_gb": machine.peak_memory() / 1e9,
    }

    def timed(stage: str, run: Callable[[], pd.DataFrame | None]) -> pd.DataFrame | None:
        start = time.perf_counter()
        result = run()
        row[f"{stage}_s"] = time.perf_counter() - start
        return result

    timed("fit", lambda: clipdim.tl.fit(mdata, device=device, progress=False))
    row["fit_gb"] = machine.peak_memory() / 1e9
    matching = timed("match", lambda: clipdim.tl.match(mdata)).query("split == 'held-out'")
    accuracy = timed("classify", lambda: clipdim.tl.classify(mdata, "cell_type"))
    dimensions = timed("dimension", lambda: clipdim.tl.intrinsic_dimension(mdata)).set_index("representation")
    row["peak_gb"] = machine.peak_memory() / 1e9
    row["top_alpha"], row["foscttm"] = matching[["top_alpha", "foscttm"]].mean()
    knn = accuracy.query("split == 'held-out' and method == 'joint k-NN' and kind == 'overall'")
    row["knn_accuracy"] = knn["accuracy"].item()
    row |= {f"dimension_{name}": estimate for name, estimate in dimensions["estimate"].items()}
    on = mdata.uns["clipdim"]["params"]["device"]
    row["n_epochs"] = mdata.uns["clipdim"]["params"]["n_epochs"]
    row["gpu_gb"] = torch.cuda.max_memory_allocated() / 1e9 if on.startswith("cuda") else float("nan")
    row |= {"cpu": machine.cpu(), "cores": machine.cores()}
    row["device"] = torch.cuda.get_device_name(on) if on.startswith("cuda") else on
    return row | {"torch": torch.__version__, "clipdim": clipdim.__version__}


def draw(table: pd.DataFrame, path: str) -> None:
    """Time and peak memory against the number of cells, with a line of slope 1."""
    import seaborn as sns
    from matplotlib.figure import Figure

    table = table.sort_values("n_cells")
    n = table["n_cells"].to_numpy()
    colors = sns.color_palette("colorblind")
    figure = Figure(figsize=(10, 5), layout="constrained")
    panels = figure.subplots(1, 2)
    times = {f"tl.{function}": table[f"{stage}_s"] for stage, function in STAGES.items()}
    sizes = {"peak of the process": table["peak_gb"], "libraries and data": table["data_made_gb"]}
    first = times["tl.fit"].iloc[0]
    slopes = {"slope 1": first * n / n[0]}, {"inputs alone (slope 1)": table["inputs_gb"]}
    for axes, lines, slope, label in zip(panels, (times, sizes), slopes, ("time (s)", "memory (GB)"), strict=True):
        for (name, values), color, marker in zip(lines.items(), colors, "osD^", strict=False):
            axes.plot(n, values, marker=marker, color=color, label=name, linewidth=2, markersize=7)
        for name, values in slope.items():
            axes.plot(n, values, "--", color="0.5", linewidth=1.5, label=name, zorder=0)
        axes.set(xscale="log", yscale="log")
        axes.set_xlabel("cells", fontsize=13)
        axes.set_ylabel(label, fontsize=13)
        axes.tick_params(labelsize=12)
        axes.legend(frameon=False, fontsize=11, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
        sns.despine(ax=axes)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure, print the table and write the CSV; or draw it."""
    parser = command.parser(__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--csv", type=Path, default=HERE / "scale.csv")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--plot", metavar="PATH", help="draw the CSV, measure nothing")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plot:
        draw(pd.read_csv(arguments.csv), arguments.plot)
        return
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.device)))
        return
    rows = []
    for n_cells in arguments.cells:
        process = [sys.executable, "-m", __spec__.name, "--measure", str(n_cells), "--device", arguments.device]
        rows.append(json.loads(subprocess.run(process, check=True, stdout=subprocess.PIPE, text=True).stdout))
        arguments.csv.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(arguments.csv, index=False, float_format="%.4g")  # after each size: runs may be long
    table = pd.DataFrame(rows)
    shown = pd.DataFrame(
        {name: [f"{x:,.0f}" if name == "n_cells" else f"{x:.3g}" for x in table[name]] for name in TABLE}
    )
    tables.write(
        arguments.csv.with_suffix(".md"), shown, note="_s: seconds, _gb: gigabytes, at the highest point until then."
    )
    print(table[TABLE].to_string(index=False, float_format="{:.4g}".format))
    print(table[["cpu", "cores", "device", "torch", "clipdim"]].drop_duplicates().to_string(index=False))


if __name__ == "__main__":
    main()
