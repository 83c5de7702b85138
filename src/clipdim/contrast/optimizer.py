"""Adam and AdamW with the learning rate in one cycle, from PyTorch's functional interface."""

import math

import torch
from torch import nn
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
        self.parameters = list(module.parameters())
        kinds: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in module.named_parameters():
            rate = recipe.linear_rate if name.endswith("linear.weight") else 1.0
            decays = recipe.optimizer == "adam" or parameter.ndim > 1
            kinds.setdefault((rate, recipe.weight_decay if decays else 0.0), []).append(parameter)
        self._groups = [(_State(parameters), rate, decay) for (rate, decay), parameters in kinds.items()]

    def rate(self) -> tuple[float, float]:
        """Learning rate of the network and decay of the first moment at the next step."""
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
        for state, rate, decay in self._groups:
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in state.parameters]
            function(
                [state.values],
                [torch.cat([gradient.reshape(-1) for gradient in gradients])],
                [state.mean],
                [state.square],
                [],
                [state.n_steps],
                fused=True,
                amsgrad=False,
                beta1=beta_1,
                beta2=BETA_2,
                lr=rate * lr,
                weight_decay=decay,
                eps=EPSILON,
                maximize=False,
            )
        self.n_taken += 1


class _State:
    """Some parameters in one piece of memory, of which they become views, with the moments of their gradients."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        self.values = torch.cat([p.detach().reshape(-1) for p in parameters])
        for p, values in zip(parameters, self.values.split([p.numel() for p in parameters]), strict=True):
            p.data = values.view_as(p)
        self.mean, self.square = torch.zeros_like(self.values), torch.zeros_like(self.values)
        self.n_steps = torch.zeros((), device=self.values.device)
