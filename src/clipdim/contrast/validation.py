"""What cells that a model does not train on say of it: how much of what it learned to keep, and if noise hides it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from scipy.optimize import minimize_scalar
from torch import Generator, Tensor

from clipdim.contrast.cells import Cells
from clipdim.contrast.model import ContrastiveModel
from clipdim.contrast.objective import pair_loss

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Shares of what was learned beyond the start that are tried."""
# temperatures between which the best is looked for, and one at which all cells are as likely
LOWEST, HIGHEST, INFINITE = 1e-3, 3.0, 1e6
ENOUGH_CELLS = 500


@dataclass(frozen=True)
class Candidate:
    """A model that keeps a share of what was learned, on the validation cells."""

    share: float
    loss: float
    """Mean over the pairs of modalities, at their best temperatures."""
    temperatures: list[float]
    """The best one of each pair; NaN for pairs that no cell has."""


class Validation:
    """Cells that a model is not trained on, compared with each other, within groups if there are any.

    Parameters
    ----------
    cells
        Validation cells, on the device of the models.
    """

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self._blocks = [cells.take(*drawn) for drawn in cells.minibatches(len(cells), by_group=False).draw(None)]

    @property
    def comparable(self) -> bool:
        """Whether two of the cells have the same modalities."""
        return bool(self._blocks)

    @torch.no_grad()
    def candidates(self, model: ContrastiveModel, shares: tuple[float, ...] = SHARES) -> list[Candidate]:
        """Try shares of what a model learned beyond its start; a random one is no place to go back to."""
        starts, steps = [], []
        for inputs, _ in self._blocks:
            starts.append({name: model.encoders[name].start_outputs(x) for name, x in inputs.items()})
            steps.append({name: model.encoders[name](x) - starts[-1][name] for name, x in inputs.items()})
        found = []
        for share in shares:
            outputs = [
                {name: x + share * step[name] for name, x in start.items()}
                for start, step in zip(starts, steps, strict=True)
            ]
            lowest = max(LOWEST, 1.01 * model.recipe.min_temperature)
            best = [self._best(loss_at, lowest) for loss_at in self._losses(model, outputs)]
            losses = [loss for loss, _ in best if not math.isnan(loss)]
            found.append(Candidate(share, sum(losses) / len(losses), [temperature for _, temperature in best]))
        return found

    @torch.no_grad()
    def hidden_by_noise(self, model: ContrastiveModel, generator: Generator) -> tuple[float, float]:
        """Nats that the input noise hides of what the model knows of the modalities' relation, and those it knows."""
        # of few cells each draw tells little
        n_draws = math.ceil(ENOUGH_CELLS / len(self.cells))
        noisy = [self._loss(model.train(), generator) for _ in range(n_draws)]
        clean = self._loss(model.eval(), generator)
        return sum(noisy) / n_draws - clean, self._loss(model, generator, INFINITE) - clean

    def _loss(self, model: ContrastiveModel, generator: Generator, temperature: float | None = None) -> float:
        """Mean over the pairs of modalities, at their own temperatures or at one at which all cells are as likely."""
        outputs = [
            {name: model.encoders[name](x, generator) for name, x in inputs.items()} for inputs, _ in self._blocks
        ]
        own = zip(self._losses(model, outputs), model.temperatures().tolist(), strict=True)
        losses = [f(t if temperature is None else temperature) for f, t in own if f is not None]
        return sum(losses) / len(losses)

    def _losses(
        self, model: ContrastiveModel, outputs: list[dict[str, Tensor]]
    ) -> list[Callable[[float], float] | None]:
        """Loss of each pair of modalities as a function of its temperature; None where no cell has both."""
        loss = pair_loss(model.recipe)
        norms = _mean_norms(outputs)
        points = [{name: model.normalize(x, norms[name]) for name, x in block.items()} for block in outputs]

        def of_pair(first: str, second: str) -> Callable[[float], float] | None:
            both = [
                (block[first], block[second], groups)
                for block, (_, groups) in zip(points, self._blocks, strict=True)
                if first in block and second in block
            ]
            n_cells = sum(len(u) for u, _, _ in both)
            if n_cells < 2:
                return None

            def at(temperature: float) -> float:
                each = [len(u) * loss(u, v, temperature, groups=groups).item() for u, v, groups in both]
                return sum(each) / n_cells

            return at

        return [of_pair(*pair) for pair in model.pairs]

    def _best(self, loss_at: Callable[[float], float] | None, lowest: float) -> tuple[float, float]:
        """Lowest loss and the temperature that has it."""
        if loss_at is None:
            return math.nan, math.nan
        bounds = (math.log(lowest), math.log(max(HIGHEST, 2 * lowest)))
        # of the inverse of the temperature the loss is convex
        found = minimize_scalar(
            lambda x: loss_at(math.exp(x)), bounds=bounds, method="bounded", options={"xatol": 0.02}
        )
        return float(found.fun), math.exp(found.x)


def _mean_norms(outputs: list[dict[str, Tensor]]) -> Mapping[str, Tensor]:
    """Mean norm of each modality's outputs over all blocks."""
    names = {name for block in outputs for name in block}
    return {name: torch.cat([x[name].norm(dim=1) for x in outputs if name in x]).mean() for name in names}
