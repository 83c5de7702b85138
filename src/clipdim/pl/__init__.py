"""Figures of a fit: each function takes a fitted MuData and returns the Axes that it drew on."""

from clipdim.pl._accuracy import accuracy
from clipdim.pl._confusion import confusion
from clipdim.pl._diagnose import diagnose
from clipdim.pl._history import history
from clipdim.pl._intrinsic_dimension import intrinsic_dimension
from clipdim.pl._loadings import loadings
from clipdim.pl._norms import norms
from clipdim.pl._reliability import reliability
from clipdim.pl._shared_dimension import shared_dimension
from clipdim.pl._similarity import similarity
from clipdim.pl._snapshots import snapshots
from clipdim.pl._sweep import sweep
from clipdim.pl._temperature import temperature

__all__ = [
    "accuracy",
    "confusion",
    "diagnose",
    "history",
    "intrinsic_dimension",
    "loadings",
    "norms",
    "reliability",
    "shared_dimension",
    "similarity",
    "snapshots",
    "sweep",
    "temperature",
]
