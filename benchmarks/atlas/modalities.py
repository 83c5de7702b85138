"""
Three simulated modalities with known shared dimensions, and RNA with chromatin accessibility.

``python -m benchmarks.atlas.modalities`` writes to ``modalities.md`` what a fit finds, per pair of modalities, when
all cells have all modalities, when 30 % of the measurements are missing, and when no cell has more than two of the
three. Where the environment variable ``CLIPDIM_MULTIOME`` names the file, ``multiome.md`` follows: 9,631 blood
cells with RNA (100 principal components) and ATAC (100 LSI components), 19 cell types, joined from the arrays in
``input/PBMC-10k`` of github.com/ubuntu1024/scMDCL at commit ad6f454d74. The file itself is in no public repository, so
it is no function of ``clipdim.datasets``.
"""

import os
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
from mudata import MuData

import clipdim
from benchmarks.shared import command, tables
from benchmarks.shared.files import named_by
from benchmarks.shared.scores import knn_accuracy
from clipdim import dimension

HERE = Path(__file__).parent
VARIABLE = "CLIPDIM_MULTIOME"
SHA256 = "a384af8865512fb6214fa56af0131f20fbdb679ac71493f4a1ffa621f34e99e7"
SHARED = [(3, 0), (0, 3), (3, 2), (5, 0)]
OUT_DIM = 24


def two_of_three(mdata: MuData, seed: int) -> MuData:
    """Leave out one modality of each cell, so that no cell has all three."""
    lacks = np.random.default_rng(seed).permutation(mdata.n_obs) % len(mdata.mod)
    part = MuData(
        {name: adata[mdata.obs_names[lacks != number]].copy() for number, (name, adata) in enumerate(mdata.mod.items())}
    )
    rows = mdata.obs_names.get_indexer(part.obs_names)
    for name in mdata.obsm:
        if name.startswith("shared"):
            part.obsm[name] = mdata.obsm[name][rows]
    return part


PATTERNS: dict[str, tuple[float, Callable[[MuData, int], MuData]]] = {
    "complete": (0.0, lambda mdata, _: mdata),
    "30 % missing": (0.3, lambda mdata, _: mdata),
    "two of three": (0.0, two_of_three),
}


def simulated(n_shared: int, n_pairwise: int, pattern: str, *, n_cells: int, seed: int) -> list[dict[str, float]]:
    """Fit all three modalities, and each pair alone; one row for each pair."""
    missing, leave_out = PATTERNS[pattern]
    mdata = clipdim.datasets.simulate_modalities(n_cells, n_shared, n_pairwise, missing=missing, random_state=seed)
    mdata = leave_out(mdata, seed)
    clipdim.tl.fit(mdata, OUT_DIM, use_rep="X", random_state=seed, progress=False)
    rows = mdata.uns["clipdim"]["pairs"].set_index(["first", "second"])
    top = _top(mdata)
    found = []
    for a, b in combinations(mdata.mod, 2):
        both = mdata.obs_names.isin(mdata[a].obs_names) & mdata.obs_names.isin(mdata[b].obs_names)
        held_out = both & (mdata.obs["clipdim_split"] == "held-out").to_numpy()
        truth = np.hstack([mdata.obsm["shared"], mdata.obsm[f"shared_{a}_{b}"]])[held_out]
        alone = MuData({name: mdata[name].copy() for name in (a, b)})
        clipdim.tl.fit(alone, OUT_DIM, use_rep="X", random_state=seed, progress=False)
        found.append(
            {
                "truth reads": dimension.mle(truth),
                "found": rows.loc[(a, b), "intrinsic_dimension"],
                "found alone": alone.uns["clipdim"]["pairs"]["intrinsic_dimension"].item(),
                "temperature": rows.loc[(a, b), "temperature"],
                "top": top[a, b],
                "top alone": _top(alone)[a, b],
            }
        )
    return found


def _top(mdata: MuData) -> dict[tuple[str, str], float]:
    """Share of held-out cells whose match is among the first 0.5 %, for each pair the mean of both directions."""
    scores = clipdim.tl.match(mdata).query("split == 'held-out'").set_index(["query", "target"])["top_alpha"]
    return {(a, b): float(np.mean([scores[a, b], scores[b, a]])) for a, b in combinations(mdata.mod, 2)}


def of_simulations(n_cells: int, seeds: list[int]) -> pd.DataFrame:
    """One row for each number of latents and pattern: range or mean over pairs and seeds."""
    table = []
    for n_shared, n_pairwise in SHARED:
        for pattern in PATTERNS:
            parts = [simulated(n_shared, n_pairwise, pattern, n_cells=n_cells, seed=seed) for seed in seeds]
            pairs = pd.DataFrame([row for part in parts for row in part])
            mean = pairs.mean()
            table.append(
                {
                    "shared by all, by a pair only": f"{n_shared}, {n_pairwise}",
                    "cells": pattern,
                    "true dimension of a pair": n_shared + n_pairwise,
                    "truth reads": f"{mean['truth reads']:.1f}",
                    "found": f"{mean['found']:.1f} ({pairs['found'].min():.1f} to {pairs['found'].max():.1f})",
                    "found, the pair alone": f"{mean['found alone']:.1f}",
                    "top 0.5 %": f"{mean['top']:.3f}",
                    "top 0.5 %, the pair alone": f"{mean['top alone']:.3f}",
                    "temperature": f"{mean['temperature']:.3f}",
                }
            )
            print(table[-1], flush=True)
    return pd.DataFrame(table)


def multiome() -> MuData:
    """Read the components of 9,631 cells with RNA and ATAC; ``mdata.obs["cell_type"]`` has 19 types."""
    stored = mudata.read(named_by(VARIABLE, "pbmc10k_multiome_features.h5mu", sha256=SHA256))
    mdata = MuData({name: stored[name].copy() for name in ("rna", "atac")})
    mdata.obs["cell_type"] = stored["rna"].obs["cell_type"]
    return mdata


def of_multiome(seeds: list[int]) -> pd.DataFrame:
    """One row for each input of the ATAC encoder, the mean over the seeds."""
    table = []
    for first in (0, 1):
        scores = []
        for seed in seeds:
            mdata = multiome()
            mdata = MuData({"rna": mdata["rna"], "atac": mdata["atac"][:, first:].copy()})
            mdata.obs["cell_type"] = mdata["rna"].obs["cell_type"]
            clipdim.tl.fit(mdata, use_rep="X", holdout=0.3, random_state=seed, progress=False)
            scores.append(_scores(mdata))
        mean = pd.DataFrame(scores).mean()
        table.append({"ATAC input": "all LSI" if first == 0 else "without LSI 1"} | mean.map("{:.3f}".format).to_dict())
        print(table[-1], flush=True)
    return pd.DataFrame(table)


def _scores(mdata: MuData) -> dict[str, float]:
    split, labels = (mdata.obs[name].to_numpy().astype(str) for name in ("clipdim_split", "cell_type"))
    train, held_out = split == "train", split == "held-out"
    inputs = {name: mdata[name][mdata.obs_names].X.astype(np.float64) for name in mdata.mod}
    # each modality with the same total variance over the training cells
    inputs = {name: (x - x[train].mean(axis=0)) / np.sqrt(x[train].var(axis=0).sum()) for name, x in inputs.items()}
    inputs["RNA + ATAC"] = np.hstack([*inputs.values()])
    classified = clipdim.tl.classify(mdata, "cell_type").query("split == 'held-out'")
    of = classified.set_index(["method", "kind", "label"])["accuracy"]
    matching = clipdim.tl.match(mdata).query("split == 'held-out'").set_index("query")
    fit = mdata.uns["clipdim"]
    scores = {
        "15-NN": of["joint k-NN", "overall", "overall"],
        "15-NN, balanced": of["joint k-NN", "balanced", "balanced"],
    }
    for name, x in inputs.items():
        accuracy = knn_accuracy(x[train], labels[train], new=x[held_out], truth=labels[held_out])
        scores[f"15-NN of the input, {name}"] = accuracy
    return scores | {
        "label match, RNA to ATAC": of["rna to atac", "overall", "overall"],
        "label match, ATAC to RNA": of["atac to rna", "overall", "overall"],
        "top 0.5 %, RNA to ATAC": matching.loc["rna", "top_alpha"],
        "top 0.5 %, ATAC to RNA": matching.loc["atac", "top_alpha"],
        "FOSCTTM": matching["foscttm"].mean(),
        "dimension of the pair": fit["pairs"]["intrinsic_dimension"].item(),
        "joint dimension": fit["intrinsic_dimension"]["joint"]["estimate"],
        "temperature": fit["temperature"],
    }


def main() -> None:
    """Write the tables."""
    parser = command.parser(__doc__, seeds=[0, 1])
    parser.add_argument("--cells", type=int, default=10_000)
    arguments = parser.parse_args()
    command.quiet_on_one_thread()
    seeds = ", ".join(map(str, arguments.seeds))
    if VARIABLE in os.environ:
        rows = of_multiome(arguments.seeds).set_index("ATAC input").T.rename_axis("").reset_index()
        note = f"9,631 PBMC, 30 % held out, mean of the seeds {seeds}."
        tables.write(HERE / "multiome.md", rows, note=note)
    rows = of_simulations(arguments.cells, arguments.seeds)
    note = (
        f"{arguments.cells:,} cells, three modalities of 20 features with 2 latents of their own, out_dim {OUT_DIM}, a "
        f"tenth held out; mean (least to most) over the three pairs and the seeds {seeds}."
    )
    tables.write(HERE / "modalities.md", rows, note=note)


if __name__ == "__main__":
    main()
