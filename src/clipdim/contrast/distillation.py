"""A smaller model that learns the similarities of a larger one."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Generator, Tensor

from clipdim.contrast.model import ContrastiveModel


def principal_axes(points: np.ndarray, n_axes: int) -> np.ndarray:
    """Orthonormal axes, (dimensions x n_axes), that keep the most of the points' squared norms.

    Points are not centred: similarities are inner products, which a shift would change.
    """
    points = points.astype(np.float64)
    axes = np.linalg.eigh(points.T @ points)[1][:, ::-1][:, :n_axes]
    # either sign would do: take the one that does not depend on the linear algebra library
    return axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(n_axes)])


class Distillation:
    """Objective of a model that learns the similarities of a teacher, on noisy inputs (Hinton, Vinyals and Dean, 2015).

    In each row of a minibatch the similarities over the temperature make a distribution over the cells of the other
    modality. The loss is the cross-entropy of the model's relative to the teacher's, in both directions, with the same
    noise for both: there is more to learn from than the training cells, so a model that is taught overfits less than
    one of as many dimensions that learns from them alone. Its expected norms are the minibatch's own.
    """

    def __init__(self, teacher: ContrastiveModel) -> None:
        self.teacher = teacher.eval()

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
        """Return the cross-entropy of one minibatch; ``norm_inputs`` is not used."""
        if gather is not None:
            groups = None if groups is None else gather(groups)
        own, targets = {}, {}
        for name in model.modalities:
            if name not in inputs:
                continue
            x = model.encoders[name].perturb(inputs[name], generator)
            outputs = model.outputs(name, x)
            with torch.no_grad():
                wanted = self.teacher.encoders[name].outputs(x)
            if gather is not None:
                outputs, wanted = gather(outputs), gather(wanted)
            own[name] = model.normalize(outputs, outputs.norm(dim=1).mean())
            targets[name] = self.teacher.normalize(wanted, self.teacher.encoders[name].mean_norm)
        other_group = None if groups is None else groups[:, None] != groups
        temperatures = self.teacher.temperatures().detach()
        losses = []
        for number, (a, b) in enumerate(model.pairs):
            if a in own and b in own:
                target = targets[a] @ targets[b].T / temperatures[number]
                logits = own[a] @ own[b].T / model.temperatures()[number]
                losses += [_cross_entropy(*pair, other_group) for pair in ((logits, target), (logits.T, target.T))]
        return torch.stack(losses).mean()


def _cross_entropy(logits: Tensor, targets: Tensor, excluded: Tensor | None) -> Tensor:
    """Mean over the rows; both are logits, (rows x columns)."""
    if excluded is None:
        return -(targets.softmax(dim=1) * logits.log_softmax(dim=1)).sum(dim=1).mean()
    logits, targets = (x.masked_fill(excluded, -torch.inf) for x in (logits, targets))
    # where both are -inf the product would be NaN
    return -(targets.softmax(dim=1) * logits.log_softmax(dim=1).masked_fill(excluded, 0)).sum(dim=1).mean()
