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
        """
        Return the scalar of one minibatch.

        ``inputs[mod]`` and ``norm_inputs[mod]`` are (cells x features), ``groups`` (cells,). ``generator`` is the
        source of noise, ``gather`` collects the rows of all processes.
        """


def pair_loss(recipe: Recipe) -> PairLoss:
    """
    Return the loss of two modalities that the recipe names.

    Examples
    --------
    >>> from clipdim.contrast import RECIPES
    >>> from clipdim.contrast.objective import pair_loss
    >>> pair_loss(RECIPES["default"]).__name__
    'info_nce'
    """
    loss: PairLoss = getattr(import_module(LOSSES[recipe.loss]), recipe.loss)
    return loss


def pair_losses(
    model: ContrastiveModel, embeddings: Mapping[str, Tensor], *, groups: Tensor | None = None
) -> list[Tensor]:
    """
    Loss of each pair of modalities that are among the embeddings, at the pair's temperature.

    ``embeddings`` are normalised, (cells x dimensions) for each modality, row i the same cell in all.

    Examples
    --------
    >>> import torch
    >>> from clipdim.contrast import RECIPES, ContrastiveModel
    >>> from clipdim.contrast.objective import pair_losses
    >>> model = ContrastiveModel.create({"a": 5, "b": 5, "c": 5}, 4, RECIPES["default"])
    >>> model = model.initialize(torch.Generator().manual_seed(0))
    >>> len(pair_losses(model, {"a": torch.eye(4), "c": torch.eye(4)}))
    1
    """
    loss = pair_loss(model.recipe)
    return [
        loss(embeddings[first], embeddings[second], temperature, groups=groups)
        for (first, second), temperature in zip(model.pairs, model.temperatures(), strict=True)
        if first in embeddings and second in embeddings
    ]


class Contrastive:
    """
    Mean of the recipe's loss over the pairs of modalities of a minibatch.

    The norm set, which ``similarity="inner"`` may have, is encoded with gradient. Without one the expected norms are
    the minibatch's own.

    Examples
    --------
    >>> import torch
    >>> from clipdim.contrast import RECIPES, ContrastiveModel
    >>> from clipdim.contrast.objective import Contrastive
    >>> generator = torch.Generator().manual_seed(0)
    >>> model = ContrastiveModel.create({"a": 5, "b": 5}, 4, RECIPES["default"]).initialize(generator)
    >>> x = torch.randn(20, 5, generator=generator)
    >>> bool(Contrastive()(model, {"a": x, "b": x}, generator=generator) > 0)
    True
    """

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
        """Return the loss of one minibatch."""

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
