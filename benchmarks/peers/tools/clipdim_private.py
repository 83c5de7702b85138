"""clipdim with what each modality knows alone."""

from dataclasses import replace

import numpy as np

import clipdim
from benchmarks.peers.peer import Embedded, Job
from benchmarks.peers.tools import clipdim_


def fit(job: Job, prepared: None) -> None:
    """Train on the known cells and add the private dimensions."""
    clipdim_.fit(job, prepared)
    clipdim.tl.private(job.known)


def embed(job: Job, prepared: None, model: None) -> Embedded:
    """Shared and private dimensions of all cells."""
    clipdim_.embed(job, prepared, model)
    return Embedded(np.concatenate([part.obsm["X_clipdim_complete"] for part in (job.known, job.new)]))


PEER = replace(
    clipdim_.PEER,
    fit=fit,
    embed=embed,
    settings="as clipdim, with at most 20 private dimensions of each modality: tl.private",
    new_cells="both, RNA, protein",
)
