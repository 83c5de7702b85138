"""Joint embeddings of paired single-cell modalities, and the number of dimensions that they share."""

from importlib.metadata import version
from typing import TYPE_CHECKING

from clipdim._lazy import attach

__all__ = ["datasets", "model", "pl", "pp", "tl"]
__version__ = version("clipdim")

if TYPE_CHECKING:
    from clipdim import datasets, model, pl, pp, tl
else:  # a type checker that saw this would take any name for one of the package
    __getattr__, __dir__ = attach(__name__, dict.fromkeys(__all__))
