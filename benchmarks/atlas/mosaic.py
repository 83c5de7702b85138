"""
Cells that lack a modality among cells that have both, and how well they mix by cell type in the joint embedding.

``python -m benchmarks.atlas.mosaic`` fits the 1,600 blood cells of ``clipdim.datasets.pbmc_mosaic`` (two donors with
RNA and proteins, one with RNA only, one with proteins only) with several preprocessings, writes ``mosaic.md`` with ways
to combine the modalities' embeddings, ``mosaic_settings.md`` with the settings, and draws ``docs/_static/mosaic.png``.

The measures: cell types (8) by 15 neighbours from one set of cells to another; "like with like" is the same from the
paired cells' embedding of that modality alone, which no gap between modalities can harm. How well 15 neighbours name
what a cell has (RNA, proteins, both), balanced, within cell types: .333 is chance, that is, perfectly mixed. Between
the two donors with one modality it is .5. Both donors and modalities differ there; "held-out gap" is the latter alone:
held-out cells of the paired donors, a half by their RNA and a half by their proteins. Offset: mean distance of a cell
type's centres, RNA only and proteins only, over that between cell types.
"""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from mudata import MuData
from sklearn.linear_model import Ridge

import clipdim
from benchmarks.shared import command, figures, tables
from benchmarks.shared.data import preprocess
from benchmarks.shared.scores import knn_accuracy
from clipdim.evaluation import class_scores, knn_labels

HOLDOUT = 0.2
LEAST = 15
SETTINGS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "all 223 protein components": ({}, {}),
    "50": ({"n_comps_protein": 50}, {}),
    "30": ({"n_comps_protein": 30}, {}),
    "15": ({"n_comps_protein": 15}, {}),
    "30, preprocessing within donors": ({"n_comps_protein": 30, "batch_key": "donor"}, {}),
    "30, fit within donors": ({"n_comps_protein": 30}, {"batch_key": "donor"}),
    "30, both within donors": ({"n_comps_protein": 30, "batch_key": "donor"}, {"batch_key": "donor"}),
}
STUDIED = "30, preprocessing within donors"
PENALTY = 1e-2


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of norm 1."""
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def as_fitted(u: np.ndarray, v: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings as they are."""
    return u, v


def centred(u: np.ndarray, v: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Less each modality's mean over the paired training cells, norm 1 again."""
    return unit(u - u[train].mean(axis=0)), unit(v - v[train].mean(axis=0))


def rotated(u: np.ndarray, v: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RNA turned towards the proteins by orthogonal Procrustes on the paired training cells."""
    left, _, right = np.linalg.svd(u[train].T @ v[train])
    return u @ left @ right, v


def completed(u: np.ndarray, v: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predict a missing embedding linearly from the other, learned on the paired training cells."""
    u, v = u.copy(), v.copy()
    lacks_u, lacks_v = np.isnan(u).any(axis=1), np.isnan(v).any(axis=1)
    penalty = PENALTY * train.sum()
    of_u = Ridge(alpha=penalty).fit(v[train], u[train]).predict(v[lacks_u])
    of_v = Ridge(alpha=penalty).fit(u[train], v[train]).predict(u[lacks_v])
    u[lacks_u], v[lacks_v] = of_u, of_v
    return u, v


def of_all_cells(mdata: MuData, name: str) -> np.ndarray:
    """Embedding of a modality, NaN for cells without it, (cells x dimensions)."""
    values = pd.DataFrame(mdata[name].obsm["X_clipdim"], index=mdata[name].obs_names)
    return values.reindex(mdata.obs_names).to_numpy(dtype=np.float64)


def joint(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Mean over the modalities that a cell has."""
    return np.nanmean(np.stack([u, v]), axis=0)


WAYS: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "as fitted": as_fitted,
    "centred": centred,
    "rotated": rotated,
    "completed": completed,
}


def skill(points: np.ndarray, codes: np.ndarray, types: np.ndarray) -> float:
    """Balanced accuracy of naming the code by 15 neighbours of the cell's own type, mean over the types."""
    found = []
    for label in np.unique(types):
        own = types == label
        if min((codes[own] == code).sum() for code in np.unique(codes)) >= LEAST:
            predicted = knn_labels(points[own], codes[own])
            found.append(class_scores(codes[own], predicted).balanced)
    return float(np.mean(found))


def measure(mdata: MuData, way: str, scaled: bool) -> dict[str, float]:
    """Measures of one way to combine the modalities' embeddings."""
    split, types = (mdata.obs[name].to_numpy().astype(str) for name in ("clipdim_split", "cell_type"))
    train, held_out = split == "train", np.flatnonzero(split == "held-out")
    raw = [of_all_cells(mdata, name) for name in ("rna", "prot")]
    u, v = WAYS[way](*raw, train)
    points = unit(joint(u, v)) if scaled else joint(u, v)
    has_rna, has_protein = (~np.isnan(x).any(axis=1) for x in raw)
    both, rna, protein = has_rna & has_protein, ~has_protein, ~has_rna

    def transfer(known: np.ndarray, new: np.ndarray, x: np.ndarray = points, y: np.ndarray = points) -> float:
        return knn_accuracy(x[known], types[known], new=y[new], truth=types[new])

    # held-out cells as if they lacked a modality, each half another one
    masked = [x.copy() for x in raw]
    half, other = np.array_split(np.random.default_rng(0).permutation(held_out), 2)
    masked[1][half], masked[0][other] = np.nan, np.nan
    hidden = joint(*WAYS[way](*masked, train))
    hidden = unit(hidden) if scaled else hidden
    alone = rna | protein
    centres = {
        (which, label): points[cells & (types == label)].mean(axis=0)
        for which, cells in (("rna", rna), ("protein", protein))
        for label in np.unique(types)
        if min((rna & (types == label)).sum(), (protein & (types == label)).sum()) >= LEAST
    }
    labels = [label for which, label in centres if which == "rna"]
    apart = [np.linalg.norm(centres["rna", a] - centres["protein", a]) for a in labels]
    between = [np.linalg.norm(centres["rna", a] - centres["rna", b]) for a in labels for b in labels if a != b]
    in_half = np.isin(held_out, half)
    return {
        "paired to RNA only": transfer(both, rna),
        "like with like, RNA": transfer(both, rna, raw[0], raw[0]),
        "paired to proteins only": transfer(both, protein),
        "like with like, proteins": transfer(both, protein, raw[1], raw[1]),
        "RNA only to proteins only": transfer(rna, protein),
        "proteins only to RNA only": transfer(protein, rna),
        "names what a cell has": skill(points, has_rna + 2 * has_protein, types),
        "RNA only or proteins only": skill(points[alone], rna[alone].astype(int), types[alone]),
        "held-out gap": skill(hidden[held_out], in_half.astype(int), types[held_out]),
        "offset": float(np.mean(apart) / np.mean(between)),
    }


def fit(setting: str, seed: int) -> MuData:
    """Preprocess and fit."""
    preprocessing, arguments = SETTINGS[setting]
    mdata = clipdim.datasets.pbmc_mosaic()
    preprocess(mdata, **preprocessing)
    clipdim.tl.fit(mdata, holdout=HOLDOUT, random_state=seed, progress=False, **arguments)
    return mdata


def draw(mdata: MuData) -> None:
    """UMAP of the joint embedding by what a cell has and by its type."""
    sc.pp.neighbors(mdata, use_rep="X_clipdim", random_state=0)
    sc.tl.umap(mdata, random_state=0)
    names = {"p1_0": "RNA only", "p2_0": "proteins only", "p3_0": "both, donor p3", "p4_0": "both, donor p4"}
    mdata.obs["modalities"] = pd.Categorical(mdata.obs["donor"].astype(str).map(names), categories=names.values())
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    order = np.random.default_rng(0).permutation(mdata.n_obs)
    for ax, column, title in zip(axes, ("modalities", "cell_type"), ("what a cell has", "cell type"), strict=True):
        classes = mdata.obs[column].cat.categories
        colors = plt.get_cmap("tab10").colors
        codes = mdata.obs[column].cat.codes.to_numpy()
        ax.scatter(*mdata.obsm["X_umap"][order].T, s=6, c=np.array(colors)[codes[order]], linewidths=0, alpha=0.8)
        for code, name in enumerate(classes):
            ax.scatter([], [], s=24, color=colors[code], label=name)
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        ax.set(title=title, xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    figures.save(figure, "mosaic", dpi=110)


def main() -> None:
    """Write the tables and draw the figure."""
    arguments = command.parser(__doc__, seeds=[0, 1, 2]).parse_args()
    command.quiet_on_one_thread()
    settings, ways = {}, {}
    for setting in SETTINGS:
        rows = []
        for seed in arguments.seeds:
            mdata = fit(setting, seed)
            matching = clipdim.tl.match(mdata).query("split == 'held-out'")["foscttm"].mean()
            dimension = mdata.uns["clipdim"]["pairs"]["intrinsic_dimension"].item()
            found = {"FOSCTTM": matching, "shared dimension": dimension}
            rows.append(found | measure(mdata, "as fitted", False))
            if setting == STUDIED:
                for way in WAYS:
                    for scaled in (False, True):
                        name = way + ", norm 1" * scaled
                        ways.setdefault(name, []).append(measure(mdata, way, scaled))
                if seed == arguments.seeds[0]:
                    draw(mdata)
        settings[setting] = pd.DataFrame(rows).mean()
        print(setting, settings[setting].round(3).to_dict(), flush=True)
    seeds = ", ".join(map(str, arguments.seeds))
    note = f"1,600 PBMC of four donors, a fifth of the paired cells held out, mean of the seeds {seeds}."
    for name, columns, what in (
        ("mosaic_settings", settings, "joint embedding as fitted, by protein components and batch_key"),
        ("mosaic", {way: pd.DataFrame(rows).mean() for way, rows in ways.items()}, STUDIED),
    ):
        table = pd.DataFrame(columns).map("{:.3f}".format).rename_axis(what).reset_index()
        tables.write(Path(__file__).with_name(f"{name}.md"), table, note=note)


if __name__ == "__main__":
    main()
