"""Weighted nearest neighbours through muon."""

import inputs
import muon
import scanpy as sc
from mudata import MuData
from peer import Embedded, Job, Peer


def prepare(job: Job) -> MuData:
    """Components of both modalities, of all cells."""
    parts = inputs.components(job)
    mdata = inputs.together(job)
    names = job.known.obs_names.append(job.new.obs_names)
    for name, values in parts.items():
        mdata[name].obsm["X_pca"] = values[names.get_indexer(mdata[name].obs_names)]
    return mdata


def fit(job: Job, mdata: MuData) -> None:
    """Neighbours in each modality, then in both."""
    for adata in mdata.mod.values():
        sc.pp.neighbors(adata, use_rep="X_pca", random_state=job.seed)
    muon.pp.neighbors(mdata, key_added="wnn", random_state=job.seed)


def embed(job: Job, mdata: MuData, model: None) -> Embedded:
    """Return the graph."""
    order = mdata.obs_names.get_indexer(job.known.obs_names.append(job.new.obs_names))
    graphs = (mdata.obsp[f"wnn_{name}"].tocsr()[order][:, order] for name in ("distances", "connectivities"))
    return Embedded(graph=tuple(graphs))


PEER = Peer(
    prepare=prepare,
    fit=fit,
    embed=embed,
    settings="muon.pp.neighbors on scanpy's neighbours of the principal components, defaults",
    new_cells="none: fitted on all cells",
)
