"""One modality by itself: its principal components, or the latent representation that the data come with."""

import numpy as np

from benchmarks.peers import inputs
from benchmarks.peers.peer import Embedded, Job, Peer


def peer(modality: str, new_cells: str) -> Peer:
    """Make the peer of one modality; nothing is left to be fitted after preprocessing."""

    def prepare(job: Job) -> np.ndarray:
        return inputs.components(job)[modality]

    def fit(job: Job, values: np.ndarray) -> None:
        return None

    def embed(job: Job, values: np.ndarray, model: None) -> Embedded:
        return Embedded(values)

    return Peer(prepare, fit, embed, settings="principal components of clipdim.pp", new_cells=new_cells)
