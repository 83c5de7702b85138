"""
What private dimensions add to the shared embedding, and which way to get them: ``private.md``.

``python -m benchmarks.interpretation.private``. Cell types by 15 neighbours, from training to held-out cells, 30 % held
out. Four ways to take away what is shared: the linear prediction from the joint embedding, penalised, as ``tl.private``
does, and without a penalty; the linear prediction from the modality's own embedding; a smooth one (Fourier features)
from the joint embedding. How much of the private dimensions' variance an ordinary regression on the joint embedding
still tells. On simulated cells, where the truth is known: how much of the simulated private latents' variance as many
private dimensions tell, and how much of the shared latents' (none is right). Mean over seeds. The figure of the
documentation, loadings of pbmc10k's private dimensions, is drawn too.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from mudata import MuData
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

import clipdim
from benchmarks.shared import command, data, figures, tables
from benchmarks.shared.scores import knn_accuracy
from clipdim.evaluation.private import PrivateMap
from clipdim.evaluation.ridge import FourierRidge

LABELS = {"bmcite": "celltype_l2", "pbmc10k": "cell_type", "simulated": "cell_type"}
N_DIMS, WEIGHTS = 20, (0.35, 0.7, 1.0)


def load(name: str) -> MuData:
    """Preprocessed cells."""
    if name == "bmcite":
        mdata = data.bmcite()
        mdata["rna"].obsm["X_pca"] = mdata["rna"].X
        return mdata
    if name == "pbmc10k":
        return data.pbmc10k()
    mdata = clipdim.datasets.simulate_citeseq(6_000, 5, n_private_protein=2)
    data.preprocess(mdata)
    return mdata


def smooth(values: np.ndarray, joint: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, float]:
    """Private dimensions of all cells by a smooth prediction, and the share of variance that is predicted."""
    values = (values - values[train].mean(axis=0)) / np.sqrt(values[train].var(axis=0).sum())
    ridge = FourierRidge(joint[train], joint[train])
    residual = values - ridge.predict(joint, joint, ridge.coefficients(values[train]))
    private = PCA(min(N_DIMS, values.shape[1]), svd_solver="full").fit(residual[train]).transform(residual)
    return private, 1 - float(residual[train].var(axis=0).sum())


def linear(values: np.ndarray, embedding: np.ndarray, train: np.ndarray, **penalty: float) -> tuple[np.ndarray, float]:
    """Private dimensions by a linear prediction, and the share of variance that is predicted."""
    found = PrivateMap.learn(values[train], embedding[train], n_dims=N_DIMS, **penalty)
    return found(values, embedding), 1 - float(found.residual(values[train], embedding[train]).var(axis=0).sum())


def complete(joint: np.ndarray, parts: list[tuple[np.ndarray, float]], train: np.ndarray, weight: float) -> np.ndarray:
    """Shared and private dimensions side by side, as ``tl.private`` weighs them."""
    shared = sum(max(0.0, explained) for _, explained in parts)
    known = (joint - joint[train].mean(axis=0)) * np.sqrt(shared / joint[train].var(axis=0).sum())
    return np.hstack([known, *(weight * private for private, _ in parts)])


def compare(name: str, seeds: list[int]) -> pd.Series:
    """Accuracy of each embedding, and the truth where it is known."""
    mdata, rows = load(name), []
    labels = mdata.obs[LABELS[name]]
    known, names = labels.notna().to_numpy(), labels.astype(str).to_numpy()
    inputs = {mod: adata.obsm["X_pca"].astype(np.float64) for mod, adata in mdata.mod.items()}
    for seed in seeds:
        clipdim.tl.fit(mdata, holdout=0.3, random_state=seed, progress=False)
        split, joint = mdata.obs["clipdim_split"].to_numpy(), mdata.obsm["X_clipdim"]
        train, held_out = split == "train", split == "held-out"

        def accuracy(points: np.ndarray, train: np.ndarray = train, held_out: np.ndarray = held_out) -> float:
            train, held_out = train & known, held_out & known
            return knn_accuracy(points[train], names[train], new=points[held_out], truth=names[held_out])

        own = {mod: mdata[mod].obsm["X_clipdim"] for mod in inputs}
        ways = {
            "linear": [linear(x, joint, train) for x in inputs.values()],
            "linear, no penalty": [linear(x, joint, train, penalty=1e-9) for x in inputs.values()],
            "linear, its own embedding": [linear(x, own[mod], train) for mod, x in inputs.items()],
            "smooth": [smooth(x, joint, train) for x in inputs.values()],
        }
        unit = [x / np.sqrt(x[train].var(axis=0).sum()) for x in inputs.values()]
        row = {
            "inputs side by side, as they are": accuracy(np.hstack(list(inputs.values()))),
            "inputs, each of variance 1": accuracy(np.hstack(unit)),
            "shared embedding": accuracy(joint),
        }
        for way, parts in ways.items():
            for weight in WEIGHTS:
                row[f"shared + private ({way}), weight {weight:g}"] = accuracy(complete(joint, parts, train, weight))
            left = [still_told(private, joint, held_out) for private, _ in parts]
            row[f"private variance still told, {way}"] = np.mean(left)
        clipdim.tl.private(mdata)
        row["`tl.private`"] = accuracy(mdata.obsm["X_clipdim_complete"])
        if name == "simulated":
            for way, parts in ways.items():
                for kind, of_shared in (("private", False), ("shared", True)):
                    scores = [
                        told(private, mdata, mod, split, of_shared)
                        for mod, (private, _) in zip(inputs, parts, strict=True)
                    ]
                    row[f"{kind} latents told, {way}"] = np.mean(scores)
        rows.append(row)
        print(name, seed, "done", flush=True)
    return pd.DataFrame(rows).mean()


def still_told(private: np.ndarray, joint: np.ndarray, cells: np.ndarray) -> float:
    """Share of the private dimensions' variance that a regression on the joint embedding tells of these cells."""
    predicted = LinearRegression().fit(joint[cells], private[cells]).predict(joint[cells])
    return float(1 - (private[cells] - predicted).var(axis=0).sum() / private[cells].var(axis=0).sum())


def told(private: np.ndarray, mdata: MuData, mod: str, split: np.ndarray, of_shared: bool) -> float:
    """R2 on held-out cells of latents by as many private dimensions as there are private latents."""
    truth = mdata[mod].obsm["private_latent"]
    points = private[:, : truth.shape[1]]
    latents = mdata.obsm["shared_latent"] if of_shared else truth
    train, held_out = split == "train", split == "held-out"
    return LinearRegression().fit(points[train], latents[train]).score(points[held_out], latents[held_out])


def draw() -> None:
    """Draw the genes and proteins of the private dimensions."""
    mdata = load("pbmc10k")
    clipdim.tl.fit(mdata, progress=False)
    clipdim.tl.private(mdata)
    clipdim.tl.loadings(mdata, dimensions="private", n_directions=8)
    axes = clipdim.pl.loadings(mdata, dimensions="private", n_features=4)
    figures.save(axes[0].figure, "private", dpi=130, bbox_inches="tight")


def main() -> None:
    """Write the table and the figure."""
    seeds = command.parser(__doc__, seeds=[0, 1, 2]).parse_args().seeds
    command.quiet_on_one_thread()
    table = pd.DataFrame({name: compare(name, seeds) for name in LABELS})
    first = ["inputs side by side, as they are", "inputs, each of variance 1", "shared embedding", "`tl.private`"]
    table = table.loc[[*first, *(name for name in table.index if name not in first)]]
    shown = table.map(lambda x: "-" if np.isnan(x) else f"{x:.4f}").reset_index(names="")
    shown.columns = ["", "bmcite, 27 types", "pbmc10k", "simulated"]
    mpl.use("Agg")
    draw()
    tables.write(Path(__file__).with_name("private.md"), shown, note=f"Mean of {len(seeds)} seeds.")


if __name__ == "__main__":
    main()
