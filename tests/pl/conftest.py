"""A MuData as ``tl.fit`` and ``tl.classify`` leave it, with made-up but plausible values."""

from collections.abc import Callable
from functools import cache
from itertools import combinations, permutations
from typing import Any

import anndata
import matplotlib as mpl
import matplotlib.pyplot as plt
import mudata
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

mpl.use("Agg")

CLASSES = {
    8: ["CD14 Mono", "naive CD4 T", "memory CD4 T", "NK", "B", "CD8 T", "FCGR3A Mono", "DC"],
    27: (
        "CD14 Mono|CD4 Naive|CD4 Memory|CD8 Naive|Memory B|NK|Naive B|CD8 Effector_1|CD8 Memory_1|HSC|MAIT|CD16 Mono|"
        "GMP|Prog_RBC|CD8 Effector_2|CD8 Memory_2|gdT|cDC2|LMPP|Treg|pDC|CD56 bright NK|Prog_B 1|Prog_Mk|Plasmablast|"
        "Prog_B 2|Prog_DC"
    ).split("|"),
}


def _classify(label: np.ndarray, predicted: np.ndarray, split: np.ndarray, label_key: str, method: str):
    """Tables as ``tl.classify`` stores them, from true and predicted labels."""
    tables, confusions = [], []
    for name in pd.unique(split):
        truth, guess = label[split == name], predicted[split == name]
        hits = pd.Series(truth == guess).groupby(truth).agg(["mean", "size"])
        table = pd.DataFrame(
            {
                "label": ["overall", "balanced", *hits.index],
                "kind": ["overall", "balanced"] + ["class"] * len(hits),
                "accuracy": [(truth == guess).mean(), hits["mean"].mean(), *hits["mean"]],
                "n_cells": [len(truth), len(truth), *hits["size"]],
            }
        )
        tables.append(table.assign(label_key=label_key, split=name, method=method))
        names = np.unique(label)
        counts = pd.DataFrame(confusion_matrix(truth, guess, labels=names), index=names, columns=names)
        tidy = counts.rename_axis("label").reset_index().melt("label", var_name="predicted", value_name="n_cells")
        confusions.append(tidy[tidy["n_cells"] > 0].assign(label_key=label_key, split=name, method=method))
    return pd.concat(tables, ignore_index=True), pd.concat(confusions, ignore_index=True)


def _snapshots(
    mdata: mudata.MuData, by_modality: list[pd.DataFrame], modalities: tuple[str, ...], key: str
) -> dict[str, object]:
    """Three snapshots as ``tl.fit`` stores them, from directions drawn at random to the embedding."""
    rng = np.random.default_rng(1)
    split = mdata.obs[f"{key}_split"]
    held_out = bool((split == "held-out").any())
    cells = rng.permutation(np.flatnonzero(split == "held-out") if held_out else np.arange(mdata.n_obs))[:100]
    embeddings = {}
    for name, frame in zip(modalities, by_modality, strict=True):
        last, first = frame.to_numpy()[cells], rng.normal(size=(len(cells), frame.shape[1]))
        steps = np.stack([(1 - share) * first + share * last for share in (0, 0.8, 1)])
        embeddings[name] = (steps / np.linalg.norm(steps, axis=2, keepdims=True)).astype(np.float32)
    return {
        "epochs": np.array([0, 10, 20]),
        "cells": mdata.obs_names[cells].to_numpy(dtype=object),
        "split": "held-out" if held_out else "train",
        "embeddings": embeddings,
    }


# as long as names of features get, one of them the name of a gene and of a protein
GENES = ["CD14", "HLA-DRB1", "AC133644.2", "LINC02446", "ENSG00000243485.5", "TRAV14DV4", "MT-CO2", "CD8A"]
FEATURES = {
    "rna": GENES + [f"GENE{number}" for number in range(60)],
    "prot": ["CD14", "CD3-UCHT1_TotalSeqB", "anti-human CD45RA", "HLA-A,B,C", "CD16", "PD-1"],
    "atac": [f"chr{number}:117895240-117897180" for number in range(1, 20)],
}


def _sharing(modalities: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Tables as ``tl.shared_dimension`` stores them: five directions, of which three count."""
    rows, spectra = [], []
    for place, (first, second) in enumerate(combinations(modalities, 2)):
        for group in ("all", "B cells", "CD14+ monocytes"):
            names = {"first": first, "second": second, "group": group}
            bounds = {"estimate": 3.2, "low": 3.0, "high": 4.0, "at_least": 3, "at_most": 4, "p_value": 0.0}
            reading = "At least 3, at most 4 dimensions are shared; best estimate 3.2."
            rows.append(names | bounds | {"n_cells": 750, "cells": "held-out", "reading": reading})
            direction = np.arange(1, 6)
            information = (0.9 - 0.1 * place) * 0.5**direction - 0.02
            spectrum = pd.DataFrame({"direction": direction, "information": information, "chance": 0.06})
            spectra.append(spectrum.assign(low=information - 0.02, high=information + 0.03, p=0.0, **names))
    spectrum = pd.concat(spectra, ignore_index=True)
    spectrum["counted"] = spectrum["direction"] <= 3
    return {"shared_dimension": pd.DataFrame(rows), "shared_spectrum": spectrum}


def _loadings(modalities: tuple[str, ...], out_dim: int) -> pd.DataFrame:
    """Table as ``tl.loadings`` stores it, each direction with a few features that go along with it."""
    rng, n, tables = np.random.default_rng(2), min(out_dim, 10), []
    for name in modalities:
        shape = (n, len(FEATURES[name]))
        values = np.tanh(0.15 * rng.normal(size=shape) + (rng.random(shape) < 0.1) * rng.normal(size=shape))
        values[:, 5] = np.nan
        table = pd.DataFrame({"modality": name, "feature": np.tile(FEATURES[name], n), "loading": values.ravel()})
        table["direction"] = np.repeat(np.arange(1, n + 1), shape[1])
        tables.append(table)
    table = pd.concat(tables, ignore_index=True).astype({"modality": "category", "feature": "category"})
    return table.assign(variance=0.5 ** table["direction"], agreement=0.9 ** table["direction"], n_cells=900)


@cache
def _built(n_cells: int, **arguments: Any) -> mudata.MuData:
    return _build(n_cells, **arguments)


def _build(
    n_cells: int,
    *,
    make_fit: Callable[..., Any],
    n_classes: int = 8,
    modalities: tuple[str, ...] = ("rna", "prot"),
    holdout: float = 0.3,
    out_dim: int = 32,
    n_epochs: int = 20,
    label_keys: tuple[str, ...] = ("cell_type",),
    colors: bool = False,
    key: str = "clipdim",
) -> mudata.MuData:
    """Build what `make_fitted` copies; the truth is kept in ``.uns["truth"]``."""
    rng = np.random.default_rng(0)
    names = CLASSES[n_classes]
    shares = 0.75 ** np.arange(n_classes) + 0.002
    label = np.array(names)[rng.choice(n_classes, n_cells, p=shares / shares.sum())]
    shared = rng.normal(size=(n_cells, out_dim)) * np.exp(-np.arange(out_dim) / 4)
    cells = [f"cell{row}" for row in range(n_cells)]
    adatas = {}
    for name in modalities:
        embedding = shared + 0.1 * rng.normal(size=shared.shape)
        adata = anndata.AnnData(np.zeros((n_cells, 1), dtype=np.float32), obs=pd.DataFrame(index=cells))
        adata.obsm[f"X_{key}"] = (embedding / np.linalg.norm(embedding, axis=1, keepdims=True)).astype(np.float32)
        adata.obs[f"{key}_norm"] = rng.normal(1, 0.1, n_cells).astype(np.float32)
        adatas[name] = adata[rng.permutation(n_cells)].copy()
    mdata = mudata.MuData(adatas)
    mdata = mdata[cells].copy()
    held_out = rng.permutation(n_cells) < holdout * n_cells
    split = np.where(held_out, "held-out", "train")
    mdata.obs[f"{key}_split"] = pd.Categorical(split)
    by_modality = [pd.DataFrame(a.obsm[f"X_{key}"], index=a.obs_names).loc[mdata.obs_names] for a in adatas.values()]
    mdata.obsm[f"X_{key}"] = np.mean(by_modality, axis=0, dtype=np.float32)

    epoch = np.arange(n_epochs)
    fall = np.exp(-epoch / 5)
    history = pd.DataFrame({"loss": 2.1 + 3.2 * fall}, index=pd.Index(epoch, name="epoch"))
    history["held_out_loss"] = 2.5 + 2.9 * fall
    history["temperature"] = 0.03 + fall
    for place, name in enumerate(modalities):
        history[f"intrinsic_dimension_{name}"] = 9 + place + 6 * fall
    history["positive_similarity"] = 0.85 - 0.8 * fall
    history["negative_similarity"] = 0.02 * fall
    history["positive_similarity_sd"] = 0.1
    history["negative_similarity_sd"] = 0.3 - 0.1 * fall
    for place, name in enumerate(modalities):
        history[f"norm_spread_{name}"] = 0.1 + 0.03 * place + 0.3 * fall
    if holdout == 0:
        trained = history.columns.str.match("loss|temperature|intrinsic")
        history.loc[:, ~trained] = np.nan

    dimension = {
        name: {
            "estimate": 9.0 + place,
            "low": 8.6 + place,
            "high": 9.5 + place,
            "estimator": "mle",
            "aggregation": "harmonic",
            "n_neighbors": 20,
            "n_cells": int(held_out.sum()) or n_cells,
            "cells": "held-out" if holdout else "train",
        }
        for place, name in enumerate((*modalities, "joint"))
    }
    mdata.uns[key] = make_fit(dict.fromkeys(modalities, 1), out_dim).to_uns() | {
        "history": history,
        "temperature": float(history["temperature"].iloc[-1]),
        "intrinsic_dimension": dimension,
        "loadings": _loadings(modalities, out_dim),
        **_sharing(modalities),
        "snapshots": _snapshots(mdata, by_modality, modalities, key),
    }

    tables, confusions, truth = [], [], {}
    for label_key in label_keys:
        mdata.obs[label_key] = pd.Categorical(label)
        for method in ("joint k-NN", *(f"{a} to {b}" for a, b in permutations(modalities, 2))):
            wrong = rng.random(n_cells) < 0.08
            predicted = np.where(wrong, rng.choice(label, n_cells), label)
            table, confusion = _classify(label, predicted, split, label_key, method)
            tables.append(table)
            if method == "joint k-NN":
                confusions.append(confusion)
                truth[label_key] = pd.DataFrame({"label": label, "predicted": predicted, "split": split})
        if colors:
            palette = plt.get_cmap("tab20")(np.arange(n_classes) % 20)
            mdata.uns[f"{label_key}_colors"] = np.array([mpl.colors.to_hex(color) for color in palette])
    if tables:
        mdata.uns[key]["classify"] = pd.concat(tables, ignore_index=True)
        mdata.uns[key]["confusion"] = pd.concat(confusions, ignore_index=True)
        mdata.uns["truth"] = truth
    return mdata


@pytest.fixture(scope="session")
def make_fitted(make_fit) -> Callable[..., mudata.MuData]:
    """Return a function that builds a MuData with the slots of a fit and of its scores, each once: this is a copy."""
    return lambda n_cells=900, **arguments: _built(n_cells, make_fit=make_fit, **arguments).copy()


@pytest.fixture
def fitted(make_fitted) -> mudata.MuData:
    """Two modalities, 900 cells, 8 classes, all scores."""
    return make_fitted()


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")
