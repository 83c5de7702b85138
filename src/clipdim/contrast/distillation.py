"""A smaller model that learns the similarities of a larger one."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Generator, Tensor, nn

from clipdim.contrast.model import ContrastiveModel


def principal_axes(points: np.ndarray, n_axes: int) -> np.ndarray:
    """
    Orthonormal axes, (dimensions x n_axes), that keep the most of the points' squared norms.

    Points are not centred: similarities are inner products, which a shift would change.
    """
    points = points.astype(np.float64)
    axes = np.linalg.eigh(points.T @ points)[1][:, ::-1][:, :n_axes]
    # either sign would do: take the one that does not depend on the linear algebra library
    return axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(n_axes)])


class Student(ContrastiveModel):
    """
    Model that learns the similarities of another one, its teacher, on inputs with the recipe's noise.

    In each row of a minibatch the similarities over the temperature make a distribution over the cells of the other
    modality. The loss is the cross-entropy of the student's relative to the teacher's, in both directions, with the
    same noise for both: there is more to learn from than the training cells, so a student overfits less than a model
    of as many dimensions that learns from them alone.

    Parameters
    ----------
    model
        Where to start from; shares its parameters with the student.
    teacher
        Trained model with its temperature, on the same device; left as it is.

    References
    ----------
    Hinton, Vinyals and Dean, arXiv 1503.02531.

    Examples
    --------
    >>> import torch
    >>> from clipdim.contrast import RECIPES, ContrastiveModel
    >>> from clipdim.contrast.distillation import Student
    >>> generator = torch.Generator().manual_seed(0)
    >>> teacher = ContrastiveModel({"a": 5, "b": 5}, 8, RECIPES["default"]).initialize(generator)
    >>> student = Student(teacher.project(torch.eye(8)[:, :3]), teacher)
    >>> x = torch.randn(20, 5, generator=generator)
    >>> bool(student.loss({"a": x, "b": x}, generator=generator) > 0)
    True
    """

    def __init__(self, model: ContrastiveModel, teacher: ContrastiveModel) -> None:
        nn.Module.__init__(self)
        self.recipe, self.modalities, self.pairs = model.recipe, model.modalities, model.pairs
        self._encoders, self.temperature_parameter = model._encoders, model.temperature_parameter
        # in a list, so that the teacher's parameters are not the student's
        self._teacher = [teacher.eval()]

    def loss(
        self,
        inputs: Mapping[str, Tensor],
        *,
        groups: Tensor | None = None,
        norm_inputs: Mapping[str, Tensor] | None = None,
        generator: Generator | None = None,
        gather: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Cross-entropy of one minibatch; the student's expected norms are the minibatch's own."""
        teacher = self._teacher[0]
        own, targets = {}, {}
        for name, encoder in self.encoders.items():
            if name not in inputs:
                continue
            x = encoder.perturb(inputs[name], generator) if self.training else inputs[name]
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
                outputs = encoder.outputs(x).float()
            own[name] = self.normalize(outputs, outputs.norm(dim=1).mean())
            with torch.no_grad():
                of_teacher = teacher.encoders[name]
                targets[name] = teacher.normalize(of_teacher.outputs(x), of_teacher.mean_norm)
        other_group = None if groups is None else groups[:, None] != groups
        with torch.no_grad():
            temperatures = teacher.temperatures()
        losses = []
        for number, (a, b) in enumerate(self.pairs):
            if a in own and b in own:
                target = targets[a] @ targets[b].T / temperatures[number]
                logits = own[a] @ own[b].T / self.temperatures()[number]
                losses += [_cross_entropy(*pair, other_group) for pair in ((logits, target), (logits.T, target.T))]
        return torch.stack(losses).mean()


def _cross_entropy(logits: Tensor, targets: Tensor, excluded: Tensor | None) -> Tensor:
    """Mean over the rows; both are logits, (rows x columns)."""
    if excluded is None:
        return -(targets.softmax(dim=1) * logits.log_softmax(dim=1)).sum(dim=1).mean()
    logits, targets = (x.masked_fill(excluded, -torch.inf) for x in (logits, targets))
    # where both are -inf the product would be NaN
    return -(targets.softmax(dim=1) * logits.log_softmax(dim=1).masked_fill(excluded, 0)).sum(dim=1).mean()
