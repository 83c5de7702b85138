"""totalVI (scvi-tools) with its defaults."""

import logging
import warnings
from typing import Any

import numpy as np
import scvi
from mudata import MuData

from benchmarks.peers.peer import CannotRunError, Embedded, Job, Peer

QUICK_EPOCHS = 20


def quiet(job: Job) -> dict[str, Any]:
    """Arguments of the training that change no result."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning|scvi")
    return {"accelerator": "cpu", "enable_progress_bar": False}


def prepare(job: Job) -> list[MuData]:
    """Raw counts of the 4,000 genes of these data, both modalities' cells in one order."""
    if not job.data.has_counts:
        msg = "no RNA counts"
        raise CannotRunError(msg)
    parts = []
    for part in (job.known, job.new):
        adatas = {name: part[name][part.obs_names].copy() for name in ("rna", "prot")}
        mdata = MuData(adatas)
        if job.data.batch is not None:
            mdata["rna"].obs["batch"] = part.obs[job.data.batch].astype(str)
        parts.append(mdata)
    return parts


def setup(job: Job, mdata: MuData) -> None:
    """Register the MuData."""
    scvi.model.TOTALVI.setup_mudata(
        mdata,
        rna_layer=None,
        protein_layer=None,
        batch_key=None if job.data.batch is None else "batch",
        modalities={"rna_layer": "rna", "protein_layer": "prot", "batch_key": "rna"},
    )


def train(job: Job, parts: list[MuData], **arguments: Any) -> scvi.model.TOTALVI:
    """Train on the known cells."""
    scvi.settings.seed = job.seed
    setup(job, parts[0])
    model = scvi.model.TOTALVI(parts[0])
    model.train(**quiet(job), **arguments)
    return model


def fit(job: Job, parts: list[MuData]) -> scvi.model.TOTALVI:
    """Train for the default number of epochs, with the default early stopping."""
    return train(job, parts, max_epochs=QUICK_EPOCHS if job.quick else None)


def embed(job: Job, parts: list[MuData], model: scvi.model.TOTALVI) -> Embedded:
    """Latent representation of all cells."""
    return Embedded(np.concatenate([model.get_latent_representation(part) for part in parts]))


PEER = Peer(
    prepare=prepare,
    fit=fit,
    embed=embed,
    settings="20 dimensions, at most 400 epochs with early stopping, the defaults; 4,000 genes (2,000 simulated)",
    new_cells="both",
)
