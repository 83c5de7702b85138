"""Measures of embeddings that several benchmarks take."""

import numpy as np
from mudata import MuData

import clipdim
from benchmarks.shared.data import DATASETS
from clipdim.evaluation import knn_labels, match_scores


def scores_of(mdata: MuData, dataset: str) -> dict[str, float]:
    """Measures of a fitted data set on its held-out cells."""
    scores = {}
    matching = clipdim.tl.match(mdata).query("split == 'held-out'")
    scores["top 0.5 %, RNA to protein"] = matching.set_index("query").loc["rna", "top_alpha"]
    scores["FOSCTTM"] = matching["foscttm"].mean()
    for level, label_key in enumerate(DATASETS[dataset][1], start=1):
        accuracy = clipdim.tl.classify(mdata, label_key).query(
            "split == 'held-out' and method == 'joint k-NN' and kind == 'overall'"
        )
        scores[f"15-NN, level {level}"] = accuracy["accuracy"].item()
    for name, found in mdata.uns["clipdim"]["intrinsic_dimension"].items():
        scores[f"dimension, {name}"] = found["estimate"]
    return scores


def knn_accuracy(points: np.ndarray, labels: np.ndarray, *, new: np.ndarray, truth: np.ndarray) -> float:
    """Share of new points whose label is that of most of their 15 nearest neighbours."""
    return float((knn_labels(points, labels, new) == truth).mean())


def matching(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Top-0.5 % matching and FOSCTTM, the mean of both directions."""
    both = [match_scores(a, b, alpha=0.005) for a, b in ((x, y), (y, x))]
    top, foscttm = np.mean([(score.top_alpha, score.foscttm) for score in both], axis=0)
    return {"top-0.5 %": float(top), "FOSCTTM": float(foscttm)}
