"""
Whether the intrinsic dimension tells populations of bone-marrow cells apart, and what else could make it differ.

``python -m benchmarks.dimension.by_group`` writes

- ``by_group.md``: dimension of each lineage and of the larger cell types, the mean over fits and their
  standard deviation, beside what else could make it differ: how well RNA and protein of a cell find each other within
  the group, and the dimension of the joint embedding when they are those of two cells of the group;
- ``by_group_noise.md``: differences between groups beside those between draws, fits, halves of a group,
  and groups drawn at random;

and draws ``docs/_static/dimension_by_group.png``. Half of the cells are held out, and measured.
``known_by_group.py`` does the same where the truth is known.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from mudata import MuData

import clipdim
from benchmarks.shared import command, figures, tables
from benchmarks.shared.data import bmcite
from clipdim.dimension import estimate_in_parts

LEVELS = {"celltype_l1": "lineage", "celltype_l2": "cell type"}
LEAST = 100
HOLDOUT = 0.5
N_HALVES, N_DRAWS, N_PERMUTED = 10, 5, 100


class Fitted:
    """Embeddings and labels of the held-out cells of one fit, in groups of at least 100 cells."""

    def __init__(self, mdata: MuData, label_key: str, modalities: tuple[str, str] = ("rna", "prot")) -> None:
        labels = mdata.obs[label_key].astype(str).to_numpy()
        held_out = (mdata.obs["clipdim_split"] == "held-out").to_numpy()
        sizes = pd.Series(labels[held_out]).value_counts()
        kept = held_out & np.isin(labels, sizes[sizes >= LEAST].index)
        self.labels, self.n_at_a_time = labels[kept], int(sizes[sizes >= LEAST].min())
        self.joint = mdata.obsm["X_clipdim"][kept]
        self.first, self.second = (mdata[name].obsm["X_clipdim"][kept] for name in modalities)
        self.obs = mdata.obs[kept]

    def groups(self) -> np.ndarray:
        """Names of the groups."""
        return np.unique(self.labels)


def by_group(points: np.ndarray, labels: np.ndarray, n_at_a_time: int, seed: int = 0) -> pd.Series:
    """Dimension of each group from equally many cells at a time."""
    names = np.unique(labels)
    found = [estimate_in_parts(points[labels == name], n_at_a_time, random_state=seed).estimate for name in names]
    return pd.Series(found, index=names)


def partner_rank(fitted: Fitted, seed: int = 0) -> pd.Series:
    """Median rank of a cell's own partner among equally many cells of its group; 1 is the nearest."""
    rng, n = np.random.default_rng(seed), fitted.n_at_a_time
    medians = {}
    for name in fitted.groups():
        rows = rng.permutation(np.flatnonzero(fitted.labels == name))
        ranks = []
        for part in rows[: len(rows) // n * n].reshape(-1, n):
            similarity = fitted.first[part] @ fitted.second[part].T
            ranks.append(1 + (similarity > similarity.diagonal()[:, None]).sum(axis=1))
        medians[name] = float(np.median(ranks))
    return pd.Series(medians)


def other_partners(fitted: Fitted, seed: int = 0) -> np.ndarray:
    """Joint embedding of each cell's first modality and the second one of another cell of its group."""
    rng, second = np.random.default_rng(seed), fitted.second.copy()
    for name in fitted.groups():
        rows = np.flatnonzero(fitted.labels == name)
        second[rows] = second[rng.permutation(rows)]
    return (fitted.first + second) / 2


def halves(fitted: Fitted, side: np.ndarray) -> pd.DataFrame:
    """Dimension of both sides of each group, NaN where one is too small; as many cells of all sides."""
    labels = pd.Series(fitted.labels).str.cat(side.astype(str), sep="|")
    sizes = labels.value_counts()
    labels = labels.where(labels.map(sizes) >= LEAST // 2)
    known = labels.notna().to_numpy()
    found = by_group(fitted.joint[known], labels[known].to_numpy(), int(sizes[sizes >= LEAST // 2].min()))
    found.index = pd.MultiIndex.from_tuples([name.split("|") for name in found.index])
    return found.unstack().dropna()


def measure(fits: list[MuData], label_key: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Rows of the groups, and the sizes of what makes their dimensions differ."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[pd.Series]] = {}
    spreads: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        spreads.setdefault(name, []).append(value)

    for mdata in fits:
        fitted = Fitted(mdata, label_key)
        n = fitted.n_at_a_time
        joint = by_group(fitted.joint, fitted.labels, n)
        found = {"joint": joint, "cells": pd.Series(fitted.labels).value_counts(), "n": pd.Series(n, joint.index)}
        found |= {"rna": by_group(fitted.first, fitted.labels, n), "prot": by_group(fitted.second, fitted.labels, n)}
        found["shuffled"] = by_group(other_partners(fitted), fitted.labels, n)
        found["rank"] = partner_rank(fitted)
        clipdim.tl.intrinsic_dimension(mdata, key_added="dimension")
        found["around"] = 1 / (1 / mdata.obs["dimension"]).groupby(mdata.obs[label_key].astype(str)).mean()[joint.index]
        for name, values in found.items():
            columns.setdefault(name, []).append(values)
        note("groups", joint.std())
        draws = [by_group(fitted.joint, fitted.labels, n, seed) for seed in range(N_DRAWS)]
        note("draws", np.sqrt(pd.concat(draws, axis=1).var(axis=1).mean()))
        for _ in range(N_HALVES):
            sides = halves(fitted, rng.random(len(fitted.labels)) < 0.5)
            note("halves", np.sqrt((sides.diff(axis=1).iloc[:, -1] ** 2 / 2).mean()))
            note("rank of halves", sides.corr("spearman").iloc[0, 1])
        donors = halves(fitted, fitted.obs["donor"].astype(str).to_numpy())
        note("donors", np.sqrt((donors.diff(axis=1).iloc[:, -1] ** 2 / 2).mean()))
        note("rank of donors", donors.corr("spearman").iloc[0, 1])
        for _ in range(N_PERMUTED):
            note("random", by_group(fitted.joint, rng.permutation(fitted.labels), n).std())
        note("with rank", joint.corr(found["rank"], method="spearman"))
        note("with shuffled", joint.corr(found["shuffled"], method="spearman"))
        note("with around", joint.corr(found["around"], method="spearman"))
    means = {name: pd.concat(values, axis=1).mean(axis=1) for name, values in columns.items()}
    common = pd.concat(columns["joint"], axis=1).dropna()
    note("fits", float(np.sqrt(common.var(axis=1).mean())))
    between = common.corr("spearman").to_numpy()[np.triu_indices(len(fits), 1)]
    spread = common.std(axis=1)
    rows = pd.DataFrame(means).loc[common.index].sort_values("joint", ascending=False)
    table = pd.DataFrame(
        {
            LEVELS[label_key]: rows.index,
            "held-out cells": rows["cells"].map("{:,.0f}".format),
            "joint": [f"{rows.loc[name, 'joint']:.1f} (sd {spread[name]:.1f})" for name in rows.index],
            "RNA": rows["rna"].map("{:.1f}".format),
            "protein": rows["prot"].map("{:.1f}".format),
            "joint, partners exchanged": rows["shuffled"].map("{:.1f}".format),
            "rank of the partner": [f"{row['rank']:.0f} of {row['n']:.0f}" for _, row in rows.iterrows()],
            "joint, neighbours from all cells": rows["around"].map("{:.1f}".format),
        }
    )
    mean = {name: float(np.mean(values)) for name, values in spreads.items()}
    as_large = np.mean(np.array(spreads["random"]) >= min(spreads["groups"]))
    noise = {
        "groups": f"{len(common)}, {rows['n'].mean():.0f} cells of each at a time",
        "sd between groups": f"{mean['groups']:.2f}",
        "sd between draws of one group's cells": f"{mean['draws']:.2f}",
        "sd between fits": f"{mean['fits']:.2f}",
        "sd between random halves of a group": f"{mean['halves']:.2f}",
        "sd between the two donors' cells of a group": f"{mean['donors']:.2f}",
        "sd between groups drawn at random from all cells": f"{mean['random']:.2f}",
        "share of random labels with a spread as large": f"{as_large:.3f} of {len(spreads['random'])}",
        "rank correlation between fits, the lowest": f"{between.min():.2f}",
        "rank correlation between halves": f"{mean['rank of halves']:.2f}",
        "rank correlation between donors": f"{mean['rank of donors']:.2f}",
        "rank correlation with the rank of the partner": f"{mean['with rank']:.2f}",
        "rank correlation with the dimension of exchanged partners": f"{mean['with shuffled']:.2f}",
        "rank correlation with the mean around the group's cells": f"{mean['with around']:.2f}",
    }
    return table, noise


def draw(mdata: MuData) -> None:
    """Lineages, cell types and the map of one fit."""
    sc.pp.neighbors(mdata, use_rep="X_clipdim")
    sc.tl.umap(mdata)
    figure = plt.figure(figsize=(15, 8), layout="constrained")
    axes = figure.subplot_mosaic([["l1", "l2"], ["map", "l2"]], height_ratios=[2, 3])
    clipdim.tl.intrinsic_dimension(mdata, key_added="local")
    for panel, label_key in zip(("l1", "l2"), LEVELS, strict=True):
        clipdim.tl.intrinsic_dimension(mdata, groupby=label_key, n_per_group="equal", key_added=panel)
        clipdim.pl.intrinsic_dimension(mdata, groupby=label_key, key=panel, ax=axes[panel])
    clipdim.pl.intrinsic_dimension(mdata, basis="X_umap", key="local", ax=axes["map"])
    figures.save(figure, "dimension_by_group", dpi=110)


def main() -> None:
    """Write the tables and draw the figure."""
    arguments = command.parser(__doc__, seeds=[0, 1, 2]).parse_args()
    command.quiet()
    fits = []
    for seed in arguments.seeds:
        fits.append(bmcite())
        clipdim.tl.fit(fits[-1], holdout=HOLDOUT, random_state=seed, progress=False)
    parts, noise = zip(*(measure(fits, label_key) for label_key in LEVELS), strict=True)
    rows = pd.concat([part.rename(columns={LEVELS[key]: "group"}) for key, part in zip(LEVELS, parts, strict=True)])
    seeds = ", ".join(map(str, arguments.seeds))
    note = f"bmcite, half of the cells held out, seeds {seeds}; groups of at least {LEAST} held-out cells."
    tables.write(Path(__file__).with_name("by_group.md"), rows, note=note)
    spread = pd.DataFrame({LEVELS[key]: found for key, found in zip(LEVELS, noise, strict=True)})
    tables.write(Path(__file__).with_name("by_group_noise.md"), spread.rename_axis("").reset_index(), note=note)
    draw(fits[0])


if __name__ == "__main__":
    main()
