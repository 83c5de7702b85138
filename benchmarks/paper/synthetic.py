"""Five shared dimensions, linear and nonlinear: accuracy and intrinsic dimension against the output dimension."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from mudata import MuData

import clipdim
from benchmarks.paper import settings as common
from benchmarks.paper import speed
from benchmarks.paper.claims import Claim, judged, not_run
from benchmarks.paper.settings import DEFAULT, INNER, PAPER, Settings, by_out_dim, listed, saturation
from clipdim import dimension

NAME = "synthetic"
N_SHARED = 5
ENOUGH, MOST = speed.OUT_DIM, 44
SOME = [1, 4, 7, 10, 16, ENOUGH, 31, MOST]
QUICK_EPOCHS = 10
REQUIRED = {"linear": 0.99, "nonlinear": 0.72}
TITLES = {
    "default": "default recipe, cosine",
    "inner": "default recipe, inner",
    "paper": "the paper's recipe (inner)",
}


def run(settings: Settings) -> list[Claim]:
    """Sweep both data sets with both recipes and both similarities."""
    return [claim for kind in ("linear", "nonlinear") for claim in _of_kind(settings, kind)]


def _of_kind(settings: Settings, kind: str) -> list[Claim]:
    mdata, holdout = common.synthetic(kind, DEFAULT)
    dims = settings.out_dims
    with_cosine = [out_dim for out_dim in dims if out_dim > 1]
    settings.sweep(
        f"{kind}_default", mdata, with_cosine, recipe=DEFAULT, holdout=holdout, n_repeats=settings.repeats(5)
    )
    of_inner = [5, ENOUGH, MOST] if settings.quick else SOME
    settings.sweep(f"{kind}_inner", mdata, of_inner, recipe=INNER, holdout=holdout, n_repeats=settings.repeats(3))
    recipe = replace(PAPER, max_epochs=QUICK_EPOCHS) if settings.quick else PAPER
    of_paper, paper_holdout = common.synthetic(kind, recipe)
    paper_dims = [ENOUGH] if settings.quick else [4, MOST]
    settings.sweep(f"{kind}_paper", of_paper, paper_dims, recipe=recipe, holdout=paper_holdout, n_repeats=1)
    mdata.uns[f"{kind}_paper"] = of_paper.uns[f"{kind}_paper"]
    timed = None if settings.quick else speed.fitted_by_paper(kind)
    if timed is not None:
        found = mdata.uns[f"{kind}_paper"]
        found["table"] = pd.concat([found["table"], _rows(timed)], ignore_index=True)
    tables = {name: mdata.uns[f"{kind}_{name}"]["table"] for name in TITLES}
    _draw_sweeps(settings, mdata, kind)
    fits = _refit(settings, kind, tables)
    claims = [
        _saturation(kind, tables),
        _dimension(kind, fits, tables),
        _similarity(kind, fits),
        _norms(kind, fits),
        _cosine(kind, tables),
        _paper(tables, timed),
    ]
    return [replace(claim, experiment=f"{NAME}, {kind}") for claim in claims]


def _rows(mdata: MuData) -> pd.DataFrame:
    """Return what a sweep measures of a fit."""
    result = mdata.uns["clipdim"]
    rows = [
        ("recall_at_1", f"{row['query']} to {row['target']}", row["split"], row["recall_at_1"])
        for row in clipdim.tl.match(mdata, k=(1,)).to_dict("records")
    ]
    rows += [
        ("intrinsic_dimension", name, record["cells"], record["estimate"])
        for name, record in result["intrinsic_dimension"].items()
    ]
    rows += [("temperature", "", "", result["temperature"])]
    table = pd.DataFrame(rows, columns=["measure", "modality", "split", "value"])
    return table.assign(out_dim=ENOUGH, repeat=0, random_state=result["params"]["random_state"], label_key="")


def _refit(settings: Settings, kind: str, tables: dict[str, pd.DataFrame]) -> dict[tuple[str, int], list[MuData]]:
    """Fits of the sweep again, whose embeddings it does not keep."""
    wanted, jobs = [], []
    for name, recipe, out_dim in (("default", DEFAULT, ENOUGH), ("default", DEFAULT, MOST), ("inner", INNER, ENOUGH)):
        seeds = tables[name].query("out_dim == @out_dim")["random_state"].unique()[: settings.repeats(3)]
        wanted += [(name, out_dim)] * len(seeds)
        jobs += [(kind, N_SHARED, out_dim, recipe, int(seed)) for seed in seeds]
    fits: dict[tuple[str, int], list[MuData]] = {}
    for key, mdata in zip(wanted, settings.in_parallel(common.fit, jobs), strict=True):
        fits.setdefault(key, []).append(mdata)
    return fits


def _saturation(kind: str, tables: dict[str, pd.DataFrame]) -> Claim:
    """Find the output dimension from which on accuracy no longer grows."""
    matching = by_out_dim(tables["default"], "recall_at_1")
    training = by_out_dim(tables["default"], "recall_at_1", split="train")
    first = {name: saturation(by_out_dim(tables[name], "recall_at_1")) for name in ("default", "inner")}
    bound = min(out_dim for out_dim in matching.index if out_dim >= 2 * N_SHARED)
    below = matching[matching.index < N_SHARED]
    return judged(
        NAME,
        f"Top-1 matching, in and out of sample, saturates once out_dim exceeds k* = {N_SHARED} (§4.1)",
        f"default recipe, cosine, held out: {matching[ENOUGH]:.3f} at {ENOUGH}, {matching[MOST]:.3f} at {MOST}, "
        f"{below.iloc[-1]:.3f} at {below.index[-1]} (of 10,000 training cells {listed(training[[ENOUGH, MOST]], 3)}); "
        f"98 % of the best reached at {first['default']} (cosine), {first['inner']} (inner)",
        {
            f"98 % of the best by out_dim {bound}": max(first.values()) <= bound,
            "not below k*": below.max() < 0.98 * matching.max(),
            f"at least {REQUIRED[kind]} at {ENOUGH}": matching[ENOUGH] >= REQUIRED[kind],
        },
    )


def _dimension(kind: str, fits: dict[tuple[str, int], list[MuData]], tables: dict[str, pd.DataFrame]) -> Claim:
    """Take the arithmetic mean of pointwise estimates, as the paper; the sweeps' harmonic means are smaller."""
    found = {
        out_dim: np.mean([common.dimensions(mdata, "arithmetic") for mdata in fits["default", out_dim]], axis=0)
        for out_dim in (ENOUGH, MOST)
    }
    inner = np.mean([common.dimensions(mdata, "arithmetic") for mdata in fits["inner", ENOUGH]], axis=0)
    harmonic = by_out_dim(tables["default"], "intrinsic_dimension")
    mdata = fits["default", ENOUGH][0]
    cells = common.held_out(mdata)
    truth = {
        "the shared columns of y": dimension.mle(mdata.obsm["shared"][cells], aggregation="arithmetic"),
        "those of x": dimension.mle(mdata["x"].X[cells, :N_SHARED], aggregation="arithmetic"),
    }
    return judged(
        NAME,
        f"The intrinsic dimension saturates and approaches k* = {N_SHARED}, not out_dim (§4.1)",
        f"x / y, arithmetic as in the paper: cosine {listed(found[ENOUGH])} at {ENOUGH}, {listed(found[MOST])} at "
        f"{MOST}; inner {listed(inner)} at {ENOUGH}; harmonic, cosine {harmonic[ENOUGH]:.2f} and {harmonic[MOST]:.2f}. "
        "The estimator reads " + ", ".join(f"{name} as {value:.2f}" for name, value in truth.items()),
        {
            f"x and y within .6 of {N_SHARED} at {ENOUGH} (cosine)": np.abs(found[ENOUGH] - N_SHARED).max() <= 0.6,
            f"{ENOUGH} and {MOST} within .5": np.abs(found[ENOUGH] - found[MOST]).max() <= 0.5,
        },
    )


def _similarity(kind: str, fits: dict[tuple[str, int], list[MuData]]) -> Claim:
    criteria, shown = {}, []
    for name, title in (("default", "cosine"), ("inner", "inner")):
        chosen = fits[name, ENOUGH]
        temperature = max(mdata.uns["clipdim"]["temperature"] for mdata in chosen)
        quantiles = [
            (*np.quantile(positive, [0.05, 0.5]), np.quantile(negative, 0.95))
            for positive, negative in map(common.similarities, chosen)
        ]
        low, median, others = np.mean(quantiles, axis=0)
        shown.append(
            f"{title}: τ {temperature:.4f}, median of pairs {median:.2f} (5 % below {low:.2f}), others {others:.2f}"
        )
        criteria[f"τ below .02 ({title})"] = temperature <= 0.02
        criteria[f"95 % of the pairs above 95 % of the others ({title})"] = low > others
    return judged(
        NAME,
        "The temperature goes to 0, and similarities of pairs gather at a constant above those of other cells (§4.1)",
        "; ".join(shown) + " (95 % quantile)",
        criteria,
    )


def _norms(kind: str, fits: dict[tuple[str, int], list[MuData]]) -> Claim:
    spreads = [max(common.norm_spreads(mdata)) for mdata in fits["inner", ENOUGH]]
    free = [max(common.norm_spreads(mdata)) for mdata in fits["default", ENOUGH]]
    return judged(
        NAME,
        f"Norms gather around their mean though nothing constrains them (§G.1, here k* = {N_SHARED})",
        f"inner, out_dim {ENOUGH}: standard deviation over mean {max(spreads):.2f}; cosine {max(free):.2f}",
        {"below .2": max(spreads) < 0.2, "below cosine": max(spreads) < min(free)},
    )


def _cosine(kind: str, tables: dict[str, pd.DataFrame]) -> Claim:
    estimates = {name: by_out_dim(tables[name], "intrinsic_dimension") for name in ("default", "inner")}
    matching = {name: by_out_dim(tables[name], "recall_at_1")[ENOUGH] for name in ("default", "inner")}
    gap = (estimates["default"] - estimates["inner"])[lambda gaps: gaps.index > N_SHARED].abs().max()
    return judged(
        NAME,
        "Cosine and inner product find nearly the same dimension; inner matches better on synthetic data (§G.5)",
        f"largest difference of the dimension above k*: {gap:.2f}; top-1 at {ENOUGH}: "
        f"inner {matching['inner']:.3f}, cosine {matching['default']:.3f}",
        {
            "difference at most .6": gap <= 0.6,
            "inner matches better": matching["inner"] > matching["default"],
        },
    )


def _paper(tables: dict[str, pd.DataFrame], timed: MuData | None) -> Claim:
    claim = "With the paper's own settings (§4, §G.3) the same, and the default recipe matches as well or better"
    matching = {name: by_out_dim(table, "recall_at_1") for name, table in tables.items()}
    if timed is None:
        epochs = f"a quick run stops after {QUICK_EPOCHS} of its {PAPER.max_epochs} epochs"
        return not_run(NAME, claim, f"{epochs} (top-1 {matching['paper'][ENOUGH]:.3f} by then, out_dim {ENOUGH})")
    paper, found = matching["paper"], by_out_dim(tables["paper"], "intrinsic_dimension")
    positive, _ = common.similarities(timed)
    arithmetic = common.dimensions(timed, "arithmetic")
    default = matching["default"].reindex(paper.index)
    return judged(
        NAME,
        claim,
        f"{PAPER.max_epochs} epochs, one fit each, out_dim {' / '.join(map(str, paper.index))}: top-1 "
        f"{listed(paper, 3)} (default recipe {listed(default, 3)}), dimension {listed(found)} (harmonic); at "
        f"{ENOUGH} dimension of x / y {listed(arithmetic)} (arithmetic), median of pairs "
        f"{np.median(positive):.2f}, standard deviation of the norms {max(common.norm_spreads(timed)):.2f}",
        {
            f"x and y within .6 of {N_SHARED} at {ENOUGH}": np.abs(np.subtract(arithmetic, N_SHARED)).max() <= 0.6,
            f"dimension at {ENOUGH} and {MOST} within .5": abs(found[ENOUGH] - found[MOST]) <= 0.5,
            f"98 % of its best top-1 by out_dim {ENOUGH}": saturation(paper) <= ENOUGH,
            "default at least as good at each": bool((default >= paper).all()),
        },
    )


def _draw_sweeps(settings: Settings, mdata: MuData, kind: str) -> None:
    figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
    tables = pd.concat([mdata.uns[f"{kind}_{name}"]["table"] for name in TITLES])
    top = max(8.0, 1.1 * tables.loc[tables["measure"] == "intrinsic_dimension", "value"].max())
    for column, (name, title) in zip(axes.T, TITLES.items(), strict=True):
        clipdim.pl.sweep(mdata, key=f"{kind}_{name}", matching="recall_at_1", ax=column)
        epochs = f", {QUICK_EPOCHS} epochs only" if settings.quick and name == "paper" else ""
        column[0].set_title(title + epochs, loc="left", pad=36, fontsize=10)
        column[0].set(xlim=(0, MOST + 1), ylim=(0, 1.02))
        column[1].set(xlim=(0, MOST + 1), ylim=(0, top))
        column[1].texts[0].xy = (top - 0.5, top - 0.5)  # the name of the diagonal
        column[1].axhline(N_SHARED, color="0.75", linewidth=0.8, zorder=0)
    settings.save(figure, f"{NAME}_{kind}")
