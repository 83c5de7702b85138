"""
What ``batch_key`` does to two 10x runs with a strong batch effect: ``batches.md`` and ``scib.md``.

Run by ``CLIPDIM_TWO_RUNS=pbmc10k_5k.h5mu python -m benchmarks.batches``. 30 % of the cells are held out. The run is
named by 15 neighbours of held-out cells among training cells (the share of the larger run is what guessing gives).
Cell types are transferred by 15 neighbours from all labelled cells of one run to all of the other; within a run from
its training to its held-out cells. ``--cells 700 6000`` compares the recipes on fewer cells, with the key in both:
``few_cells.md``. The scores of scib-metrics are of all labelled cells; they need the extra ``peers``.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData

import clipdim
from benchmarks.shared import command, tables
from benchmarks.shared.scib import scib_scores
from benchmarks.shared.scores import knn_accuracy
from benchmarks.shared.two_runs import two_runs
from clipdim.contrast import RECIPES

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
COLUMNS = ["batch_key of pp.citeseq", "of tl.fit"]


def measures(mdata: MuData) -> dict[str, float]:
    """Accuracies by 15 neighbours in the joint embedding."""
    joint = np.asarray(mdata.obsm["X_clipdim"])
    split, batch = mdata.obs["clipdim_split"], mdata.obs["batch"].astype(str).to_numpy()
    labels = mdata.obs["cell_type"].astype(object).fillna("").to_numpy().astype(str)
    train, held_out = (split == "train").to_numpy(), (split == "held-out").to_numpy()

    def accuracy(known: np.ndarray, asked: np.ndarray, names: np.ndarray) -> float:
        return knn_accuracy(joint[known], names[known], new=joint[asked], truth=names[asked])

    large, small = (labels != "") & (batch == "pbmc10k"), (labels != "") & (batch == "pbmc5k")
    return {
        "run named": accuracy(train, held_out, batch),
        "types, 10k to 5k": accuracy(large, small, labels),
        "types, 5k to 10k": accuracy(small, large, labels),
        "types within 10k": accuracy(large & train, large & held_out, labels),
        "types within 5k": accuracy(small & train, small & held_out, labels),
    }


def side_by_side(mdata: MuData) -> np.ndarray:
    """Components of both modalities, each modality of the same variance."""
    return np.hstack([adata.obsm["X_pca"] / adata.obsm["X_pca"].std() for adata in mdata.mod.values()])


def few_cells(raw: MuData, sizes: list[int]) -> None:
    """Compare the recipes "default" and "batches" on random cells, preprocessed and fitted within runs."""
    rows = []
    for n_cells in sizes:
        mdata = raw[np.random.default_rng(0).permutation(raw.n_obs)[:n_cells]].copy()
        clipdim.pp.citeseq(mdata, batch_key="batch")
        for recipe in ("default", "batches"):
            found = []
            for seed in SEEDS:
                clipdim.tl.fit(
                    mdata, batch_key="batch", recipe=RECIPES[recipe], holdout=0.3, random_state=seed, progress=False
                )
                dimension = mdata.uns["clipdim"]["intrinsic_dimension"]["joint"]["estimate"]
                matching = clipdim.tl.match(mdata).query("split == 'held-out'")["top_alpha"].mean()
                found.append({"intrinsic dimension": dimension, "top-0.5 %": matching, **measures(mdata)})
            means = pd.DataFrame(found).mean().map("{:.3f}".format)
            means["intrinsic dimension"] = means["intrinsic dimension"][:-2]
            rows.append({"cells": f"{n_cells:,}", "recipe": recipe, **means})
            print(rows[-1], flush=True)
    note = f"Mean of {len(SEEDS)} seeds."
    tables.write(HERE / "few_cells.md", pd.DataFrame(rows), note=note)


def main() -> None:
    """Fit with and without the key, in preprocessing and in training."""
    parser = command.parser(__doc__)
    parser.add_argument("--cells", type=int, nargs="+")
    sizes = parser.parse_args().cells
    raw = two_runs()
    if sizes:
        few_cells(raw, sizes)
        return
    rows, embeddings = [], {}
    for in_pp in (None, "batch"):
        mdata = raw.copy()
        clipdim.pp.citeseq(mdata, batch_key=in_pp)
        embeddings["inputs side by side", in_pp or "-", "no fit", 0] = side_by_side(mdata)
        for in_fit in (None, "batch"):
            names, found = (in_pp or "-", in_fit or "-"), []
            for seed in SEEDS:
                clipdim.tl.fit(mdata, batch_key=in_fit, holdout=0.3, random_state=seed, progress=False)
                found.append(measures(mdata))
                embeddings["joint embedding", *names, seed] = mdata.obsm["X_clipdim"].copy()
            means = {name: f"{value:.4f}" for name, value in pd.DataFrame(found).mean().items()}
            rows.append(dict(zip(COLUMNS, names, strict=True)) | means)
            print(rows[-1], flush=True)
    guess = raw.obs["batch"].value_counts(normalize=True).max()
    note = f"10,775 cells, mean of {len(SEEDS)} seeds; guessing names the run of {guess:.3f}."
    tables.write(HERE / "batches.md", pd.DataFrame(rows), note=note)

    keys = {str(number): key for number, key in enumerate(embeddings)}
    numbered = dict(zip(keys, embeddings.values(), strict=True))
    scores = scib_scores(numbered, raw.obs["cell_type"], raw.obs["batch"], before="0")
    scores[["", *COLUMNS]] = [keys[number][:3] for number in scores.index]
    means = scores.groupby(["", *COLUMNS], sort=False).mean().map("{:.3f}".format).reset_index()
    note = f"9,914 labelled cells, measures of scib-metrics from 0 to 1, unscaled, mean of {len(SEEDS)} seeds."
    tables.write(HERE / "scib.md", means, note=note)


if __name__ == "__main__":
    main()
