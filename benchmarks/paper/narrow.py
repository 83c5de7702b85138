"""Encoders too narrow to align the modalities: hidden layers of one to eight units, beside the paper's of 50."""

from dataclasses import replace
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullLocator
from mudata import MuData

import clipdim
from benchmarks.paper.claims import Claim, judged
from benchmarks.paper.settings import INNER, PAPER, Settings, dimensions, fit, listed, similarities, span, top_1

NAME = "narrow"
N_SHARED, OUT_DIM = 2, 3
NARROW, WIDE = (1, 2, 3, 8), PAPER.width
WIDTHS = (*NARROW, WIDE)
DEPTHS = (1, 3)
# without the linear path, which is not narrow; with the default rate and decay most narrow encoders die
RECIPE = replace(INNER, linear_path=False, start="random", shrink=False, lr=3e-3, weight_decay=1e-4, max_epochs=40)
SHOWN = (2, 3, 8)


def run(settings: Settings) -> list[Claim]:
    """Fit each width and number of hidden layers with several seeds."""
    jobs = list(product(DEPTHS[:1] if settings.quick else DEPTHS, WIDTHS, range(settings.repeats(3))))
    recipes = [replace(RECIPE, n_hidden=n_hidden, width=width) for n_hidden, width, _ in jobs]
    fits = settings.in_parallel(
        fit, [("linear", N_SHARED, OUT_DIM, recipe, seed) for recipe, (*_, seed) in zip(recipes, jobs, strict=True)]
    )
    rows = pd.DataFrame([measure(mdata, *job) for mdata, job in zip(fits, jobs, strict=True)])
    shown = {width: fits[jobs.index((DEPTHS[0], width, 0))] for width in SHOWN}
    _draw(settings, rows, shown)
    narrow = rows[rows["width"].isin(NARROW)]
    return [_similarity(rows, narrow), _dimension(rows, narrow)]


def measure(mdata: MuData, n_hidden: int, width: int, seed: int) -> dict[str, float]:
    """Measure a fit; one that maps all cells to one point has no dimension."""
    positive, negative = similarities(mdata)
    constant = bool(negative.std() < 0.01)
    x, y = (np.nan, np.nan) if constant else dimensions(mdata)
    return {
        "hidden": n_hidden,
        "width": width,
        "seed": seed,
        "constant": constant,
        "positive": positive.mean(),
        "spread": positive.std(),
        "negative": negative.mean(),
        "x": x,
        "y": y,
        "temperature": mdata.uns["clipdim"]["temperature"],
        "top_1": top_1(mdata),
    }


def _depths(rows: pd.DataFrame) -> str:
    *fewer, most = map(str, rows["hidden"].unique())
    return " or ".join([*fewer, most]) + f" hidden layer{'' if most == '1' else 's'}"


def _similarity(rows: pd.DataFrame, narrow: pd.DataFrame) -> Claim:
    learned = narrow[~narrow["constant"]]
    wide = rows.loc[rows["width"] == WIDE, "positive"]
    return judged(
        NAME,
        "Encoders too narrow to align end at similarities of pairs below 1, or orthogonal (§G.2)",
        f"inner, {N_SHARED} shared dimensions, out_dim {OUT_DIM}, {_depths(rows)}, mean similarity of pairs: "
        + "; ".join(f"width {width} {span(values)}" for width, values in learned.groupby("width")["positive"])
        + f"; width {WIDE} {span(wide)}. "
        f"{int(narrow['constant'].sum())} of {len(narrow)} narrow fits became constant. Nearest to 0: "
        f"{learned['positive'].iloc[learned['positive'].abs().argmin()]:.2f}",
        {
            "most narrow fits below .8": (learned["positive"] < 0.8).mean() > 0.5,
            "one within .1 of 0": learned["positive"].abs().min() <= 0.1,
            f"width {WIDE}, for comparison, within .1 of 1": (wide - 1).abs().max() <= 0.1,
        },
    )


def _dimension(rows: pd.DataFrame, narrow: pd.DataFrame) -> Claim:
    learned = narrow[~narrow["constant"]]
    off = (learned[["x", "y"]] - N_SHARED).abs().max(axis=1)
    by_width = rows[~rows["constant"]].groupby("width")[["x", "y"]].median()
    return judged(
        NAME,
        f"Even so the intrinsic dimension is right, here {N_SHARED} (§G.2)",
        "median of x / y: "
        + "; ".join(f"width {width} {listed(row)}" for width, row in by_width.iterrows())
        + f"; {(off <= 0.3).sum()} of {len(off)} narrow fits within .3; top-1 at most {learned['top_1'].max():.3f}",
        {
            "some narrow fit within .3": bool((off <= 0.3).any()),
            "most of them within .3": (off <= 0.3).mean() > 0.5,
        },
    )


def _draw(settings: Settings, rows: pd.DataFrame, shown: dict[int, MuData]) -> None:
    figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
    for ax, (width, mdata) in zip(axes[0], shown.items(), strict=True):
        clipdim.pl.similarity(mdata, ax=ax)
        ax.set_title(f"1 hidden layer of {width} units", loc="left", pad=21, fontsize=10)
    panels = {"positive": "mean similarity of pairs", "x": "intrinsic dimension", "temperature": "temperature τ"}
    for ax, (column, label) in zip(axes[1], panels.items(), strict=True):
        for n_hidden, marker, color in zip(rows["hidden"].unique(), "os", ("#0072B2", "#E69F00"), strict=False):
            of_depth = rows[(rows["hidden"] == n_hidden) & ~rows["constant"]]
            for name in ["x", "y"] if column == "x" else [column]:
                at = of_depth["width"].map(WIDTHS.index) + (0.12 if n_hidden == DEPTHS[-1] else -0.12)
                label_of = f"{n_hidden} hidden layer{'s' if n_hidden > 1 else ''}" if name != "y" else None
                ax.plot(at, of_depth[name], marker, color=color, alpha=0.8, markersize=5, label=label_of)
        ax.set_xticks(range(len(WIDTHS)), list(map(str, WIDTHS)))
        ax.set_xlim(-0.5, len(WIDTHS) - 0.5)
        ax.set(xlabel="units of each hidden layer", ylabel=label)
        ax.spines[["top", "right"]].set_visible(False)
    axes[1, 0].axhline(1, color="#8C8C8C", linewidth=1, linestyle="--")
    axes[1, 1].axhline(N_SHARED, color="#8C8C8C", linewidth=1, linestyle="--")
    axes[1, 2].set_yscale("log")
    axes[1, 2].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[1, 2].yaxis.set_minor_locator(NullLocator())
    axes[1, 2].yaxis.set_major_formatter("{x:g}")
    axes[1, 1].set_ylim(0, None)
    axes[1, 2].legend(frameon=False, fontsize=9)
    settings.save(figure, NAME)
