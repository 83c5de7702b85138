"""Cells as tensors: what training and its measures read of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clipdim.contrast.minibatches import Minibatches


@dataclass(frozen=True)
class Cells:
    """Some cells, as arguments of :func:`clipdim.contrast.train`."""

    inputs: Mapping[str, Tensor]
    """(cells of the modality x features) for each modality."""
    rows: Tensor | None
    """(cells x modalities) row of each cell in each modality's inputs, -1 where it lacks one; None where none does."""
    groups: Tensor | None
    """(cells,) batch of each cell."""

    @property
    def device(self) -> torch.device:
        """Where the inputs lie."""
        return next(iter(self.inputs.values())).device

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())) if self.rows is None else self.rows)

    def to(self, device: torch.device, *, part: slice = slice(None)) -> "Cells":
        """Return every so many of the cells on a device; parts are of cells that have all modalities."""
        return Cells(
            {name: x[part].to(device) for name, x in self.inputs.items()},
            None if self.rows is None else self.rows.to(device),
            None if self.groups is None else self.groups[part].to(device),
        )

    def minibatches(self, size: int, *, by_group: bool) -> Minibatches:
        """Return what draws minibatches of so many cells."""
        shape = len(self), len(self.inputs)
        present = torch.ones(shape, dtype=torch.bool, device=self.device) if self.rows is None else self.rows >= 0
        return Minibatches(present, size, self.groups if by_group else None)

    def take(self, modalities: Sequence[int], cells: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """Return the inputs of some cells, by modality, and their groups."""
        names = list(self.inputs)
        minibatch = {
            names[number]: self.inputs[names[number]][cells if self.rows is None else self.rows[cells, number]]
            for number in modalities
        }
        return minibatch, None if self.groups is None else self.groups[cells]
