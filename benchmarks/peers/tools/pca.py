"""Principal components of both modalities side by side."""

import numpy as np
from sklearn.decomposition import PCA

from benchmarks.peers import inputs
from benchmarks.peers.peer import Embedded, Job, Peer

N_COMPONENTS = 30


def prepare(job: Job) -> np.ndarray:
    """Components of both modalities, each modality of variance 1 over the known cells."""
    parts = inputs.components(job).values()
    return np.hstack([x / np.sqrt(x[: job.known.n_obs].var(axis=0).sum()) for x in parts])


def fit(job: Job, values: np.ndarray) -> PCA:
    """Learn 30 components of the known cells."""
    known = values[: job.known.n_obs]
    return PCA(min(N_COMPONENTS, values.shape[1]), random_state=job.seed).fit(known)


def embed(job: Job, values: np.ndarray, model: PCA) -> Embedded:
    """Project all cells."""
    return Embedded(model.transform(values))


PEER = Peer(
    prepare=prepare,
    fit=fit,
    embed=embed,
    settings="30 components of both modalities, each scaled to variance 1",
    new_cells="both",
)
