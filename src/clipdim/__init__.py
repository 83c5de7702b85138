"""Joint embeddings of paired single-cell modalities, and the number of dimensions that they share."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clipdim import datasets, model, pl, pp, tl

__all__ = ["datasets", "model", "pl", "pp", "tl"]
__version__ = version("clipdim")


def __getattr__(name: str) -> Any:
    # torch, scanpy and matplotlib take seconds to load: a submodule is imported when first used
    if name in __all__:
        return import_module(f"clipdim.{name}")
    msg = f"module 'clipdim' has no attribute {name!r}; it has {', '.join(__all__)}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
