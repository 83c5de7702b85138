"""Preprocessing: raw counts of a CITE-seq experiment to the principal components that ``clipdim.tl.fit`` reads."""

from clipdim.pp._citeseq import citeseq
from clipdim.pp._protein import protein
from clipdim.pp._rna import rna
from clipdim.pp._thin import thin

__all__ = ["citeseq", "protein", "rna", "thin"]
