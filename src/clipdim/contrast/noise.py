"""Whether noise on the inputs helps or hides what the modalities share: two short pilot fits tell."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Generator, Tensor

from clipdim.contrast.model import ContrastiveModel
from clipdim.contrast.objective import contrastive
from clipdim.contrast.recipes import RECIPES, Recipe
from clipdim.contrast.training import train

PILOT_CELLS = 2_560
"""As many cells as a pilot can use; more only cost time."""
MIN_CELLS = 100
MAX_VALIDATION_CELLS = 512
N_STEPS = 80
BATCH_SIZE = 128
# enough for the data, whatever out_dim the user asks for
OUT_DIM = 32
HIDDEN_INFORMATION = 0.35


def adapt_noise(
    recipe: Recipe, inputs: Mapping[str, Tensor], *, random_state: int = 0, groups: Tensor | None = None
) -> Recipe:
    """Set the recipe's input noise to 0 where the noise would hide what the modalities share.

    Noise on the inputs keeps encoders from learning cells by heart, which counts with their own noise call for. Where
    the modalities agree more closely than that noise (simulations, two views of one measurement), it costs matching,
    and nuisance directions enter the embedding. Two encoders are trained for 80 steps, with the noise and without; it
    is left out when that lowers the loss of cells that neither has seen by more than 0.35 nats (the gains behind this
    bound are those of ``benchmarks/recipe/noise.py``). The cells are in random order: the first fifth, at most 512,
    tests.
    """
    settled = replace(recipe, adaptive_noise=False)
    n_cells = len(next(iter(inputs.values())))
    if not recipe.adaptive_noise or recipe.input_noise == 0 or n_cells < MIN_CELLS:
        return settled
    gain = information_hidden_by_noise(recipe, inputs, random_state=random_state, groups=groups)
    return replace(settled, input_noise=0.0) if gain > HIDDEN_INFORMATION else settled


def information_hidden_by_noise(
    recipe: Recipe, inputs: Mapping[str, Tensor], *, random_state: int = 0, groups: Tensor | None = None
) -> float:
    """Held-out loss of a pilot fit with the recipe's input noise less that of one without, in nats."""
    n_cells = len(next(iter(inputs.values())))
    n_validation = min(MAX_VALIDATION_CELLS, n_cells // 5)

    def held_out_loss(noise: float) -> float:
        size = min(BATCH_SIZE, n_cells - n_validation)
        pilot = replace(
            RECIPES["default"],
            input_noise=noise,
            standardize=recipe.standardize,
            batch_size=size,
            max_epochs=math.ceil(N_STEPS / ((n_cells - n_validation) // size)),
        )
        first = next(iter(inputs.values()))
        model = ContrastiveModel.create({name: x.shape[1] for name, x in inputs.items()}, OUT_DIM, pilot)
        model.initialize(Generator().manual_seed(random_state))
        training = {name: x[n_validation:] for name, x in inputs.items()}
        if pilot.standardize:
            for name, encoder in model.encoders.items():
                encoder.standardize(training[name])
        model.to(first.device)
        for _ in train(
            model,
            training,
            generator=Generator(first.device).manual_seed(random_state),
            groups=None if groups is None else groups[n_validation:],
        ):
            pass
        model.eval()
        with torch.no_grad():
            validation = {name: x[:n_validation] for name, x in inputs.items()}
            return contrastive(model, validation, groups=None if groups is None else groups[:n_validation]).item()

    return held_out_loss(recipe.input_noise) - held_out_loss(0.0)
