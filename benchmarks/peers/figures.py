"""Figures of the comparison: quality against time, and embeddings side by side."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import scanpy as sc
import seaborn as sns
from anndata import AnnData
from matplotlib.figure import Figure

from benchmarks.peers import peer
from benchmarks.peers.data import DATA
from benchmarks.peers.run import Results

OWN = ("clipdim", "clipdim, 3 epochs", "clipdim, shared + private", "Harmony + clipdim", "scVI + clipdim")
SHOWN = ("clipdim", "clipdim, shared + private", "totalVI", "MOFA+", "WNN", "concatenated PCA")
# the data sets of the figure of UMAPs, and above its peers
DRAWN = ("pbmc10k", "bmcite")
COORDINATES = {"cpu_seconds": "min", "15-NN accuracy": "mean"}
# what takes no time at all is drawn at this many seconds
INSTANT = 2e-3


def draw_scatter(table: pd.DataFrame, path: Path) -> None:
    """Accuracy of new cells against the seconds of the fit, one panel for each data set."""
    names = [name for name in DATA if name in set(table["data"])]
    n_rows = -(-len(names) // 2)
    figure = Figure(figsize=(9.6, 4.2 * n_rows + 1.2), layout="constrained")
    colors = dict(zip(peer.MODULES, sns.color_palette("tab20", len(peer.MODULES)), strict=True))
    handles = {}
    grid = figure.subplots(n_rows, 2, squeeze=False).ravel()
    for axes in grid[len(names) :]:
        axes.remove()
    for axes, data in zip(grid, names, strict=False):
        points = table[table["data"] == data].groupby("peer").agg(COORDINATES).dropna()
        for name in [name for name in peer.MODULES if name in points.index]:
            seconds, accuracy = points.loc[name, list(COORDINATES)]
            own = name in OWN
            handles[name] = axes.scatter(
                *(max(seconds, INSTANT), accuracy),
                color=colors[name],
                s=160 if own else 80,
                marker="*" if own else "o",
                edgecolor="0.2",
                linewidth=0.6,
                zorder=3,
            )
        axes.set(xscale="log", xlabel="seconds of the fit, one core", title=data)
        axes.grid(color="0.9")
        sns.despine(ax=axes)
    figure.supylabel("15-NN accuracy of new cells", fontsize="medium")
    ordered = {name: handles[name] for name in peer.MODULES if name in handles}
    figure.legend(ordered.values(), ordered, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=130)


def draw_embeddings(results: Results, path: Path) -> None:
    """UMAP of embeddings of the first seed, coloured by cell type."""
    mpl.use("Agg")
    table = results.table()
    fitted = table[table["error"].isna() & (table["seed"] == 0) & table["peer"].isin(SHOWN)]
    for row in fitted[fitted["data"].isin(DRAWN)].to_dict("records"):
        if not results.embedding(row).exists():
            print(f"{path.name} stays as it is: {row['peer']} of {row['data']} was not kept, run it --anew")
            return
    found = {data: _coordinates(results, data) for data in DRAWN}
    n_rows = -(-len(SHOWN) // 3)
    figure = Figure(figsize=(13, 3.8 * n_rows * len(found)), layout="constrained")
    for part, (data, of_data) in zip(figure.subfigures(len(found), squeeze=False).flat, found.items(), strict=True):
        labels = DATA[data].load().obs[DATA[data].label].astype(object)
        types = sorted(labels.dropna().unique())
        colors = dict(zip(types, sns.color_palette("husl", len(types)), strict=True))
        for axes, name in zip(part.subplots(n_rows, 3, squeeze=False).flat, SHOWN, strict=False):
            axes.set(xticks=[], yticks=[], title=f"{name}, {data}")
            sns.despine(ax=axes, left=True, bottom=True)
            if name not in of_data:
                axes.text(0.5, 0.5, "cannot run", ha="center", color="0.5", transform=axes.transAxes)
                continue
            known = of_data[name][labels[of_data[name].index].notna()]
            of_cells = labels[known.index].map(colors).tolist()
            axes.scatter(*known.to_numpy().T, c=of_cells, s=1.5, linewidths=0, rasterized=True)
        dots = [axes.scatter([], [], color=color, s=30, label=label) for label, color in colors.items()]
        part.legend(handles=dots, loc="outside right center", frameon=False)
    figure.savefig(path, dpi=110)


def _coordinates(results: Results, data: str) -> dict[str, pd.DataFrame]:
    """UMAP of all cells, of each peer whose embedding or UMAP was kept."""
    found = results.load_embeddings(data, SHOWN, kind="umap")
    for name, embedding in results.load_embeddings(data, SHOWN).items():
        adata = AnnData(obs=pd.DataFrame(index=embedding.index), obsm={"X": embedding.to_numpy(dtype=np.float32)})
        sc.pp.neighbors(adata, use_rep="X", random_state=0)
        sc.tl.umap(adata, random_state=0)
        found[name] = pd.DataFrame(adata.obsm["X_umap"], index=embedding.index)
    return found
