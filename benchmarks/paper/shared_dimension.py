"""Data with 2, 5 and 10 shared dimensions told apart, and data that share nothing."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from mudata import MuData

import clipdim
from benchmarks.paper.claims import Claim, judged
from benchmarks.paper.settings import DEFAULT, N_TEST, Settings, held_out, synthetic, top_1
from clipdim.dimension import mle

NAME = "shared_dimension"
OUT_DIM = 22
SHARED = (2, 5, 10)


def run(settings: Settings) -> list[Claim]:
    """Fit each number of shared dimensions several times."""
    jobs = list(product((*SHARED, 0), range(settings.repeats(3))))
    fits = settings.in_parallel(fit, jobs)
    rows = pd.DataFrame([measure(mdata, *job) for mdata, job in zip(fits, jobs, strict=True)])
    unrelated = fits[jobs.index((0, 0))]
    _draw(settings, rows, unrelated)
    return [_told_apart(rows), _nothing(rows)]


def fit(n_shared: int, seed: int) -> MuData:
    """Simulate and fit."""
    mdata, holdout = synthetic("linear", DEFAULT, n_shared=n_shared, random_state=seed)
    clipdim.tl.fit(mdata, OUT_DIM, holdout=holdout, random_state=seed, progress=False)
    return mdata


def measure(mdata: MuData, n_shared: int, seed: int) -> dict[str, float | str]:
    """Measure a fit; the true latent variables of the same held-out cells are the yardstick."""
    dimension = mdata.uns["clipdim"]["intrinsic_dimension"]
    check = clipdim.tl.diagnose(mdata).checks.set_index("check").loc["matching"]
    return {
        "n_shared": n_shared,
        "seed": seed,
        "truth": mle(mdata.obsm["shared"][held_out(mdata)]) if n_shared else np.nan,
        **{f"{name}_{field}": dimension[name][field] for name in dimension for field in ("estimate", "low", "high")},
        "top_1": top_1(mdata),
        "verdict": check["verdict"],
        "foscttm": check["value"],
        "reading": check["reading"],
    }


def _told_apart(rows: pd.DataFrame) -> Claim:
    rows = rows[rows["n_shared"] > 0]
    by_shared = rows.groupby("n_shared")
    ranges = by_shared.agg(low=("joint_low", "min"), high=("joint_high", "max"))
    means = by_shared[["joint_estimate", "truth", "top_1"]].mean()
    off = (rows["joint_estimate"] / rows["truth"] - 1).abs().max()
    return judged(
        NAME,
        "The dimension found is that of what is shared (§3.2); here k* = 2, 5, 10, linear",
        f"joint embedding, out_dim {OUT_DIM}, {rows['seed'].nunique()} of each, harmonic: "
        + "; ".join(
            f"k* = {n_shared}: {row.joint_estimate:.2f} ({ranges.low[n_shared]:.2f} to {ranges.high[n_shared]:.2f}), "
            f"the true latent variables read as {row.truth:.2f}, top-1 {row.top_1:.2f}"
            for n_shared, row in means.iterrows()
        ),
        {
            "intervals apart and in order": bool((ranges["high"].to_numpy()[:-1] < ranges["low"].to_numpy()[1:]).all()),
            "each within 20 % of the true latent variables'": off <= 0.2,
        },
    )


def _nothing(rows: pd.DataFrame) -> Claim:
    rows = rows[rows["n_shared"] == 0]
    chance = 1 / N_TEST
    bound = chance + 4 * np.sqrt(chance / (2 * N_TEST))
    return judged(
        NAME,
        "Control, not in the paper: where nothing is shared, no shared dimension is claimed",
        f"top-1 {rows['top_1'].max():.4f} (chance {chance:.4f}), FOSCTTM {rows['foscttm'].min():.3f}, dimension "
        f"{rows['joint_estimate'].mean():.1f}, which is that of noise; tl.diagnose: {rows['reading'].iloc[0]!r}",
        {
            "tl.diagnose warns each time": bool((rows["verdict"] == "warning").all()),
            f"top-1 below {bound:.4f}, 4 standard errors above chance": rows["top_1"].max() <= bound,
        },
    )


def _draw(settings: Settings, rows: pd.DataFrame, unrelated: MuData) -> None:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.9), layout="constrained")
    colors = {"x": "#0072B2", "y": "#E69F00", "joint": "#000000"}
    for place, (name, color) in enumerate(colors.items()):
        shift = 0.16 * (place - 1)
        estimate = rows[f"{name}_estimate"]
        error = np.abs(rows[[f"{name}_low", f"{name}_high"]].to_numpy().T - estimate.to_numpy())
        at = rows["n_shared"].map({0: 0, 2: 1, 5: 2, 10: 3}) + shift
        left.errorbar(at, estimate, yerr=error, fmt="o", color=color, markersize=4, capsize=2, label=name)
    for place, n_shared in enumerate(SHARED, start=1):
        truth = rows.loc[rows["n_shared"] == n_shared, "truth"].mean()
        label = "true latent variables" if place == 1 else None
        left.hlines(truth, place - 0.35, place + 0.35, color="#8C8C8C", linestyle="--", label=label)
    left.set_xticks(range(4), ["nothing", *map(str, SHARED)])
    left.set(xlabel="shared dimensions", ylabel="intrinsic dimension (MLE)", ylim=(0, None))
    left.legend(frameon=False, fontsize=9, loc="upper center")
    matching = rows.groupby("n_shared")["top_1"].agg(["mean", "min", "max"])
    middle.bar(range(len(matching)), matching["mean"], color="#D55E00", width=0.6)
    for place, (value, low, high) in enumerate(matching.to_numpy()):
        spread = f"\n{low:.3f} to {high:.3f}" if high - low >= 0.001 else ""
        middle.annotate(
            f"{value:.3f}{spread}", (place, value), (0, 3), textcoords="offset points", ha="center", fontsize=9
        )
    middle.set_xticks(range(len(matching)), ["nothing", *map(str, SHARED)])
    middle.set(xlabel="shared dimensions", ylabel="top-1 matching, 2,000 held-out cells", ylim=(0, 1.15))
    clipdim.pl.similarity(unrelated, ax=right)
    right.set_xlabel("similarity of x and y, nothing shared")
    for ax in (left, middle):
        ax.spines[["top", "right"]].set_visible(False)
    settings.save(figure, NAME)
