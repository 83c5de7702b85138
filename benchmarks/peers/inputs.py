"""The preprocessing that embeddings of components start from, learned on the known cells only."""

import anndata
import numpy as np
from mudata import MuData

import clipdim
from benchmarks.peers.peer import Job, rows_of


def components(job: Job) -> dict[str, np.ndarray]:
    """Principal components of each modality, known cells first; bmcite's RNA is a latent representation already."""
    preprocess(job)
    slots = {name: "X_pca" if "X_pca" in job.known[name].obsm else "X_scVI" for name in job.known.mod}
    return {name: rows_of([job.known, job.new], name, slot) for name, slot in slots.items()}


def preprocess(job: Job) -> None:
    """As clipdim recommends: components of the known cells, the new ones projected on them."""
    function = clipdim.pp.citeseq if job.data.has_counts else clipdim.pp.protein
    batches = {} if job.data.batch is None else {"batch_key": job.data.batch}
    function(job.known, **batches)
    function(job.new, reference=job.known)


def together(job: Job) -> MuData:
    """All cells in one, for methods that cannot embed new ones."""
    both = MuData({name: anndata.concat([job.known[name], job.new[name]], merge="same") for name in job.known.mod})
    names = job.known.obs_names.append(job.new.obs_names)
    for name in both.mod:
        both.mod[name] = both[name][names].copy()
    both.update()
    return both
