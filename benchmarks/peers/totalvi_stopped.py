"""totalVI stopped when clipdim would be done."""

from dataclasses import replace
from datetime import timedelta

import scvi
import totalvi
from mudata import MuData
from peer import Job


def fit(job: Job, parts: list[MuData]) -> scvi.model.TOTALVI:
    """Train as long as clipdim took."""
    return totalvi.train(job, parts, max_time=timedelta(seconds=job.seconds or 0))


PEER = replace(
    totalvi.PEER, fit=fit, settings="as totalVI, stopped after the seconds that clipdim took with the same seed"
)
