"""The embeddings of some cells before, along and after the training of ``tl.fit``."""

from collections.abc import Mapping

import numpy as np
import torch

from clipdim import _mudata
from clipdim.contrast import ContrastiveModel

MAX_CELLS = 1_000


class Snapshots:
    """Embeddings of up to 1,000 cells at evenly spaced epochs: held-out cells, training cells where none were held out.

    Before the end the expected norms of ``"inner"`` are those of these cells; the last snapshot is the result itself.
    """

    def __init__(self, data: _mudata.Inputs, n_snapshots: int, n_epochs: int, random_state: int) -> None:
        cells, self.split = data.measured(1)
        # the first of the cells that the monitor measures
        cells = np.random.default_rng(random_state).permutation(cells)
        self.cells = cells[(data.rows[cells] >= 0).all(axis=1)][:MAX_CELLS]
        if len(self.cells) == 0:
            msg = f"no {self.split} cell has all of {list(data.values)}, so there are no snapshots; pass n_snapshots=0"
            raise ValueError(msg)
        self.inputs, self.rows, self.names = data.of(self.cells)[0], data.rows[self.cells], data.cells[self.cells]
        self.due = set(np.linspace(0, n_epochs, n_snapshots).round().astype(int).tolist())
        self.taken: dict[int, dict[str, np.ndarray]] = {}

    @torch.no_grad()
    def take(self, model: ContrastiveModel, epoch: int) -> None:
        """Embed the cells if a snapshot is due after so many epochs."""
        if epoch not in self.due:
            return
        self.taken[epoch] = {}
        for name, x in self.inputs.items():
            encoder = model.encoders[name]
            outputs = encoder.outputs(torch.from_numpy(x).to(encoder.mean.device))
            self.taken[epoch][name] = model.normalize(outputs, outputs.norm(dim=1).mean()).cpu().numpy()

    def finish(self, embeddings: Mapping[str, np.ndarray], epoch: int) -> _mudata.Snapshots:
        """Return what is stored: the snapshots, the last of which is the embedding after the last, or broken, epoch."""
        last = {name: points[self.rows[:, column]] for column, (name, points) in enumerate(embeddings.items())}
        taken = {**self.taken, epoch: last}
        return _mudata.Snapshots(
            epochs=np.array(list(taken), dtype=np.int64),
            cells=self.names.to_numpy(dtype=object),
            split=self.split,
            embeddings={
                name: np.stack([points[name] for points in taken.values()]).astype(np.float32) for name in embeddings
            },
        )
