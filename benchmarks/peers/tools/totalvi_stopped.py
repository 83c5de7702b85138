"""totalVI stopped when clipdim would be done."""

from dataclasses import replace
from datetime import timedelta

import scvi
from mudata import MuData

from benchmarks.peers.peer import Job
from benchmarks.peers.tools import totalvi


def fit(job: Job, parts: list[MuData]) -> scvi.model.TOTALVI:
    """Train as long as clipdim took."""
    return totalvi.train(job, parts, max_time=timedelta(seconds=job.seconds or 0))


PEER = replace(
    totalvi.PEER, fit=fit, settings="as totalVI, stopped after the seconds that clipdim took with the same seed"
)
