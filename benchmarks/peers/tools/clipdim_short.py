"""clipdim for those in a hurry."""

from dataclasses import replace

import clipdim
from benchmarks.peers.peer import Job
from benchmarks.peers.tools import clipdim_

N_EPOCHS = 3


def fit(job: Job, prepared: None) -> None:
    """Train for a few epochs."""
    clipdim.tl.fit(job.known, batch_key=job.data.batch, max_epochs=N_EPOCHS, random_state=job.seed, progress=False)


PEER = replace(clipdim_.PEER, fit=fit, settings=f"as clipdim, with max_epochs={N_EPOCHS}")
