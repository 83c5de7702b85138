"""MOFA+ through muon, with its defaults."""

import tempfile
from pathlib import Path

import inputs
import mofapy2  # noqa: F401  muon needs it
import muon
import numpy as np
import pandas as pd
import scanpy as sc
from mudata import MuData
from peer import Embedded, Job, Peer


def prepare(job: Job) -> MuData:
    """Log-normalised highly variable genes and centred log ratios of all cells."""
    mdata = inputs.together(job)
    rna, prot = mdata["rna"], mdata["prot"]
    if job.data.has_counts:
        sc.pp.normalize_total(rna, target_sum=1e4)
        sc.pp.log1p(rna)
        sc.pp.highly_variable_genes(rna, n_top_genes=min(2_000, rna.n_vars - 1))
        mdata.mod["rna"] = rna[:, rna.var["highly_variable"]].copy()
    muon.prot.pp.clr(prot)
    prot.X = np.asarray(prot.X.todense() if hasattr(prot.X, "todense") else prot.X)
    for adata in mdata.mod.values():
        sc.pp.scale(adata, max_value=10)
    mdata.update()
    return mdata


def fit(job: Job, mdata: MuData) -> None:
    """Ten factors of all cells, in one group per batch as MOFA+ has them."""
    arguments = {}
    if job.data.batch is not None:
        mdata.obs["group"] = pd.concat([part.obs[job.data.batch].astype(str) for part in (job.known, job.new)])
        arguments["groups_label"] = "group"
    with tempfile.TemporaryDirectory() as folder:
        muon.tl.mofa(mdata, use_var=None, seed=job.seed, outfile=str(Path(folder) / "mofa.hdf5"), **arguments)


def embed(job: Job, mdata: MuData, model: None) -> Embedded:
    """Return the factors."""
    order = mdata.obs_names.get_indexer(job.known.obs_names.append(job.new.obs_names))
    return Embedded(np.asarray(mdata.obsm["X_mofa"])[order])


PEER = Peer(
    prepare=prepare,
    fit=fit,
    embed=embed,
    settings="muon.tl.mofa: 10 factors, convergence mode fast; groups where there are batches",
    new_cells="none: fitted on all cells",
)
