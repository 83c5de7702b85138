"""The table of loadings: how each feature goes along with each direction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


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


def column_signs(values: np.ndarray) -> np.ndarray:
    """Return the sign of the largest value of each column by absolute value, 1 where there is none."""
    known = np.nan_to_num(values)
    return np.where(known[np.abs(known).argmax(axis=0), np.arange(known.shape[1])] < 0, -1.0, 1.0)
