"""
What the choices of the default recipe give and cost: held-out quality against seconds of one core.

Settings are varied around those of the recipe as it was when they were studied, which ``--vary recipe`` compares with
the present one. ``python -m benchmarks.recipe.choices --vary batch_size`` fits pbmc10k and bmcite once for each value,
number of epochs and seed, and appends a row for each fit to a CSV file; rows that are there are not computed again.
``--plot`` draws them. Seconds are processor time of ``tl.fit`` on one thread, which other programs disturb less than
the time on the clock.
"""

import math
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from mudata import MuData

import clipdim
from benchmarks.shared import command, tables
from benchmarks.shared.data import DATASETS
from benchmarks.shared.scores import scores_of
from clipdim.contrast import RECIPES, Recipe

HERE = Path(__file__).parent
HOLDOUT = 0.3
DEFAULT = RECIPES["default"]
# what the default was when the studies of single settings were made
FORMER = replace(
    DEFAULT,
    start="random",
    linear_rate=1.0,
    shrink=False,
    lr=4e-3,
    weight_decay=0.05,
    input_noise=0.35,
    adaptive_noise=False,
)


def batch_size(value: int) -> Recipe:
    """Larger batches make fewer steps, each with a learning rate larger by the square root."""
    size = value or 10**9  # 0: all training cells
    lr = FORMER.lr * math.sqrt(min(size, 8192) / FORMER.batch_size)
    return replace(FORMER, batch_size=size, lr=lr)


def optimizer(value: str) -> Recipe:
    """Choose the decay with it: Adam's is a penalty on the loss, of which as much as AdamW decays would be too much."""
    return replace(FORMER, optimizer=value, weight_decay=FORMER.weight_decay if value == "adamw" else 1e-4)


VARIATIONS = {
    "recipe": ({"former": FORMER, "default": DEFAULT}.__getitem__, ["former", "default"]),
    "batch_size": (batch_size, [128, 256, 512, 1024, 2048, 4096, 0]),
    "lr": (lambda value: replace(FORMER, lr=value), [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2]),
    "optimizer": (optimizer, ["adam", "adamw"]),
    "one_cycle": (lambda value: replace(FORMER, one_cycle=bool(value), lr=FORMER.lr / (1 if value else 4)), [0, 1]),
    "temperature_rate": (lambda value: replace(FORMER, temperature_rate=value), [1.0, 2.0, 4.0, 8.0, 16.0]),
    "initial_temperature": (lambda value: replace(FORMER, initial_temperature=value), [0.05, 0.1, 0.2, 0.5, 1.0]),
    "precision": (lambda value: replace(FORMER, precision=value), ["float32", "bfloat16"]),
    "norm_fraction": (
        lambda value: replace(FORMER, similarity="inner", norm_fraction=value),
        [0.0, 0.02, 0.1],
    ),
}


def measure(mdata: MuData, dataset: str, recipe: Recipe, seed: int) -> dict[str, float]:
    """Fit once: seconds, and measures on the held-out cells."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    clipdim.tl.fit(mdata, recipe=recipe, holdout=HOLDOUT, random_state=seed, progress=False)
    seconds = time.process_time() - start
    torch.set_num_threads(n_threads)
    return {"seconds": seconds, **scores_of(mdata, dataset)}


def run(vary: str, datasets: list[str], epochs: list[int], seeds: list[int], path: Path) -> None:
    """Fit what the file does not have yet."""
    make, values = VARIATIONS[vary]
    found = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["vary", "value", "dataset", "epochs", "seed"])
    done = set(found[["vary", "value", "dataset", "epochs", "seed"]].astype(str).itertuples(index=False, name=None))
    for dataset in datasets:
        mdata = None
        for value, n_epochs, seed in product(values, epochs, seeds):
            key = {"vary": vary, "value": value, "dataset": dataset, "epochs": n_epochs, "seed": seed}
            if tuple(map(str, key.values())) in done:
                continue
            if mdata is None:
                mdata = DATASETS[dataset][0]()
                measure(mdata.copy(), dataset, replace(DEFAULT, max_epochs=1), 0)  # what is imported late
            row = key | measure(mdata.copy(), dataset, replace(make(value), max_epochs=n_epochs), seed)
            print(row, flush=True)
            pd.DataFrame([row]).reindex(columns=COLUMNS).to_csv(path, mode="a", header=not path.exists(), index=False)


COLUMNS = ["vary", "value", "dataset", "epochs", "seed", "seconds", "15-NN, level 1", "15-NN, level 2"]
COLUMNS += ["top 0.5 %, RNA to protein", "FOSCTTM", "dimension, joint"]


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Mean over the seeds, one row for each value, data set and number of epochs."""
    means = found.drop(columns="seed").groupby(["vary", "dataset", "value", "epochs"], sort=False).mean()
    return means.sort_index(level=["vary", "dataset"], sort_remaining=False)


def draw(found: pd.DataFrame, path: Path) -> None:
    """Quality against seconds, a line for each batch size along the numbers of epochs."""
    import seaborn as sns
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    found = found[found["vary"] == "batch_size"].astype({"value": int})
    sizes = VARIATIONS["batch_size"][1]
    colors = dict(zip(sizes, sns.color_palette("viridis", len(sizes)), strict=True))
    measures = {"top 0.5 %, RNA to protein": "top-0.5 % matching", "FOSCTTM": "FOSCTTM (0 is perfect)"}
    measures |= {"15-NN": "15-NN accuracy"}
    figure = Figure(figsize=(12, 7), layout="constrained")
    for row, dataset in zip(figure.subplots(2, 3), ["pbmc10k", "bmcite"], strict=True):
        means = table(found[found["dataset"] == dataset]).reset_index()
        means["15-NN"] = means["15-NN, level 2"].fillna(means["15-NN, level 1"])
        for axes, (measure, label) in zip(row, measures.items(), strict=True):
            for size in sizes:
                line = means[means["value"] == size].sort_values("epochs")
                name = f"{size:,}" if size else "all cells"
                axes.plot(line["seconds"], line[measure], "o-", color=colors[size], label=name, linewidth=1.8)
            axes.set(xscale="log", title=dataset)
            axes.set_xlabel("seconds of tl.fit, one core", fontsize=12)
            axes.set_ylabel(label, fontsize=12)
            axes.tick_params(labelsize=11)
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter("{x:g}")
            sns.despine(ax=axes)
    handles, names = axes.get_legend_handles_labels()
    legend = {"title": "cells in a minibatch", "ncols": len(sizes), "frameon": False, "fontsize": 11}
    figure.legend(handles, names, loc="outside lower center", title_fontsize=12, **legend)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run, print the table, and draw when asked."""
    parser = command.parser(__doc__, seeds=[0, 1])
    parser.add_argument("--vary", choices=list(VARIATIONS), nargs="*", default=[])
    parser.add_argument("--datasets", nargs="+", default=["pbmc10k", "bmcite"])
    parser.add_argument("--epochs", type=int, nargs="+", default=[10, 20, 40, 80])
    parser.add_argument("--results", type=Path, default=HERE / "choices.csv")
    parser.add_argument("--write", choices=list(VARIATIONS), nargs="*", default=[], help="write tables for the docs")
    parser.add_argument("--plot", type=Path, metavar="PATH", help="draw quality against time by batch size")
    arguments = parser.parse_args()
    command.quiet()
    arguments.results.parent.mkdir(exist_ok=True)
    for vary in arguments.vary:
        run(vary, arguments.datasets, arguments.epochs, arguments.seeds, arguments.results)
    found = pd.read_csv(arguments.results)
    means = table(found)
    print(means.dropna(axis=1, how="all").to_string(float_format="{:.4f}".format, na_rep="-"))
    for vary in arguments.write:
        rows = means.loc[vary].reset_index()
        digits = {"seconds": 1, "dimension, joint": 1}
        for name in rows.columns[3:]:
            rows[name] = [f"{x:.{digits.get(name, 3)}f}" if x == x else "-" for x in rows[name]]
        rows = rows.rename(columns={"value": vary})
        tables.write(HERE / f"choices_{vary}.md", rows, note="Seconds of one core, held-out cells.")
    if arguments.plot:
        draw(found, arguments.plot)


if __name__ == "__main__":
    main()
