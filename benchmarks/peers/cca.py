"""Canonical correlation analysis of the components (scikit-learn)."""

import inputs
import numpy as np
from peer import Embedded, Job, Peer
from sklearn.cross_decomposition import CCA

N_COMPONENTS = 10


def fit(job: Job, components: dict[str, np.ndarray]) -> CCA:
    """Ten pairs of canonical variates of the known cells, or as many as the smaller modality has features."""
    n, (x, y) = job.known.n_obs, components.values()
    n_components = min(N_COMPONENTS, x.shape[1], y.shape[1])
    return CCA(n_components=n_components, max_iter=2_000).fit(x[:n], y[:n])


def embed(job: Job, components: dict[str, np.ndarray], model: CCA) -> Embedded:
    """Variates of all cells, and their mean."""
    found = dict(zip(components, model.transform(*components.values()), strict=True))
    return Embedded(np.mean(list(found.values()), axis=0), found)


PEER = Peer(
    prepare=inputs.components,
    fit=fit,
    embed=embed,
    settings="10 canonical variates of the principal components",
    new_cells="both, RNA, protein",
)
