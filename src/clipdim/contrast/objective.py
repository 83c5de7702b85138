"""What training lowers: the loss of two modalities, and the objective of a minibatch that is made of it."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Protocol

import torch
from torch import Generator, Tensor

from clipdim.contrast.model import ContrastiveModel
from clipdim.contrast.recipes import LOSSES, Recipe


class PairLoss(Protocol):
    """Loss of the normalised embeddings of the same cells in two modalities, (cells x dimensions) each."""

    def __call__(self, u: Tensor, v: Tensor, temperature: Tensor | float, *, groups: Tensor | None = None) -> Tensor:
        """Return a scalar; ``groups`` says which cells are compared, see :func:`clipdim.contrast.info_nce`."""


class Objective(Protocol):
    """What :func:`clipdim.contrast.train` lowers."""

    def __call__(
        self,
        model: ContrastiveModel,
        inputs: Mapping[str, Tensor],
        *,
        groups: Tensor | None = None,
        norm_inputs: Mapping[str, Tensor] | None = None,
        generator: Generator | None = None,
        gather: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return the scalar of one minibatch; ``generator`` is for noise, ``gather`` collects rows of all processes."""


def pair_loss(recipe: Recipe) -> PairLoss:
    """Return the loss of two modalities that the recipe names."""
    loss: PairLoss = getattr(import_module(LOSSES[recipe.loss]), recipe.loss)
    return loss


def pair_losses(
    model: ContrastiveModel, embeddings: Mapping[str, Tensor], *, groups: Tensor | None = None
) -> list[Tensor]:
    """Loss of each pair of modalities among the normalised embeddings of the same cells, at the pair's temperature."""
    loss = pair_loss(model.recipe)
    return [
        loss(embeddings[first], embeddings[second], temperature, groups=groups)
        for (first, second), temperature in zip(model.pairs, model.temperatures(), strict=True)
        if first in embeddings and second in embeddings
    ]


def contrastive(
    model: ContrastiveModel,
    inputs: Mapping[str, Tensor],
    *,
    groups: Tensor | None = None,
    norm_inputs: Mapping[str, Tensor] | None = None,
    generator: Generator | None = None,
    gather: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Mean of the recipe's loss over the pairs of modalities of a minibatch.

    The norm set, which ``similarity="inner"`` may have, is encoded with gradient; without one the expected norms are
    the minibatch's own.
    """

    def encode(name: str, inputs: Tensor) -> Tensor:
        outputs = model.outputs(name, model.encoders[name].perturb(inputs, generator))
        return outputs if gather is None else gather(outputs)

    embeddings = {}
    for name in model.modalities:
        if name not in inputs:
            continue
        outputs = encode(name, inputs[name])
        mean_norm = model.encoders[name].mean_norm
        if model.recipe.similarity == "inner":
            measured = outputs if norm_inputs is None else encode(name, norm_inputs[name])
            mean_norm = measured.norm(dim=1).mean()
        embeddings[name] = model.normalize(outputs, mean_norm)
    if groups is not None and gather is not None:
        groups = gather(groups)
    return torch.stack(pair_losses(model, embeddings, groups=groups)).mean()
