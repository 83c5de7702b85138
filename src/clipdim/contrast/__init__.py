"""Contrastive learning of paired representations in plain torch: loss, encoders, model, training, recipes."""

from typing import TYPE_CHECKING

from clipdim._lazy import attach

__all__ = [
    "RECIPES",
    "ContrastiveModel",
    "Encoder",
    "Epoch",
    "Moments",
    "Recipe",
    "RidgeCCA",
    "info_nce",
    "ridge_cca",
    "train",
]

if TYPE_CHECKING:
    from clipdim.contrast.cca import RidgeCCA, ridge_cca
    from clipdim.contrast.encoder import Encoder
    from clipdim.contrast.loss import info_nce
    from clipdim.contrast.model import ContrastiveModel
    from clipdim.contrast.moments import Moments
    from clipdim.contrast.recipes import RECIPES, Recipe
    from clipdim.contrast.training import Epoch, train
else:  # a type checker that saw this would take any name for one of the package
    __getattr__, __dir__ = attach(
        __name__,
        {
            "RECIPES": "recipes",
            "ContrastiveModel": "model",
            "Encoder": "encoder",
            "Epoch": "training",
            "Moments": "moments",
            "Recipe": "recipes",
            "RidgeCCA": "cca",
            "info_nce": "loss",
            "ridge_cca": "cca",
            "train": "training",
        },
    )
