"""Some cells of the inputs as tensors."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipdim import _mudata


@dataclass(frozen=True)
class Cells:
    """What training and measures read of some cells."""

    inputs: dict[str, Tensor]
    """(cells of the modality x features) for each modality."""
    rows: Tensor | None
    """(cells x modalities) row of each cell in each modality's inputs, -1 where it lacks one; None where none does."""
    groups: Tensor | None
    """(cells,) batch of each cell."""

    @classmethod
    def of(cls, data: _mudata.Inputs, cells: np.ndarray) -> "Cells":
        """Return the cells of these numbers, in memory."""
        values, rows = data.of(cells)
        groups = None if data.batches is None else torch.from_numpy(data.batches[cells])
        inputs = {name: torch.from_numpy(x) for name, x in values.items()}
        return cls(inputs, None if rows is None else torch.from_numpy(rows), groups)

    def to(self, device: torch.device, *, part: slice = slice(None)) -> "Cells":
        """Return every so many of the cells on a device; parts are of cells that have all modalities."""
        return Cells(
            {name: x[part].to(device) for name, x in self.inputs.items()},
            None if self.rows is None else self.rows.to(device),
            None if self.groups is None else self.groups[part].to(device),
        )
