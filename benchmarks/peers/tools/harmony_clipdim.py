"""clipdim on components that Harmony has corrected for batches."""

from dataclasses import replace

import clipdim
from benchmarks.peers import inputs
from benchmarks.peers.peer import Job, rows_of
from benchmarks.peers.tools import clipdim_, harmony

SLOT = "X_pca_harmony"


def prepare(job: Job) -> None:
    """Components of each modality."""
    harmony.refuse_one_batch(job)
    inputs.preprocess(job)


def fit(job: Job, prepared: None) -> None:
    """Correct the components of all cells, and train on those of the known ones."""
    parts = [job.known, job.new]
    for name in job.known.mod:
        values = harmony.correct(job, rows_of(parts, name, "X_pca"))
        for part, of_part in zip(parts, (values[: job.known.n_obs], values[job.known.n_obs :]), strict=True):
            part[name].obsm[SLOT] = of_part[part.obs_names.get_indexer(part[name].obs_names)]
    # no batch_key: what it would take away is gone
    clipdim.tl.fit(job.known, use_rep=dict.fromkeys(job.known.mod, SLOT), random_state=job.seed, progress=False)


PEER = replace(
    clipdim_.PEER,
    prepare=prepare,
    fit=fit,
    settings="harmonypy.run_harmony of each modality's components, defaults; clipdim's defaults without batch_key",
    new_cells="none: Harmony is fitted on all cells",
)
