"""
What ``batch_key`` does to two 10x runs with a strong batch effect: ``results/batches.md``.

Run by ``CLIPDIM_TWO_RUNS=pbmc10k_5k.h5mu python benchmarks/batches.py``. 30 % of the cells are held out. The run is
named by 15 neighbours of held-out cells among training cells (the share of the larger run is what guessing gives).
Cell types are transferred by 15 neighbours from all labelled cells of one run to all of the other; within a run from
its training to its held-out cells.
"""

import numpy as np
import pandas as pd
import tables
from mudata import MuData
from two_runs import two_runs

import clipdim
from clipdim.evaluation import knn_labels

SEEDS = (0, 1, 2)


def measures(mdata: MuData) -> dict[str, float]:
    """Accuracies by 15 neighbours in the joint embedding."""
    joint = np.asarray(mdata.obsm["X_clipdim"])
    split, batch = mdata.obs["clipdim_split"], mdata.obs["batch"].astype(str).to_numpy()
    labels = mdata.obs["cell_type"].astype(object).fillna("").to_numpy().astype(str)
    train, held_out = (split == "train").to_numpy(), (split == "held-out").to_numpy()

    def accuracy(known: np.ndarray, asked: np.ndarray, names: np.ndarray) -> float:
        return float((knn_labels(joint[known], names[known], joint[asked]) == names[asked]).mean())

    large, small = (labels != "") & (batch == "pbmc10k"), (labels != "") & (batch == "pbmc5k")
    return {
        "run named": accuracy(train, held_out, batch),
        "types, 10k to 5k": accuracy(large, small, labels),
        "types, 5k to 10k": accuracy(small, large, labels),
        "types within 10k": accuracy(large & train, large & held_out, labels),
        "types within 5k": accuracy(small & train, small & held_out, labels),
    }


def main() -> None:
    """Fit with and without the key, in preprocessing and in training."""
    raw, rows = two_runs(), []
    guess = raw.obs["batch"].value_counts(normalize=True).max()
    for in_pp, in_fit in ((None, None), (None, "batch"), ("batch", None), ("batch", "batch")):
        mdata = raw.copy()
        clipdim.pp.citeseq(mdata, batch_key=in_pp)
        found = []
        for seed in SEEDS:
            clipdim.tl.fit(mdata, batch_key=in_fit, holdout=0.3, random_state=seed, progress=False)
            found.append(measures(mdata))
        means = {name: f"{value:.4f}" for name, value in pd.DataFrame(found).mean().items()}
        rows.append({"batch_key of pp.citeseq": in_pp or "-", "of tl.fit": in_fit or "-"} | means)
        print(rows[-1], flush=True)
    note = f"10,775 cells, mean of {len(SEEDS)} seeds; guessing names the run of {guess:.3f}."
    print(tables.write("batches", pd.DataFrame(rows), note=note).read_text())


if __name__ == "__main__":
    main()
