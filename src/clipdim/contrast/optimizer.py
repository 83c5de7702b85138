"""Adam and AdamW with the learning rate in one cycle, from PyTorch's functional interface."""

import math

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw

from clipdim.contrast.recipes import Recipe

BETA_1, BETA_2 = 0.9, 0.999
EPSILON = 1e-8
# the cycle of Smith and Topin as PyTorch's OneCycleLR has it: the rate climbs to its peak in the first part of the
# steps, and the first moment is averaged over fewer steps while the rate is high
CLIMB = 0.3
FIRST_RATE, LAST_RATE = 1 / 25, 1 / 250_000
LOW_BETA_1, HIGH_BETA_1 = 0.85, 0.95


class Optimizer:
    """Adam or AdamW over the parameters of a module, changed in place, with the settings of a recipe.

    AdamW decays matrices only, Adam every parameter; `n_steps` is the length of the learning rate's cycle. (Kingma and
    Ba, 2015; Loshchilov and Hutter, 2019; Smith and Topin, 2017.) PyTorch's fused kernels are called without its
    optimiser classes: the first of those in a process imports the compiler of PyTorch, which takes longer than many a
    fit.
    """

    def __init__(self, module: nn.Module, recipe: Recipe, n_steps: int) -> None:
        self.recipe, self.n_steps, self.n_taken = recipe, n_steps, 0
        parameters = list(module.parameters())
        if recipe.optimizer == "adam":
            groups = [(parameters, recipe.weight_decay)]
        else:
            matrices = [p for p in parameters if p.ndim > 1]
            groups = [(matrices, recipe.weight_decay), ([p for p in parameters if p.ndim <= 1], 0.0)]
        self.parameters = parameters
        self._groups = [(_State(parameters), decay) for parameters, decay in groups]

    def rate(self) -> tuple[float, float]:
        """Learning rate and decay of the first moment at the next step."""
        if not self.recipe.one_cycle:
            return self.recipe.lr, BETA_1
        top = CLIMB * (self.n_steps + 1) - 1
        if self.n_taken <= top:
            share, first = self.n_taken / top, FIRST_RATE
        else:
            share, first = 1 - (self.n_taken - top) / (self.n_steps - top), LAST_RATE
        high = (1 - math.cos(math.pi * share)) / 2
        # beyond the top the momentum comes back to where it began
        return self.recipe.lr * (first + (1 - first) * high), HIGH_BETA_1 + (LOW_BETA_1 - HIGH_BETA_1) * high

    def clear(self) -> None:
        """Forget the gradients."""
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters by their gradients."""
        lr, beta_1 = self.rate()
        function = adam if self.recipe.optimizer == "adam" else adamw
        for state, decay in self._groups:
            function(
                state.parameters,
                [torch.zeros_like(p) if p.grad is None else p.grad for p in state.parameters],
                state.means,
                state.squares,
                [],
                state.steps,
                fused=True,
                amsgrad=False,
                beta1=beta_1,
                beta2=BETA_2,
                lr=lr,
                weight_decay=decay,
                eps=EPSILON,
                maximize=False,
            )
        self.n_taken += 1


class _State:
    """Moments of the gradients of some parameters."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters: list[Tensor] = list(parameters)
        self.means = [torch.zeros_like(p) for p in parameters]
        self.squares = [torch.zeros_like(p) for p in parameters]
        self.steps = [torch.zeros((), device=p.device) for p in parameters]
