"""
What it costs when new cells lack features of the reference, which then count as the reference's mean.

``python -m benchmarks.atlas.missing_features`` fits 70 % of the cells of pbmc10k, maps the others without some genes or
proteins drawn at random, and writes ``missing_features.md``: mean and range over the draws. 15-NN is the share
of the new cells whose cell type is that of most of their 15 nearest reference cells, by the modality that lacks
features alone and by the joint embedding.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData

import clipdim
from benchmarks.shared import command, tables
from benchmarks.shared.data import preprocess
from benchmarks.shared.scores import knn_accuracy
from clipdim._mudata import queries
from clipdim.evaluation import match_scores

SHARE_OF_QUERY = 0.3
LACKING = {"rna": (0.05, 0.1, 0.2, 0.3, 0.5), "prot": (1, 2, 3, 4, 7)}
KINDS = {"rna": "genes", "prot": "proteins"}


def scores(query: MuData, reference: MuData, modality: str) -> dict[str, float]:
    """Quality of the new cells' embedding."""
    preprocess(query, reference=reference)
    clipdim.tl.embed(query, reference, device="cpu")
    known, asked = (mdata.obs["cell_type"].notna().to_numpy() for mdata in (reference, query))
    labels, truth = reference.obs["cell_type"][known].astype(str), query.obs["cell_type"][asked].astype(str)
    found = {}
    for name, points, targets in (
        ("15-NN, this modality", query[modality].obsm["X_clipdim"], reference[modality].obsm["X_clipdim"]),
        ("15-NN, joint", query.obsm["X_clipdim"], reference.obsm["X_clipdim"]),
    ):
        new = points[asked]
        found[name] = knn_accuracy(targets[known], labels.to_numpy(), new=new, truth=truth.to_numpy())
    matching = match_scores(query["rna"].obsm["X_clipdim"], query["prot"].obsm["X_clipdim"])
    return {**found, "top 0.5 %, RNA to protein": matching.top_alpha}


def without(query: MuData, modality: str, n_lacking: int, rng: np.random.Generator) -> MuData:
    """Return the query without some features of a modality."""
    kept = np.sort(rng.permutation(query[modality].n_vars)[n_lacking:])
    modalities = {
        name: adata[:, kept].copy() if name == modality else adata.copy() for name, adata in query.mod.items()
    }
    fewer = MuData(modalities)
    fewer.obs["cell_type"] = query.obs["cell_type"]
    return fewer


def measure(n_draws: int, seed: int) -> pd.DataFrame:
    """One row for each modality, number of features that are missing and draw."""
    mdata = clipdim.datasets.pbmc10k()
    order = np.random.default_rng(seed).permutation(mdata.n_obs)
    n_query = round(SHARE_OF_QUERY * mdata.n_obs)
    query, reference = (mdata[np.sort(rows)].copy() for rows in (order[:n_query], order[n_query:]))
    preprocess(reference)
    clipdim.tl.fit(reference, random_state=seed, progress=False, device="cpu")
    queries.MAX_MISSING = 1.0  # beyond what is accepted
    rows = []
    for modality, numbers in LACKING.items():
        n_features = query[modality].n_vars
        for number in (0, *numbers):
            n_lacking = number if isinstance(number, int) else round(number * n_features)
            for draw in range(n_draws if number else 1):
                fewer = without(query, modality, n_lacking, np.random.default_rng(draw))
                rows.append(
                    {
                        "missing": f"{n_lacking:,} of {n_features:,} {KINDS[modality]}",
                        **scores(fewer, reference, modality),
                    }
                )
                print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    """Measure and write the table."""
    parser = command.parser(__doc__)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    command.quiet_on_one_thread()
    found = measure(arguments.draws, arguments.seed).groupby("missing", sort=False)
    cells = found.agg(lambda x: f"{x.mean():.3f} ({x.min():.3f} to {x.max():.3f})" if len(x) > 1 else f"{x.mean():.3f}")
    note = f"Mean and range over {arguments.draws} draws: `python -m benchmarks.atlas.missing_features`"
    tables.write(Path(__file__).with_name("missing_features.md"), cells.reset_index(), note=note)


if __name__ == "__main__":
    main()
