"""The table of loadings, and what fills it: correlations of features with positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim._mudata import feature_matrix
from clipdim.evaluation.loadings import correlations

MAX_DIRECTIONS = 10
MIN_CELLS = 10


@dataclass(frozen=True)
class Block:
    """Loadings of one modality."""

    modality: str
    features: pd.Index
    found: np.ndarray
    """(features x directions)"""
    variance: np.ndarray
    agreement: np.ndarray
    n_cells: int


def of_features(mdata: MuData, name: str, positions: np.ndarray, layer: str | None) -> np.ndarray:
    """Correlations of a modality's features with positions of its cells, NaN for cells that are left out."""
    values = feature_matrix(mdata, name, layer)
    try:
        found = correlations(values, positions)
    except ValueError as error:
        msg = f"values of modality {name!r}: {error}; name a layer without them: layer={{{name!r}: ...}}"
        raise ValueError(msg) from error
    if np.isnan(found).all():
        n_cells = (~np.isnan(positions).any(axis=1)).sum()
        msg = f"every feature of modality {name!r} is constant over its {n_cells} cells (all zero?); "
        msg += f"name a layer with other values: layer={{{name!r}: ...}}"
        raise ValueError(msg)
    return found


def loading_table(blocks: Sequence[Block]) -> pd.DataFrame:
    """One row for each direction and feature."""
    modalities = pd.CategoricalDtype([block.modality for block in blocks])
    names = [block.features.astype(str) for block in blocks]
    features = pd.CategoricalDtype(pd.unique(np.concatenate(names)))
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "modality": pd.Categorical([block.modality], dtype=modalities).repeat(block.found.size),
                    "feature": pd.Categorical(np.tile(of_block, block.found.shape[1]), dtype=features),
                    "direction": np.repeat(np.arange(1, block.found.shape[1] + 1, dtype=np.int64), len(of_block)),
                    "loading": block.found.T.ravel(),
                    "variance": np.repeat(block.variance, len(of_block)),
                    "agreement": np.repeat(block.agreement, len(of_block)),
                    "n_cells": np.int64(block.n_cells),
                }
            )
            for block, of_block in zip(blocks, names, strict=True)
        ],
        ignore_index=True,
    )


def check_directions(n_directions: int | None, n_dims: int, of: str) -> int:
    """Return the number of directions, by default 10 or as many as there are."""
    if n_directions is None:
        return min(MAX_DIRECTIONS, n_dims)
    if not isinstance(n_directions, Integral) or isinstance(n_directions, bool):
        msg = f"n_directions must be an integer or None, got {n_directions!r}"
        raise TypeError(msg)
    if not 1 <= n_directions <= n_dims:
        msg = f"n_directions={n_directions} must be 1 to {n_dims}, the {of}"
        raise ValueError(msg)
    return int(n_directions)


def column_signs(values: np.ndarray) -> np.ndarray:
    """Return the sign of the largest value of each column by absolute value, 1 where there is none."""
    known = np.nan_to_num(values)
    return np.where(known[np.abs(known).argmax(axis=0), np.arange(known.shape[1])] < 0, -1.0, 1.0)
