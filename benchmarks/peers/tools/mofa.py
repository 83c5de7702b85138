"""MOFA+ through muon; new cells are projected on its weights."""

import tempfile
from pathlib import Path
from typing import Any

import mofapy2  # noqa: F401  muon needs it
import muon
import numpy as np
import pandas as pd
import scanpy as sc
from mudata import MuData

from benchmarks.peers import inputs
from benchmarks.peers.peer import Embedded, Job, Peer
from benchmarks.shared.data import dense

N_FACTORS = 30
# of features of variance 1; those that no known cell expresses have none
LEAST_VARIANCE = 1e-3


def prepare(job: Job) -> MuData:
    """Log-normalised highly variable genes and centred log ratios, by batch, of all cells, known ones first."""
    mdata = inputs.together(job)
    rna, prot = mdata["rna"], mdata["prot"]
    batches = pd.Series("all", index=job.known.obs_names.append(job.new.obs_names))
    if job.data.batch is not None:
        batches = pd.concat([part.obs[job.data.batch].astype(str) for part in (job.known, job.new)])
    rna.obs["batch"] = batches[rna.obs_names].astype("category")
    if job.data.has_counts:
        sc.pp.normalize_total(rna, target_sum=1e4)
        sc.pp.log1p(rna)
        sc.pp.highly_variable_genes(rna, n_top_genes=min(2_000, rna.n_vars - 1), batch_key="batch")
        mdata.mod["rna"] = rna[:, rna.var["highly_variable"]].copy()
    prot.X = dense(prot.X, np.float32)
    for batch in batches.unique():
        of_batch = (batches[prot.obs_names] == batch).to_numpy()
        part = prot[of_batch].copy()
        muon.prot.pp.clr(part)
        prot.X[of_batch] = dense(part.X, np.float32)
    for adata in mdata.mod.values():
        sc.pp.scale(adata, max_value=10)
    mdata.update()
    mdata = mdata[batches.index].copy()
    mdata.obs["batch"] = batches
    return mdata


def fit(job: Job, mdata: MuData) -> MuData:
    """Thirty factors of the known cells, in one group per batch as MOFA+ has them."""
    known = mdata[: job.known.n_obs].copy()
    with tempfile.TemporaryDirectory() as folder:
        muon.tl.mofa(
            known,
            use_var=None,
            n_factors=N_FACTORS,
            groups_label=None if job.data.batch is None else "batch",
            seed=job.seed,
            outfile=str(Path(folder) / "mofa.hdf5"),
        )
    return known


def embed(job: Job, mdata: MuData, known: MuData) -> Embedded:
    """
    Posterior mean of the factors of all cells, given both modalities or one: of unit norm, for their cosines.

    Prior and noise are MOFA's: factors of variance 1, and for each feature the variance that the factors leave.
    """
    factors = np.asarray(known.obsm["X_mofa"])
    evidence = {}
    for name in mdata.mod:
        weights = np.asarray(known.varm["LFs"])[known.varmap[name].ravel() > 0]
        values = pd.DataFrame(dense(mdata[name].X, np.float32), index=mdata.obs_names)
        batch = mdata.obs["batch"].astype(str)
        means = values[: known.n_obs].groupby(batch[: known.n_obs]).mean()
        values = values.to_numpy() - means.loc[batch].to_numpy()
        left = np.square(values[: known.n_obs] - factors @ weights.T).mean(axis=0)
        precision = 1 / left.clip(LEAST_VARIANCE)
        evidence[name] = (weights.T * precision) @ weights, values * precision @ weights

    def posterior(names: Any) -> np.ndarray:
        total, projected = (sum(parts) for parts in zip(*(evidence[name] for name in names), strict=True))
        return np.linalg.solve(np.eye(len(total)) + total, projected.T).T

    alone = {name: posterior([name]) for name in evidence}
    unit = {name: x / np.linalg.norm(x, axis=1, keepdims=True) for name, x in alone.items()}
    return Embedded(posterior(evidence), unit)


PEER = Peer(
    prepare=prepare,
    fit=fit,
    embed=embed,
    settings="muon.tl.mofa: 30 factors as in muon's tutorial, convergence mode fast; groups where there are batches",
    new_cells="both, RNA, protein: projected on the weights",
)
