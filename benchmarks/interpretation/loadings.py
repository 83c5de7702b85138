"""
Which markers the loadings find on pbmc10k, and how loadings by other definitions do.

``python -m benchmarks.interpretation.loadings`` writes ``loadings.md``, ``loadings_simulated.md`` and
``docs/_static/loadings.png``. The first table asks of known pairs of a protein and its gene: of the directions on which
the protein is among the first three of its end, where is the gene, counted from the same end? Shuffled is the same with
the protein profiles dealt to other cells at random before the fit. Gradient is the mean derivative of the position
along a direction, by the encoder of the modality, with respect to the scaled expression, through the PCA loadings.

The second table has simulated cells, whose features load on latent variables that the modalities share and on others of
their own: the share of the loadings' squared weights on the latter, and the correlation over features of the sum of
squared loadings with the share of a feature's variance that the shared variables explain.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from mudata import MuData

import clipdim
from benchmarks.shared import command, figures, tables
from benchmarks.shared.data import preprocess
from clipdim.contrast import ContrastiveModel, Recipe
from clipdim.evaluation.loadings import correlations

# the panel has no CD20: MS4A1 is held against CD19, the other protein of B cells
PAIRS = (
    ("CD14", "CD14"),
    ("CD8A", "CD8a"),
    ("CD19", "CD19"),
    ("MS4A1", "CD19"),
    ("NCAM1", "CD56"),
    ("FCGR3A", "CD16"),
    ("CD4", "CD4"),
    ("CD3D", "CD3"),
    ("IL7R", "CD127"),
    ("IL2RA", "CD25"),
    ("TIGIT", "TIGIT"),
    ("PDCD1", "PD-1"),
    ("FUT4", "CD15"),
)
TOP_PROTEINS = 3
SEEDS = (0, 1, 2)
HERE = Path(__file__).parent


def fit(mdata: MuData, seed: int) -> None:
    preprocess(mdata)
    clipdim.tl.fit(mdata, random_state=seed, progress=False, device="cpu")


def matrices(mdata: MuData) -> dict[str, pd.DataFrame]:
    """Make the table of loadings a matrix for each modality, (features x directions)."""
    table = clipdim.tl.loadings(mdata)
    return {
        name: rows.pivot_table(index="feature", columns="direction", values="loading", observed=True, sort=False)
        for name, rows in table.groupby("modality", observed=True)
    }


def gradients(mdata: MuData) -> dict[str, pd.DataFrame]:
    """Mean derivative of the position along each direction, (features x directions)."""
    record = mdata.uns["clipdim"]
    axes = torch.from_numpy(record["directions"])
    model = ContrastiveModel.from_arrays(record["encoders"], Recipe.from_stored(record["params"]["recipe"]))
    found = {}
    for name, adata in mdata.mod.items():
        encoder, inputs = model.encoders[name], torch.from_numpy(adata.obsm["X_pca"]).requires_grad_()
        positions = (model.normalize(encoder(inputs), encoder.mean_norm) @ axes).sum(dim=0)
        by_component = [torch.autograd.grad(one, inputs, retain_graph=True)[0].mean(dim=0) for one in positions]
        values = adata.varm["PCs"] @ torch.stack(by_component, dim=1).numpy()
        found[name] = pd.DataFrame(values, index=adata.var_names, columns=range(1, len(axes.T) + 1))
    return found


def best_direction(loadings: dict[str, pd.DataFrame], gene: str, protein: str) -> tuple[int, int, int]:
    """Direction on which the gene ranks first, rank of the protein and rank of the gene from the same end."""
    of_rna, of_protein = loadings["rna"].fillna(0), loadings["prot"]
    found = []
    for direction in of_protein:
        sign = np.sign(of_protein.loc[protein, direction])
        ranks = [
            int((sign * frame[direction] >= sign * frame.loc[name, direction]).sum())
            for frame, name in ((of_rna, gene), (of_protein, protein))
        ]
        if ranks[1] <= TOP_PROTEINS:
            found.append((ranks[0], int(direction), ranks[1]))
    rank, direction, protein_rank = min(found, default=(len(of_rna), 0, len(of_protein)))
    return direction, protein_rank, rank


def markers() -> pd.DataFrame:
    """One row for each pair, and the figure."""
    ranks, rows = {pair: [] for pair in PAIRS}, []
    for seed in SEEDS:
        mdata = clipdim.datasets.pbmc10k()
        fit(mdata, seed)
        loadings = matrices(mdata)
        for pair in PAIRS:
            ranks[pair].append(best_direction(loadings, *pair)[2])
        if seed == SEEDS[0]:
            first, by_gradient = loadings, gradients(mdata)
            axes = clipdim.pl.loadings(mdata)
            figures.save(axes[0].figure, "loadings", dpi=110)
            plt.close(axes[0].figure)
    shuffled = clipdim.datasets.pbmc10k()
    shuffled["prot"].X = shuffled["prot"].X[np.random.default_rng(0).permutation(shuffled.n_obs)]
    fit(shuffled, SEEDS[0])
    of_shuffled = matrices(shuffled)
    for gene, protein in PAIRS:
        direction, protein_rank, rank = best_direction(first, gene, protein)
        values = [first[name].loc[feature, direction] for name, feature in (("prot", protein), ("rna", gene))]
        rows.append(
            {
                "protein": protein,
                "gene": gene,
                "direction": direction,
                "loading of the protein": f"{values[0]:+.2f}",
                "loading of the gene": f"{values[1]:+.2f}",
                "rank of the protein": protein_rank,
                "rank of the gene": rank,
                "seeds 1 and 2": ", ".join(map(str, ranks[gene, protein][1:])),
                "gradient": best_direction(by_gradient, gene, protein)[2],
                "shuffled": best_direction(of_shuffled, gene, protein)[2],
            }
        )
    largest = [max(float(np.nanmax(np.abs(frame))) for frame in found.values()) for found in (first, of_shuffled)]
    print(f"largest loading {largest[0]:.2f}, shuffled {largest[1]:.2f}", flush=True)
    return pd.DataFrame(rows)


def with_positions(mdata: MuData, positions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.nan_to_num(correlations(mdata[name].X, positions[name])) for name in positions}


def simulated() -> pd.DataFrame:
    """One row for each definition and modality, mean over seeds."""
    rows = []
    for seed in SEEDS:
        mdata = clipdim.datasets.simulate_citeseq(
            4_000, n_private_rna=5, n_private_protein=3, n_proteins=60, random_state=seed
        )
        fit(mdata, seed)
        clipdim.tl.loadings(mdata)
        axes = mdata.uns["clipdim"]["directions"]
        own = {name: adata.obsm["X_clipdim"] @ axes for name, adata in mdata.mod.items()}
        found = {
            "correlation, position by the other modality (clipdim)": with_positions(
                mdata, {"rna": own["prot"], "prot": own["rna"]}
            ),
            "correlation, joint position": with_positions(mdata, dict.fromkeys(own, mdata.obsm["X_clipdim"] @ axes)),
            "gradient": {name: frame.to_numpy() for name, frame in gradients(mdata).items()},
        }
        explained = with_positions(mdata, dict.fromkeys(own, np.linalg.qr(centred(mdata.obsm["shared_latent"]))[0]))
        for method, by_modality in found.items():
            for name, values in by_modality.items():
                truth = mdata[name].varm["loadings"]
                weights = np.square(np.linalg.lstsq(truth / np.linalg.norm(truth, axis=0), values, rcond=None)[0])
                private = weights[mdata.uns["truth"]["n_shared"] :]
                strength, share = np.square(values).sum(axis=1), np.square(explained[name]).sum(axis=1)
                rows.append(
                    {
                        "loading": method,
                        "modality": name,
                        "private, directions 1 to 5": private[:, :5].sum() / weights[:, :5].sum(),
                        "private, directions 6 to 10": private[:, 5:].sum() / weights[:, 5:].sum(),
                        "correlation with what is shared": np.corrcoef(strength, share)[0, 1],
                    }
                )
    return pd.DataFrame(rows).groupby(["loading", "modality"], sort=False).mean().reset_index()


def centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=0)


def main() -> None:
    """Write tables and figure."""
    command.parser(__doc__).parse_args()
    command.quiet_on_one_thread()
    found = simulated()
    for name in found.columns[2:4]:
        found[name] = found[name].map("{:.1%}".format)
    found[found.columns[4]] = found[found.columns[4]].map("{:.3f}".format)
    tables.write(HERE / "loadings_simulated.md", found, note=f"Mean over seeds {', '.join(map(str, SEEDS))}")
    note = "Ranks from the end of the direction that the protein is at, of 14 proteins and 4,000 genes"
    tables.write(HERE / "loadings.md", markers(), note=note)


if __name__ == "__main__":
    main()
