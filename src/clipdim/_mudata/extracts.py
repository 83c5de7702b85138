"""Parts of a MuData that share its arrays: what encoders read of the cells, and a reference without any cells."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from anndata import AnnData
from mudata import MuData

from clipdim import _keys
from clipdim._mudata.pairing import require_mudata


def encoder_inputs(mdata: MuData, use_rep: Mapping[str, str]) -> MuData:
    """Return a MuData of the representations alone, in which results can be written; the given one may be a view.

    Its cells may be in another order than ``mdata.obs_names``, those of each modality are not.
    """
    if not isinstance(mdata, MuData) or not mdata.is_view:
        require_mudata(mdata)
    modalities = {
        name: AnnData(
            adata.X if use_rep.get(name) == "X" else None,
            obs=pd.DataFrame(index=adata.obs_names),
            var=pd.DataFrame(index=adata.var_names),
            obsm=dict(adata.obsm),
            varm=_loadings(adata),
            uns=_preprocessing(adata),
        )
        for name, adata in mdata.mod.items()
    }
    return joined(modalities)


def without_cells(mdata: MuData, modalities: Sequence[str], uns: Mapping[str, Any]) -> MuData:
    """Return a MuData of no cells with the given ``.uns`` and all that new cells are preprocessed and embedded by."""
    found = {
        name: AnnData(
            obs=pd.DataFrame(index=pd.Index([], dtype=str)),
            var=mdata[name].var,
            varm=_loadings(mdata[name]),
            uns=_preprocessing(mdata[name]),
        )
        for name in modalities
    }
    extract = joined(found)
    extract.uns.update(uns)
    return extract


def _loadings(adata: AnnData) -> dict[str, Any]:
    return {name: values for name, values in adata.varm.items() if name == _keys.LOADINGS}


def _preprocessing(adata: AnnData) -> dict[str, Any]:
    return {name: values for name, values in adata.uns.items() if name == _keys.PREPROCESSING}


def joined(modalities: dict[str, AnnData]) -> MuData:
    """Return the MuData of some modalities, without mudata's warnings."""
    with warnings.catch_warnings():
        # mudata announces a new default for columns of modalities, which are not needed here,
        # and warns that gene CD4 and protein CD4 have the same name
        warnings.simplefilter("ignore")
        return MuData(modalities)
