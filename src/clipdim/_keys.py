"""Every name of a slot, or of a column that more than one file reads, once."""

from collections.abc import Iterable
from itertools import product

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

# the joint embedding among the results by modality, and the method of its labels in tables of accuracy
JOINT = "joint"
JOINT_KNN = "joint k-NN"

# the label of a cell whose transferred one is too unsure
UNASSIGNED = "unassigned"

# the table of ``tl.intrinsic_dimension`` where its figures look for it
DIMENSION = "intrinsic_dimension"

# spelled as in the modality names that scanpy, muon and scvi-tools users give
RNA_NAMES = ("rna", "gex", "RNA", "GEX")
PROTEIN_NAMES = ("prot", "protein", "adt", "PROT", "protein_expression", "ADT")


def alike(names: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Which of some names of modalities stand for the same as which wanted one, as ``"gex"`` and ``"rna"`` do."""
    both = product(names, wanted)
    return {name: other for name, other in both for known in (RNA_NAMES, PROTEIN_NAMES) if {name, other} <= {*known}}


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


def shared_information(key: str = KEY) -> str:
    """Name of the column of ``mdata.obs`` with the nats that modalities share around each cell."""
    return f"{key}_shared_information"


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


def temperature_of(first: str, second: str) -> str:
    """Column of the history of a fit with the temperature of a pair of modalities."""
    return f"temperature_{pair_name(first, second)}"


def of_modality(measure: str, modality: str) -> str:
    """Column of the history of a fit with a measure of one modality."""
    return f"{measure}_{modality}"
