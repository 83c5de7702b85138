"""What ``tl.fit`` measures while it trains and once it is done."""

from itertools import combinations

import numpy as np
import torch
from numpy.typing import ArrayLike

from clipdim import _keys, dimension
from clipdim.contrast import ContrastiveModel, info_nce

MAX_CELLS = 5_000
N_ANCHORS = 300
N_FINAL_ANCHORS = 10_000
NEIGHBORS = 20
MIN_CELLS = NEIGHBORS + 2


class Monitor:
    """
    Measures of an epoch on held-out cells, at most 5,000 of them.

    The held-out loss is the training loss on minibatches of the same size, so the two can be compared, unless fewer
    cells than that are held out. The intrinsic dimension is taken around 300 of the cells.
    """

    def __init__(self, model: ContrastiveModel, inputs: dict[str, torch.Tensor], groups: torch.Tensor | None) -> None:
        self.model, self.inputs, self.groups = model, inputs, groups

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        names = self.model.modalities
        columns = ["positive_similarity", "positive_similarity_sd", "negative_similarity", "negative_similarity_sd"]
        measures = dict.fromkeys(["held_out_loss", *columns], np.nan)
        measures |= {
            f"{measure}_{name}": np.nan for measure in ("intrinsic_dimension", "norm_spread") for name in names
        }
        n_cells = len(self.inputs[names[0]])
        if n_cells < 2:
            return measures
        embeddings = []
        for name, x in self.inputs.items():
            outputs = self.model.encoders[name](x)
            norms = outputs.norm(dim=1)
            measures[f"norm_spread_{name}"] = (norms.std(correction=0) / norms.mean()).item()
            embeddings.append(self.model.normalize(outputs, norms.mean()))
            measures[f"intrinsic_dimension_{name}"] = _mle(embeddings[-1].cpu().numpy())
        measures["held_out_loss"] = self._loss(embeddings)
        moments = torch.tensor([_similarity_moments(u, v) for u, v in combinations(embeddings, 2)])
        return measures | dict(zip(columns, moments.mean(dim=0).tolist(), strict=True))

    def _loss(self, embeddings: list[torch.Tensor]) -> float:
        n_cells, temperature = len(embeddings[0]), self.model.temperature()
        size = min(self.model.recipe.batch_size, n_cells)
        losses = []
        for start in range(0, n_cells - size + 1, size):
            rows = slice(start, start + size)
            groups = None if self.groups is None else self.groups[rows]
            losses += [info_nce(u[rows], v[rows], temperature, groups=groups) for u, v in combinations(embeddings, 2)]
        return torch.stack(losses).mean().item()


def _similarity_moments(u: torch.Tensor, v: torch.Tensor) -> list[float]:
    """Mean and standard deviation of the similarities of the positive pairs and of the negative ones."""
    u, v = u.cpu().double(), v.cpu().double()
    n_cells = len(u)
    n_negatives = n_cells * (n_cells - 1)
    positive = (u * v).sum(dim=1)
    # sums over all pairs from (d x d) products, without the (cells x cells) matrix
    mean = (u.sum(dim=0) @ v.sum(dim=0) - positive.sum()) / n_negatives
    mean_square = (((u.T @ u) * (v.T @ v)).sum() - positive.square().sum()) / n_negatives
    deviation = (mean_square - mean.square()).clamp_min(0).sqrt()
    return [positive.mean().item(), positive.std(correction=0).item(), mean.item(), deviation.item()]


def _mle(points: ArrayLike) -> float:
    try:
        return dimension.mle(points, n_neighbors=NEIGHBORS, n_anchors=N_ANCHORS)
    except dimension.TooFewPointsError:
        return np.nan


def default_anchors(n_points: int) -> int | None:
    """Return around how many of the points to estimate; `None` is all: then time grows with their number only."""
    return N_FINAL_ANCHORS if n_points > 2 * N_FINAL_ANCHORS else None


def final_dimension(points: np.ndarray, cells: str) -> _keys.Dimension:
    """Intrinsic dimension of an embedding, with its interval; NaN when there are too few distinct cells."""
    try:
        found = dimension.estimate(points, n_neighbors=NEIGHBORS, n_anchors=default_anchors(len(points)))
        estimate, low, high = found.estimate, found.low, found.high
    except dimension.TooFewPointsError:
        estimate = low = high = np.nan
    return {
        "estimate": float(estimate),
        "low": float(low),
        "high": float(high),
        "estimator": "mle",
        "aggregation": "harmonic",
        "n_neighbors": NEIGHBORS,
        "n_cells": len(points),
        "cells": cells,
    }
