"""The only room that reads from or writes to MuData slots: pairing, representations, results."""

from clipdim._mudata.batches import batch_codes, batch_columns, batch_labels
from clipdim._mudata.columns import has_column, obs_column
from clipdim._mudata.extracts import encoder_inputs, without_cells
from clipdim._mudata.features import feature_columns, feature_matrix, feature_values
from clipdim._mudata.inputs import Inputs, read_inputs
from clipdim._mudata.pairing import modality_names, pair, require_mudata
from clipdim._mudata.preprocessing import (
    Prepared,
    batches_of,
    find_modality,
    raw_counts,
    stored_record,
    write_prepared,
)
from clipdim._mudata.queries import match_features, matched_representation
from clipdim._mudata.representations import representation, resolve_use_rep
from clipdim._mudata.results import (
    Embeddings,
    fingerprint,
    mean_embedding,
    paired_embeddings,
    query_embeddings,
    read_fit,
    refuse_other_fit,
    write_embedded,
    write_embeddings,
    write_fit,
    write_private,
    write_tables,
)
from clipdim._mudata.setups import Setup, read_setup, write_setup

__all__ = [
    "Embeddings",
    "Inputs",
    "Prepared",
    "Setup",
    "batch_codes",
    "batch_columns",
    "batch_labels",
    "batches_of",
    "encoder_inputs",
    "feature_columns",
    "feature_matrix",
    "feature_values",
    "find_modality",
    "fingerprint",
    "has_column",
    "match_features",
    "matched_representation",
    "mean_embedding",
    "modality_names",
    "obs_column",
    "pair",
    "paired_embeddings",
    "query_embeddings",
    "raw_counts",
    "read_fit",
    "read_inputs",
    "read_setup",
    "refuse_other_fit",
    "representation",
    "require_mudata",
    "resolve_use_rep",
    "stored_record",
    "without_cells",
    "write_embedded",
    "write_embeddings",
    "write_fit",
    "write_prepared",
    "write_private",
    "write_setup",
    "write_tables",
]
