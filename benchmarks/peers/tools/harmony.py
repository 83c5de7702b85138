"""Harmony: the principal components of both modalities, corrected for batches."""

import harmonypy
import numpy as np
import pandas as pd

from benchmarks.peers.peer import CannotRunError, Embedded, Job, Peer
from benchmarks.peers.tools import pca


def refuse_one_batch(job: Job) -> None:
    """Say that there is nothing to correct."""
    if job.data.batch is None:
        msg = "no batches, without which Harmony changes nothing"
        raise CannotRunError(msg)


def correct(job: Job, values: np.ndarray) -> np.ndarray:
    """Take the batch out of components, (all cells x components), known cells first."""
    obs = pd.concat([part.obs[[job.data.batch]] for part in (job.known, job.new)])
    found = harmonypy.run_harmony(values, obs, job.data.batch, random_state=job.seed, ncores=job.threads, verbose=False)
    return found.Z_corr


def prepare(job: Job) -> np.ndarray:
    """Components of both modalities side by side, of all cells."""
    refuse_one_batch(job)
    values = pca.prepare(job)
    return pca.fit(job, values).transform(values)


def embed(job: Job, values: np.ndarray, model: np.ndarray) -> Embedded:
    """Return the corrected components."""
    return Embedded(model)


PEER = Peer(
    prepare=prepare,
    fit=correct,
    embed=embed,
    settings="harmonypy.run_harmony of the components of concatenated PCA, defaults",
    new_cells="none: fitted on all cells",
)
