"""Weighted nearest neighbours through muon."""

import muon
import scanpy as sc
from mudata import MuData

from benchmarks.peers import inputs
from benchmarks.peers.peer import Embedded, Job, Peer

# so many cells compile what is compiled at first use, which takes longer than the fit
N_COMPILED = 300
# among which are 15 known ones
N_VOTES = 30


def prepare(job: Job) -> MuData:
    """Components of both modalities, of all cells, of unit norm as muon asks for."""
    parts = inputs.components(job)
    mdata = inputs.together(job)
    names = job.known.obs_names.append(job.new.obs_names)
    for name, values in parts.items():
        mdata[name].obsm["X_pca"] = values[names.get_indexer(mdata[name].obs_names)]
        muon.pp.l2norm(mdata[name], rep="X_pca")
    fit(job, mdata[:N_COMPILED].copy())
    return mdata


def fit(job: Job, mdata: MuData) -> None:
    """Neighbours in each modality, then in both."""
    for adata in mdata.mod.values():
        sc.pp.neighbors(adata, use_rep="X_pca", random_state=job.seed)
    muon.pp.neighbors(mdata, key_added="wnn", random_state=job.seed)


def embed(job: Job, mdata: MuData, model: None) -> Embedded:
    """Return the graph, and the distances of more neighbours: those among all cells of which enough are known."""
    muon.tl.umap(mdata, neighbors_key="wnn", random_state=job.seed)
    muon.pp.neighbors(mdata, n_neighbors=N_VOTES, key_added="votes", random_state=job.seed)
    order = mdata.obs_names.get_indexer(job.known.obs_names.append(job.new.obs_names))
    graphs = (mdata.obsp[name].tocsr()[order][:, order] for name in ("votes_distances", "wnn_connectivities"))
    return Embedded(graph=tuple(graphs), umap=mdata.obsm["X_umap"][order])


PEER = Peer(
    prepare=prepare,
    fit=fit,
    embed=embed,
    settings="muon.pp.neighbors on scanpy's neighbours of the principal components of unit norm, defaults",
    new_cells="none: fitted on all cells",
)
