"""A MuData of modalities that have the same cells in the same order."""

import warnings

import pandas as pd
from anndata import AnnData
from mudata import MuData


def assemble(modalities: dict[str, AnnData], obs: pd.DataFrame) -> MuData:
    """Join the modalities; the columns of ``obs`` belong to the cells, so they are stored once, in ``mdata.obs``."""
    with warnings.catch_warnings():
        # mudata announces a new default for columns of modalities, of which there are none,
        # and warns that gene CD4 and protein CD4 have the same name
        warnings.simplefilter("ignore")
        mdata = MuData(modalities)
    mdata.obs[obs.columns] = obs
    return mdata
