"""Tools: learn the joint embedding, measure it."""

from clipdim.tl._classify import classify
from clipdim.tl._embed import embed
from clipdim.tl._fit import fit
from clipdim.tl._intrinsic_dimension import intrinsic_dimension
from clipdim.tl._match import match

__all__ = ["classify", "embed", "fit", "intrinsic_dimension", "match"]
