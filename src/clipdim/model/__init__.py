"""The tools in the vocabulary of scvi-tools: set up, train, get the latent representation, save and load."""

from clipdim.model._contrastive_encoders import ContrastiveEncoders

__all__ = ["ContrastiveEncoders"]
