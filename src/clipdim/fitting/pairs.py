"""What a fit says of each pair of modalities: temperature, similarities, and the dimension that the two share."""

from collections.abc import Mapping
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import Ridge

from clipdim import dimension
from clipdim.fitting.monitor import MIN_CELLS, NEIGHBORS, similarity_moments

MAX_CELLS = 20_000
N_ANCHORS = 2_000
# of the cells' number; embeddings have values of about 1 / sqrt(out_dim)
PENALTY = 1e-4
SIMILARITIES = ("positive_similarity", "positive_similarity_sd", "negative_similarity", "negative_similarity_sd")
DIMENSIONS = ("intrinsic_dimension", "low", "high")


def pair_table(
    embeddings: Mapping[str, np.ndarray],
    rows: np.ndarray,
    *,
    train: np.ndarray,
    measured: np.ndarray,
    temperatures: list[float],
) -> pd.DataFrame:
    """One row for each pair of modalities, measured on the cells that have both.

    The shared dimension is that of what one embedding says of the other: its linear prediction, learned from training
    cells. What an encoder keeps for a third modality, or of its own noise, is not in it. Both directions are averaged.
    """
    names = list(embeddings)
    rng = np.random.default_rng(0)
    table = []
    for (first, second), temperature in zip(combinations(range(len(names)), 2), temperatures, strict=True):
        places = [first, second]
        known, asked = (cells[(rows[cells][:, places] >= 0).all(axis=1)] for cells in (train, measured))
        known, asked = (np.sort(rng.permutation(cells)[:MAX_CELLS]) for cells in (known, asked))
        of_known, of_asked = (
            {place: embeddings[names[place]][rows[cells, place]] for place in places} for cells in (known, asked)
        )
        record = {
            "first": names[first],
            "second": names[second],
            "temperature": temperature if len(known) else np.nan,
            "n_cells": len(asked),
        }
        record |= dict.fromkeys((*SIMILARITIES, *DIMENSIONS), np.nan)
        if len(asked) >= MIN_CELLS and len(known) >= MIN_CELLS:
            moments = similarity_moments(*map(torch.from_numpy, of_asked.values()))
            record |= dict(zip(SIMILARITIES, moments, strict=True))
            found = [_dimension(_predicted(of_known[a], of_known[b], of_asked[a])) for a, b in permutations(places)]
            record |= dict(zip(DIMENSIONS, np.mean(found, axis=0).tolist(), strict=True))
        table.append(record)
    return pd.DataFrame(table).astype({"n_cells": np.int64})


def _predicted(x: np.ndarray, y: np.ndarray, new_x: np.ndarray) -> np.ndarray:
    """Linear prediction of y for new cells."""
    predicted = Ridge(alpha=PENALTY * len(x)).fit(x, y).predict(new_x)
    # one target comes back without its axis
    return np.asarray(predicted).reshape(len(new_x), -1)


def _dimension(points: np.ndarray) -> tuple[float, float, float]:
    try:
        found = dimension.estimate(points, n_neighbors=NEIGHBORS, n_anchors=N_ANCHORS)
    except dimension.TooFewPointsError:
        return np.nan, np.nan, np.nan
    return found.estimate, found.low, found.high
