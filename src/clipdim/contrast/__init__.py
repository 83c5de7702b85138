"""Contrastive learning of paired representations in plain torch: loss, encoders, model, training, recipes."""

from clipdim.contrast.encoder import Encoder
from clipdim.contrast.loss import info_nce
from clipdim.contrast.model import ContrastiveModel
from clipdim.contrast.noise import adapt_noise
from clipdim.contrast.recipes import RECIPES, Recipe
from clipdim.contrast.training import Epoch, train

__all__ = ["RECIPES", "ContrastiveModel", "Encoder", "Epoch", "Recipe", "adapt_noise", "info_nce", "train"]
