"""Real cells that several benchmarks fit, preprocessed, with the columns of their labels."""

from collections.abc import Callable
from typing import Any

import numpy as np
from mudata import MuData

import clipdim


def preprocess(mdata: MuData, **arguments: Any) -> None:
    """Preprocess in place; bmcite has no counts of the RNA but a latent representation of a few columns."""
    function = clipdim.pp.protein if mdata["rna"].n_vars < 100 else clipdim.pp.citeseq
    function(mdata, **arguments)


def pbmc10k() -> MuData:
    """All cells; 30 % of them are held out."""
    mdata = clipdim.datasets.pbmc10k()
    preprocess(mdata)
    return mdata


def bmcite() -> MuData:
    """All cells with both modalities; the RNA is a 10-dimensional latent representation."""
    mdata = clipdim.datasets.bmcite()
    preprocess(mdata)
    return mdata


DATASETS: dict[str, tuple[Callable[[], MuData], list[str]]] = {
    "pbmc10k": (pbmc10k, ["cell_type"]),
    "pbmc10k, 800 training cells": (pbmc10k, ["cell_type"]),
    "bmcite": (bmcite, ["celltype_l1", "celltype_l2"]),
}


def dense(values: Any, dtype: type | None = None) -> np.ndarray:
    """Make values of a matrix, sparse or not, an array."""
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=dtype)
