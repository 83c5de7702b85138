"""A MuData of modalities whose cells are paired by name."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from clipdim._mudata import joined


def assemble(modalities: dict[str, AnnData], obs: pd.DataFrame, obsm: Mapping[str, np.ndarray] | None = None) -> MuData:
    """Join the modalities, each of which may lack some cells.

    The columns of ``obs`` and the arrays of ``obsm``, whose rows are those of ``obs``, belong to the cells, so they are
    stored once, in the MuData.
    """
    mdata = joined(modalities)
    mdata.obs[obs.columns] = obs
    rows = obs.index.get_indexer(mdata.obs_names)  # cells that lack the first modality come last
    for name, values in (obsm or {}).items():
        mdata.obsm[name] = values[rows]
    return mdata
