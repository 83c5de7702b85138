"""The only room that reads from or writes to MuData slots: pairing, representations, results."""

from clipdim._mudata.inputs import Inputs, read_inputs
from clipdim._mudata.pairing import modality_names, obs_column, pair, require_mudata
from clipdim._mudata.representations import matched_representation, representation, resolve_use_rep
from clipdim._mudata.results import (
    Embeddings,
    paired_embeddings,
    read_fit,
    refuse_other_fit,
    write_embeddings,
    write_fit,
    write_tables,
)

__all__ = [
    "Embeddings",
    "Inputs",
    "matched_representation",
    "modality_names",
    "obs_column",
    "pair",
    "paired_embeddings",
    "read_fit",
    "read_inputs",
    "refuse_other_fit",
    "representation",
    "require_mudata",
    "resolve_use_rep",
    "write_embeddings",
    "write_fit",
    "write_tables",
]
