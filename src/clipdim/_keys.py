"""Every slot name that clipdim reads or writes, once, and the types of what lies in ``.uns``."""

from collections.abc import Iterable
from itertools import product
from typing import Any, TypedDict

import numpy as np
import pandas as pd

KEY = "clipdim"
SWEEP = "clipdim_sweep"

# preprocessing, in a modality
X_PCA = "X_pca"
LOADINGS = "PCs"
COUNTS = "counts"
PREPROCESSING = "clipdim_pp"

# of clipdim.model: what setup_mudata leaves in a MuData, and what a saved model has besides its fit
SETUP = "clipdim_setup"
MODEL = "clipdim_model"

# categories of the split column; a cell that lacks a modality has no split
TRAIN = "train"
HELD_OUT = "held-out"
NORM_SET = "norm set"

# the joint embedding among the results by modality
JOINT = "joint"

# spelled as in the modality names that scanpy, muon and scvi-tools users give
RNA_NAMES = ("rna", "gex", "RNA", "GEX")
PROTEIN_NAMES = ("prot", "protein", "adt", "PROT", "protein_expression", "ADT")


def alike(names: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Which of some names of modalities stand for the same as which wanted one, as ``"gex"`` and ``"rna"`` do."""
    pairs = product(names, wanted)
    return {name: other for name, other in pairs for known in (RNA_NAMES, PROTEIN_NAMES) if {name, other} <= {*known}}


def embedding(key: str = KEY) -> str:
    """Name of the embedding in ``.obsm``, of the MuData and of each modality."""
    return f"X_{key}"


def private(key: str = KEY) -> str:
    """Name of each modality's private dimensions in its ``.obsm``."""
    return f"X_{key}_private"


def complete(key: str = KEY) -> str:
    """Name of shared and private dimensions side by side in ``mdata.obsm``."""
    return f"X_{key}_complete"


def collides(key: str) -> bool:
    """Whether results under this name would lie where those of a fit of a shorter name do, or of ``clipdim.model``."""
    return key in (SETUP, MODEL) or key.endswith(("_private", "_complete", "_embedded", "_impute"))


def split(key: str = KEY) -> str:
    """Name of the column of ``mdata.obs`` that says which cells were held out."""
    return f"{key}_split"


def norm(key: str = KEY) -> str:
    """Name of the column of ``mdata[mod].obs`` with the norm of the encoder's output over its mean."""
    return f"{key}_norm"


def embedded(key: str = KEY) -> str:
    """Name of the record in ``.uns`` that says which fit the embedding of new cells comes from."""
    return f"{key}_embedded"


def confidence(key_added: str) -> str:
    """Name of the column of ``mdata.obs`` with the chance that a transferred label is right."""
    return f"{key_added}_confidence"


def transferred(key_added: str) -> str:
    """Name of the record in ``.uns`` of a transfer of labels."""
    return f"{key_added}_transfer"


def imputed(key: str = KEY) -> str:
    """Name of the record in ``.uns`` of an imputed modality."""
    return f"{key}_impute"


def pair_name(first: str, second: str) -> str:
    """Name of a pair of modalities."""
    return f"{first} and {second}"


class Dimension(TypedDict):
    """One entry of ``.uns[key]["intrinsic_dimension"]``, which has one for each modality and one named ``"joint"``."""

    estimate: float
    low: float
    high: float
    estimator: str
    aggregation: str
    n_neighbors: int
    n_cells: int
    cells: str


class Snapshots(TypedDict):
    """``.uns[key]["snapshots"]``: the embeddings of some cells along the training."""

    epochs: np.ndarray
    """Epochs of training behind each snapshot, ascending; 0 is the untrained model."""
    cells: np.ndarray
    """Names of the cells."""
    split: str
    embeddings: dict[str, np.ndarray]
    """(snapshots x cells x out_dim) for each modality."""


class Fit(TypedDict, total=False):
    """``mdata.uns[key]``."""

    version: str
    params: dict[str, Any]
    history: pd.DataFrame
    temperature: float
    pairs: pd.DataFrame
    """One row for each pair of modalities: temperature, similarities, the dimension that the two share."""
    intrinsic_dimension: dict[str, Dimension]
    encoders: dict[str, dict[str, np.ndarray]]
    features: dict[str, np.ndarray]
    snapshots: Snapshots
    shift: pd.DataFrame
    private: dict[str, Any]
    """Maps to the private dimensions of each modality, and how they stand beside the shared embedding."""
    private_variance: pd.DataFrame
    match: pd.DataFrame
    classify: pd.DataFrame
    confusion: pd.DataFrame
    diagnose: pd.DataFrame
    loadings: pd.DataFrame
    private_loadings: pd.DataFrame
    directions: np.ndarray
    """(out_dim x directions) unit vectors that the loadings belong to."""


class Sweep(TypedDict):
    """``mdata.uns[key]`` of a sweep."""

    settings: dict[str, Any]
    table: pd.DataFrame
    failures: pd.DataFrame


class Setup(TypedDict, total=False):
    """``mdata.uns["clipdim_setup"]``."""

    version: str
    modalities: np.ndarray
    use_rep: dict[str, str]
    """Representation of each modality."""
    batch_key: str | np.ndarray
    """Column of ``.obs``, or an array of several; left out where there is none."""


class Model(TypedDict, total=False):
    """``.uns["clipdim_model"]`` of a saved model."""

    key: str
    """Name of the fit."""
    n_latent: int
    recipe: str | dict[str, Any]
    """As it was given: a name, or the fields that are not None."""
    similarity: str
    """Left out where it is the recipe's."""
    cells: np.ndarray
    """Names of the cells that the model was trained with."""
    split: np.ndarray
    """Split of each of them, ``""`` for those without."""
