"""Bone-marrow cells, RNA and protein: cell types, matching and dimension against the output dimension."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from mudata import MuData

import clipdim
from benchmarks.paper.claims import Claim, judged, not_run
from benchmarks.paper.settings import DEFAULT, HELD_OUT, INNER, Settings, by_out_dim, listed, saturation
from clipdim.contrast import RECIPES
from clipdim.evaluation import class_scores, knn_labels

NAME = "citeseq"
LABELS = ["celltype_l1", "celltype_l2"]
DIRECTIONS = ["rna to prot", "prot to rna"]
HOLDOUT = 0.3
ENOUGH, MOST = 22, 44
TITLES = {
    "default": "default recipe, cosine",
    "inner": "default recipe, inner",
    "paper": "the paper's recipe (inner)",
}
SATURATES = "Cell-type accuracy and matching, in and out of sample, saturate as out_dim grows (§4.2)"


def run(settings: Settings) -> list[Claim]:
    """Sweep bmcite with both similarities and, in a full run, with the paper's recipe."""
    try:
        mdata = clipdim.datasets.bmcite()
    except clipdim.datasets.DownloadError as error:
        print(error)
        return [not_run(NAME, SATURATES, "the data are not in the cache and cannot be downloaded")]
    clipdim.pp.protein(mdata)
    dims = settings.out_dims
    some = [4, ENOUGH, MOST] if not settings.quick else [ENOUGH]
    plans = {
        "default": ([out_dim for out_dim in dims if out_dim > 1], DEFAULT, settings.repeats(3)),
        "inner": (some if settings.quick else dims[1::3], INNER, 1),
        "paper": (some, RECIPES["paper"], 1),
    }
    if settings.quick:
        del plans["paper"]
    for name, (out_dims, recipe, n_repeats) in plans.items():
        settings.sweep(
            f"bmcite_{name}",
            mdata,
            out_dims,
            recipe=recipe,
            holdout=HOLDOUT,
            n_repeats=n_repeats,
            label_keys=LABELS,
        )
    tables = {name: mdata.uns[f"bmcite_{name}"]["table"] for name in plans}
    _draw(settings, mdata, list(plans))
    claims = [_saturation(tables["default"]), _dimension(tables["default"]), _temperature(tables["default"])]
    claims += [_labels(mdata, tables["default"]), _cosine(tables)]
    paper = "With the paper's own settings (§G.3) the same; the default recipe is as good or better"
    if settings.quick:
        return [*claims, not_run(NAME, paper, "a quick run leaves out the paper's recipe")]
    return [*claims, _paper(paper, tables)]


def _quality(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Measures on held-out cells by ``out_dim``, the mean of both directions."""
    found = {"15-NN level 1": ("accuracy", LABELS[0]), "15-NN level 2": ("accuracy", LABELS[1])}
    found |= {"label match level 1": ("label_match", LABELS[0]), "label match level 2": ("label_match", LABELS[1])}
    found |= {"top-0.5 %": ("top_alpha", "")}
    return {name: by_out_dim(table, measure, label_key=key) for name, (measure, key) in found.items()}


def _saturation(table: pd.DataFrame) -> Claim:
    quality = _quality(table)
    first = {name: saturation(values) for name, values in quality.items()}
    training = by_out_dim(table, "top_alpha", split="train")
    drop = max(1 - values[MOST] / values.max() for values in quality.values())
    return judged(
        NAME,
        SATURATES,
        f"default recipe, held out, mean of {table['repeat'].nunique()}: "
        + "; ".join(
            f"{name} {values[ENOUGH]:.3f} at {ENOUGH}, {values[MOST]:.3f} at {MOST}, 98 % of the best at {first[name]}"
            for name, values in quality.items()
        )
        + f"; top-0.5 % of training cells {training[ENOUGH]:.3f} and {training[MOST]:.3f}",
        {
            f"98 % of the best by out_dim {ENOUGH}, all measures": max(first.values()) <= ENOUGH,
            f"within 2 % of the best at {MOST}": drop <= 0.02,
        },
    )


def _dimension(table: pd.DataFrame) -> Claim:
    rows = table.query("measure == 'intrinsic_dimension'")
    means = rows.groupby(["modality", "out_dim"])["value"].mean().unstack("out_dim")
    change = (means[MOST] / means[ENOUGH] - 1).abs().max()
    return judged(
        NAME,
        "The intrinsic dimension stays far below the output dimension, however large that is (§4.2)",
        "; ".join(
            f"{name} {row[ENOUGH]:.2f} at {ENOUGH}, {row[MOST]:.2f} at {MOST}, highest {row.max():.2f}"
            for name, row in means.iterrows()
        )
        + " (harmonic)",
        {
            f"below half of out_dim at {ENOUGH}": means[ENOUGH].max() < ENOUGH / 2,
            f"{ENOUGH} and {MOST} within 10 %": change <= 0.1,
        },
    )


def _temperature(table: pd.DataFrame) -> Claim:
    temperature = by_out_dim(table, "temperature")
    return judged(
        NAME,
        "The temperature converges to 0 for each output dimension (§G.4)",
        f"default recipe, from {DEFAULT.initial_temperature:g} to {temperature[ENOUGH]:.3f} at {ENOUGH} and "
        f"{temperature[MOST]:.3f} at {MOST}",
        {"all below .02": temperature.max() <= 0.02},
    )


def _labels(mdata: MuData, table: pd.DataFrame) -> Claim:
    """All combinations of direction and level, and 15-NN against the same of the inputs."""
    rows = table[(table["split"] == HELD_OUT) & (table["out_dim"] == ENOUGH)]
    found = rows.groupby(["measure", "label_key", "modality"])["value"].mean()
    match = [(level, way, found["label_match", key, way]) for level, key in enumerate(LABELS, 1) for way in DIRECTIONS]
    accuracy = [found["accuracy", key, "joint"] for key in LABELS]
    inputs = [_accuracy_of_inputs(mdata, key) for key in LABELS]
    largest = [mdata.obs[key].value_counts(normalize=True).max() for key in LABELS]
    return judged(
        NAME,
        "The representations hold what tells the cell types apart, at both levels (§4.2)",
        f"out_dim {ENOUGH}: label match "
        + ", ".join(f"{way} level {level} {value:.3f}" for level, way, value in match)
        + f" (largest type {listed(largest, 3)}); 15-NN {listed(accuracy, 3)}, of both inputs side by side "
        f"{listed(inputs, 3)}",
        {
            "label match above twice the largest type's share, or .9": all(
                value >= min(2 * largest[level - 1], 0.9) for level, _, value in match
            ),
            "15-NN at least 98 % of the inputs'": bool(np.all(np.divide(accuracy, inputs) >= 0.98)),
        },
    )


def _accuracy_of_inputs(mdata: MuData, label_key: str) -> float:
    """15-NN accuracy of RNA and protein representations, each scaled, side by side; as many cells held out."""
    parts = [mdata["rna"].X, mdata["prot"].obsm["X_pca"]]
    X = np.hstack([(part - part.mean(axis=0)) / part.std() for part in parts])
    order = np.random.default_rng(0).permutation(len(X))
    test, train = np.split(order, [int(HOLDOUT * len(X))])
    labels = mdata.obs[label_key].astype(str).to_numpy()
    predicted = knn_labels(X[train], labels[train], X[test])
    return float(class_scores(labels[test], predicted).overall)


def _cosine(tables: dict[str, pd.DataFrame]) -> Claim:
    found = {name: {key: of[ENOUGH] for key, of in _quality(tables[name]).items()} for name in ("default", "inner")}
    dimension = {name: by_out_dim(tables[name], "intrinsic_dimension")[ENOUGH] for name in found}
    gap = max(abs(found["default"][key] - found["inner"][key]) for key in found["inner"] if key != "top-0.5 %")
    return judged(
        NAME,
        "Cosine matches better than the inner product here; cell types and dimension are comparable (§G.5)",
        f"out_dim {ENOUGH}, cosine / inner: "
        + ", ".join(f"{key} {listed([found['default'][key], found['inner'][key]], 3)}" for key in found["inner"])
        + f", dimension {listed(dimension.values())}",
        {
            "cosine matches better": found["default"]["top-0.5 %"] > found["inner"]["top-0.5 %"],
            "cell types within .02": gap <= 0.02,
            "dimensions within 10 %": abs(dimension["default"] / dimension["inner"] - 1) <= 0.1,
        },
    )


def _paper(claim: str, tables: dict[str, pd.DataFrame]) -> Claim:
    paper, default = _quality(tables["paper"]), _quality(tables["default"])
    dims = paper["top-0.5 %"].index
    dimension = by_out_dim(tables["paper"], "intrinsic_dimension")
    return judged(
        NAME,
        claim,
        f"{RECIPES['paper'].max_epochs} epochs, one fit each, out_dim {' / '.join(map(str, dims))} (default recipe): "
        + "; ".join(f"{key} {listed(of, 3)} ({listed(default[key][dims], 3)})" for key, of in paper.items())
        + f"; dimension {listed(dimension)}; τ {listed(by_out_dim(tables['paper'], 'temperature'), 3)}",
        {
            f"dimension at {ENOUGH} and {MOST} within 10 %": abs(dimension[MOST] / dimension[ENOUGH] - 1) <= 0.1,
            f"98 % of its best by out_dim {ENOUGH}": max(map(saturation, paper.values())) <= ENOUGH,
            "default at least as good at each": all((default[key][dims] >= of).all() for key, of in paper.items()),
        },
    )


def _draw(settings: Settings, mdata: MuData, names: list[str]) -> None:
    figure = clipdim.pl.sweep(mdata, key="bmcite_default")[0].figure
    settings.save(figure, NAME)
    values = pd.concat([mdata.uns[f"bmcite_{name}"]["table"] for name in names]).groupby("measure")["value"].max()
    tops = [1.02, 1.02, 1.1 * values["top_alpha"], 1.4 * values["intrinsic_dimension"]]
    figure, axes = plt.subplots(4, len(names), figsize=(4.2 * len(names), 12), layout="constrained", sharey="row")
    for column, name in zip(axes.T, names, strict=True):
        found = mdata.uns[f"bmcite_{name}"]
        fine = {**found["settings"], "label_keys": np.array(LABELS[1:], dtype=object)}
        mdata.uns["drawn"] = {**found, "settings": fine}
        clipdim.pl.sweep(mdata, key="drawn", ax=column)
        column[0].set_title(TITLES[name], loc="left", pad=22, fontsize=10)
        column[-1].texts[0].xy = (tops[-1] - 1, tops[-1] - 1)  # the name of the diagonal
        for ax, top in zip(column, tops, strict=True):
            ax.set(xlim=(0, MOST + 1), ylim=(0, top))
    settings.save(figure, f"{NAME}_recipes")
