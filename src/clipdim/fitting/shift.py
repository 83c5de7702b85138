"""How far the cells of a reference move when its training goes on, and how to bound it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from clipdim import _mudata
from clipdim.contrast import ContrastiveModel

N_HALVINGS = 8


class Shift:
    """Movement of cells away from where a model embeds them at first: half of the squared distance, by modality.

    With cosine similarity that is 1 less the cosine of the angle between where a cell was and where it is.
    """

    share: float = 1.0
    """How far the model stays from its first weights: 1 is all that was trained, 0 nothing."""

    def __init__(self, model: ContrastiveModel, data: _mudata.Inputs, most: float) -> None:
        self._most = most
        self._model, self._inputs = model, {name: torch.from_numpy(x) for name, x in data.values.items()}
        self._weights = {name: x.clone() for name, x in model.state_dict().items()}
        self._embedded = {name: model.embed(name, x)[0] for name, x in self._inputs.items()}

    def bound(self) -> None:
        """Take the model back towards its first weights until the mean shift of no modality exceeds the bound."""
        trained = {name: x.clone() for name, x in self._model.state_dict().items()}

        def too_far(share: float) -> bool:
            between = {name: torch.lerp(x, trained[name], share) for name, x in self._weights.items()}
            self._model.load_state_dict(between)
            return bool(max(x.mean() for x in self._of_cells().values()) > self._most)

        if not too_far(1.0):
            return
        low, high = 0.0, 1.0
        for _ in range(N_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if too_far(middle) else (middle, high)
        too_far(low)  # leaves the model there
        self.share = low

    def table(self) -> pd.DataFrame:
        """Mean and 95 % quantile over the cells of each modality."""
        return pd.DataFrame(
            [
                {"modality": name, "mean": x.mean(), "q95": np.quantile(x, 0.95), "n_cells": len(x)}
                for name, x in self._of_cells().items()
            ]
        )

    def _of_cells(self) -> Mapping[str, np.ndarray]:
        found = {}
        for name, x in self._inputs.items():
            moved = self._model.embed(name, x)[0]
            moved -= self._embedded[name]
            found[name] = np.einsum("ij,ij->i", moved, moved, dtype=np.float64) / 2
        return found
