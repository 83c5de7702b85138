"""What every peer is: how it prepares cells, what is timed, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from scipy.sparse import csr_matrix

from benchmarks.peers.data import Data

MODULES = {
    "clipdim": "clipdim_",
    "clipdim, 3 epochs": "clipdim_short",
    "clipdim, shared + private": "clipdim_private",
    "Harmony + clipdim": "harmony_clipdim",
    "scVI + clipdim": "scvi_clipdim",
    "totalVI": "totalvi",
    "totalVI, stopped at clipdim's time": "totalvi_stopped",
    "MOFA+": "mofa",
    "WNN": "wnn",
    "CCA": "cca",
    "concatenated PCA": "pca",
    "Harmony": "harmony",
    "RNA alone": "rna",
    "protein alone": "protein",
}


class CannotRunError(Exception):
    """A peer has no use for these data; the message says why."""


@dataclass
class Embedded:
    """Cells to learn from, then new ones, as a peer embeds or links them."""

    joint: np.ndarray | None = None
    """(cells x dimensions)"""
    modalities: dict[str, np.ndarray] = field(default_factory=dict)
    """Embedding of each modality, comparable with each other."""
    graph: tuple[csr_matrix, csr_matrix] | None = None
    """Distances and connectivities, of peers that give neighbours in place of an embedding."""
    umap: np.ndarray | None = None
    """(cells x 2) of such a graph."""


@dataclass(frozen=True)
class Job:
    """One fit."""

    known: MuData
    new: MuData
    data: Data
    seed: int
    threads: int
    quick: bool
    seconds: float | None = None
    """How long clipdim took on the same cells."""


@dataclass(frozen=True)
class Peer:
    """One method, with its authors' settings."""

    prepare: Callable[[Job], Any]
    """Preprocessing, which is not timed."""
    fit: Callable[[Job, Any], Any]
    """What is timed."""
    embed: Callable[[Job, Any, Any], Embedded]
    settings: str
    new_cells: str
    """What it embeds of new cells without being fitted again."""


def load(name: str) -> Peer:
    """Import the adapter; an ImportError says what is not installed."""
    return import_module(f"benchmarks.peers.tools.{MODULES[name]}").PEER


def rows_of(parts: list[MuData], modality: str, slot: str) -> np.ndarray:
    """Rows of ``.obsm`` in the order of the cells of all parts."""
    tables = [pd.DataFrame(part[modality].obsm[slot], index=part[modality].obs_names) for part in parts]
    return np.concatenate([table.loc[part.obs_names] for table, part in zip(tables, parts, strict=True)])
