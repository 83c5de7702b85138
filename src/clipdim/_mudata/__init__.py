"""The only room that reads from or writes to MuData slots: pairing, representations, embeddings, records."""

from clipdim._mudata.batches import batch_codes, batch_columns, batch_labels
from clipdim._mudata.columns import has_column, obs_column
from clipdim._mudata.combinations import choose_modalities, combinations, comparable
from clipdim._mudata.dimensions import Dimension
from clipdim._mudata.embeddings import (
    Embeddings,
    align_embeddings,
    embeddings_of,
    mean_embedding,
    query_embeddings,
    read_embeddings,
    read_norms,
    read_split,
    write_embedded,
    write_embeddings,
    write_shared_information,
    write_split,
)
from clipdim._mudata.extracts import encoder_inputs, joined
from clipdim._mudata.features import feature_columns, feature_matrix, feature_values, resolve_layers
from clipdim._mudata.fits import Fit, holds_fit, read_fit, refuse_other_fit, write_fit
from clipdim._mudata.inputs import Inputs, read_inputs
from clipdim._mudata.labels import class_colors, class_labels, class_names, columns_of_classes
from clipdim._mudata.models import Arguments, Model, model_without_cells, read_model
from clipdim._mudata.pairing import cell_rows, modality_names, require_mudata
from clipdim._mudata.params import Params
from clipdim._mudata.preprocessing import (
    Prepared,
    batches_of,
    find_modality,
    raw_counts,
    stored_record,
    with_columns_of,
    write_prepared,
)
from clipdim._mudata.private import Private, read_private, write_private
from clipdim._mudata.queries import match_features, matched_representation
from clipdim._mudata.representations import basis_points, representation, resolve_use_rep
from clipdim._mudata.setups import Setup, read_setup, write_setup
from clipdim._mudata.snapshots import Snapshots
from clipdim._mudata.sources import (
    Source,
    cells_at_a_time,
    check_writable,
    groups_of,
    read_dimensions,
    sources_of,
    wanted_cells,
    write_dimensions,
)
from clipdim._mudata.sweeps import Sweep, read_sweep, refuse_taken, write_sweep
from clipdim._mudata.transfers import check_transfer, find_transfer, read_confidence, write_transfer
