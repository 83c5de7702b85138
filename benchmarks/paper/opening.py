"""The opening example: two shared dimensions, three output dimensions."""

from dataclasses import replace
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
from mudata import MuData

import clipdim
from benchmarks.paper.claims import Claim, judged
from benchmarks.paper.settings import (
    DEFAULT,
    INNER,
    PAPER,
    Settings,
    dimensions,
    fit,
    listed,
    norm_spreads,
    similarities,
    top_1,
)

NAME = "opening"
N_SHARED, OUT_DIM = 2, 3
LARGER = [8, 22, 44]
N_SNAPSHOTS = 4
PAPER_EPOCHS = 200
RECIPES = {"inner": INNER, "cosine": DEFAULT}
TITLES = {
    "inner": "default recipe, inner",
    "cosine": "default recipe, cosine",
    "paper": f"the paper's recipe (inner), {PAPER_EPOCHS} of its {PAPER.max_epochs} epochs",
}


def run(settings: Settings) -> list[Claim]:
    """Fit by both similarities and, in a full run, the paper's recipe; larger output dimensions for comparison."""
    recipes = RECIPES if settings.quick else RECIPES | {"paper": replace(PAPER, max_epochs=PAPER_EPOCHS)}
    larger = LARGER[:2] if settings.quick else LARGER
    # the longest first
    jobs = [("linear", N_SHARED, OUT_DIM, recipe, 0, N_SNAPSHOTS) for recipe in reversed(recipes.values())]
    jobs += [("linear", N_SHARED, out_dim, recipe, 0) for recipe, out_dim in product(RECIPES.values(), larger)]
    fits = iter(settings.in_parallel(fit, jobs))
    small = {name: next(fits) for name in reversed(recipes)}
    by_dim = {name: {OUT_DIM: small[name]} | {out_dim: next(fits) for out_dim in larger} for name in RECIPES}
    _draw_snapshots(settings, {name: small[name] for name in recipes})
    _draw_temperatures(settings, by_dim)
    inner = {name: small[name] for name in recipes if name != "cosine"}
    return [_similarity(inner), _dimension(inner, by_dim), _temperature(inner, by_dim), _norms(inner, by_dim)]


def _similarity(inner: dict[str, MuData]) -> Claim:
    shown, criteria = [], {}
    for name, mdata in inner.items():
        positive, negative = similarities(mdata)
        low, median, high = np.quantile(positive, [0.05, 0.5, 0.95])
        highest = float(np.quantile(negative, 0.99))
        shown.append(
            f"{TITLES[name]}: median {median:.2f}, 90 % of them in {low:.2f} to {high:.2f}; "
            f"99 % of the others below {highest:.2f}"
        )
        criteria[f"median within .1 of 1 ({name})"] = abs(median - 1) <= 0.1
        criteria[f"90 % of the pairs within .1 of their median ({name})"] = max(median - low, high - median) <= 0.1
        criteria[f"99 % of the others below 1.1 ({name})"] = highest <= 1.1
    return judged(
        NAME,
        "Similarities of pairs gather around 1, which those of other cells do not pass (§1.1, fig. 2)",
        "; ".join(shown),
        criteria,
    )


def _dimension(inner: dict[str, MuData], by_dim: dict[str, dict[int, MuData]]) -> Claim:
    """By the cosine three output dimensions say nothing, since a sphere has two."""
    small = {f"{TITLES[name]}, at {OUT_DIM}": dimensions(mdata) for name, mdata in inner.items()}
    larger = {
        f"{name} at {dim}": dimensions(mdata)
        for name, fits in by_dim.items()
        for dim, mdata in fits.items()
        if dim > OUT_DIM
    }
    matching = {TITLES[name]: top_1(mdata) for name, mdata in inner.items()}
    off, off_larger = (np.abs(np.subtract(list(found.values()), N_SHARED)).max() for found in (small, larger))
    return judged(
        NAME,
        f"The representations have {N_SHARED} dimensions, however many are on offer (§1.1, fig. 2)",
        "x / y: "
        + "; ".join(f"{name} {listed(both)}" for name, both in (small | larger).items())
        + ". Top-1 at 3: "
        + ", ".join(f"{name} {value:.2f}" for name, value in matching.items()),
        {
            f"within .3 of {N_SHARED} at {OUT_DIM}, as in the paper": off <= 0.3,
            "and at larger out_dim": off_larger <= 0.3,
        },
    )


def _temperature(inner: dict[str, MuData], by_dim: dict[str, dict[int, MuData]]) -> Claim:
    found = {name: [mdata.uns["clipdim"]["temperature"] for mdata in fits.values()] for name, fits in by_dim.items()}
    found |= {TITLES["paper"]: [inner["paper"].uns["clipdim"]["temperature"]]} if "paper" in inner else {}
    return judged(
        NAME,
        "The temperature converges to 0, whatever the output dimension (§1.1, §G.4)",
        f"from {DEFAULT.initial_temperature:g} (the paper's recipe 1), out_dim "
        f"{' / '.join(map(str, by_dim['inner']))}: "
        + "; ".join(f"{name} {listed(values, 4)}" for name, values in found.items()),
        {f"below .02 ({name})": max(values) <= 0.02 for name, values in found.items()},
    )


def _norms(inner: dict[str, MuData], by_dim: dict[str, dict[int, MuData]]) -> Claim:
    found = {name: [max(norm_spreads(mdata)) for mdata in fits.values()] for name, fits in by_dim.items()}
    paper = [max(norm_spreads(inner["paper"]))] if "paper" in inner else []
    of_paper = f"; {TITLES['paper']} at {OUT_DIM} {listed(paper)}" if paper else ""
    return judged(
        NAME,
        "Norms gather around their mean though nothing constrains them (§G.1)",
        f"standard deviation over mean, out_dim {' / '.join(map(str, by_dim['inner']))}: inner "
        f"{listed(found['inner'])}; cosine, whose loss does not see norms, {listed(found['cosine'])}{of_paper}",
        {
            "below .2 each time (inner)": max(found["inner"]) < 0.2,
            "inner below cosine each time": bool(np.less(found["inner"], found["cosine"]).all()),
            **{f"below .2 ({TITLES['paper']})": value < 0.2 for value in paper},
        },
    )


def _draw_snapshots(settings: Settings, fits: dict[str, MuData]) -> None:
    figure, axes = plt.subplots(
        len(fits), N_SNAPSHOTS, figsize=(13, 3.5 * len(fits)), layout="constrained", subplot_kw={"projection": "3d"}
    )
    for row, (name, mdata) in zip(axes, fits.items(), strict=True):
        clipdim.pl.snapshots(mdata, ax=row)
        legend = row[-1].get_legend()
        legend.set_title(f"{TITLES[name].replace(', ', chr(10))}\n{legend.get_title().get_text()}")
        legend.set_alignment("left")
    settings.save(figure, NAME)


def _draw_temperatures(settings: Settings, by_dim: dict[str, dict[int, MuData]]) -> None:
    """Temperatures of fits that lie in different MuData, put into one for the figure."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", sharey=True)
    for ax, (name, fits) in zip(axes, by_dim.items(), strict=True):
        first = fits[OUT_DIM]
        for out_dim, mdata in fits.items():
            first.uns[f"out_dim_{out_dim}"] = mdata.uns["clipdim"]
        clipdim.pl.temperature(first, key=[f"out_dim_{out_dim}" for out_dim in fits], ax=ax)
        ax.set_title(TITLES[name], loc="left", fontsize=10)
        ax.label_outer()
    settings.save(figure, f"{NAME}_temperature")
