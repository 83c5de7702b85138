"""clipdim with its defaults."""

import numpy as np

import clipdim
from benchmarks.peers import inputs
from benchmarks.peers.peer import Embedded, Job, Peer, rows_of


def fit(job: Job, prepared: None) -> None:
    """Train on the known cells."""
    clipdim.tl.fit(job.known, batch_key=job.data.batch, random_state=job.seed, progress=False)


def embed(job: Job, prepared: None, model: None) -> Embedded:
    """Embed the new ones."""
    clipdim.tl.embed(job.new, job.known)
    parts = [job.known, job.new]
    joint = np.concatenate([part.obsm["X_clipdim"] for part in parts])
    return Embedded(joint, {name: rows_of(parts, name, "X_clipdim") for name in job.known.mod})


PEER = Peer(
    prepare=inputs.preprocess,
    fit=fit,
    embed=embed,
    settings="32 dimensions, defaults; batch_key where there are batches",
    new_cells="both, RNA, protein",
)
