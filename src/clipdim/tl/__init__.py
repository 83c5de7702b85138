"""Tools: learn the joint embedding, measure it."""

from clipdim.tl._classify import classify
from clipdim.tl._diagnose import diagnose
from clipdim.tl._embed import embed
from clipdim.tl._fit import fit
from clipdim.tl._impute import impute
from clipdim.tl._intrinsic_dimension import intrinsic_dimension
from clipdim.tl._loadings import loadings
from clipdim.tl._match import match
from clipdim.tl._private import private
from clipdim.tl._reduce import reduce
from clipdim.tl._shared_dimension import shared_dimension
from clipdim.tl._sweep import sweep
from clipdim.tl._transfer_labels import transfer_labels
from clipdim.tl._update import update

__all__ = [
    "classify",
    "diagnose",
    "embed",
    "fit",
    "impute",
    "intrinsic_dimension",
    "loadings",
    "match",
    "private",
    "reduce",
    "shared_dimension",
    "sweep",
    "transfer_labels",
    "update",
]
