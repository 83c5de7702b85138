from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from clipdim.contrast import RECIPES, ContrastiveModel
from clipdim.contrast.distillation import Distillation, principal_axes


def test_principal_axes():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 6)) * np.arange(6, 0, -1) + 3
    axes = principal_axes(points.astype(np.float32), 4)
    np.testing.assert_allclose(axes.T @ axes, np.eye(4), atol=1e-12)
    expected = np.linalg.svd(points, full_matrices=False)[2][:4].T
    np.testing.assert_allclose(np.abs(axes), np.abs(expected), atol=1e-5)
    assert (axes[np.abs(axes).argmax(axis=0), range(4)] > 0).all()
    np.testing.assert_allclose(principal_axes(points[:2], 4).T @ principal_axes(points[:2], 4), np.eye(4), atol=1e-12)


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
@pytest.mark.parametrize("grouped", [True, False])
def test_loss_of_the_student_against_scipy(similarity, grouped):
    """Cross-entropy of each cell's distribution over the cells of its group, both directions."""
    generator = torch.Generator().manual_seed(0)
    recipe = replace(RECIPES["default"], similarity=similarity)
    teacher = ContrastiveModel.create({"a": 5, "b": 4}, 6, recipe).initialize(generator)
    teacher.set_temperature(0.3)
    x = {"a": torch.randn(12, 5, generator=generator), "b": torch.randn(12, 4, generator=generator)}
    teacher.fix_mean_norms({name: 2 * values for name, values in x.items()})
    student = teacher.project(torch.eye(6)[:, :3]).eval()
    student.set_temperature(0.7)
    groups = torch.arange(12) % 2 if grouped else None

    def distributions(model, norms):
        outputs = [model.encoders[name].outputs(values).detach().double().numpy() for name, values in x.items()]
        if similarity == "cosine":
            norms = [np.linalg.norm(values, axis=1, keepdims=True) for values in outputs]
        elif norms is None:
            norms = [np.linalg.norm(values, axis=1).mean() for values in outputs]
        u, v = (values / norm for values, norm in zip(outputs, norms, strict=True))
        logits = u @ v.T / model.temperature().item()
        if grouped:
            logits[np.arange(12)[:, None] % 2 != np.arange(12) % 2] = -1e9
        return [softmax(logits, axis=1), softmax(logits.T, axis=1)]

    wanted = distributions(teacher, [encoder.mean_norm.item() for encoder in teacher.encoders.values()])
    own = distributions(student, None)
    expected = np.mean([(entropy(q, axis=1) + entropy(q, p, axis=1)).mean() for q, p in zip(wanted, own, strict=True)])
    assert Distillation(teacher)(student, x, groups=groups).item() == pytest.approx(expected, rel=1e-4)


def test_student_learns_by_its_own_parameters():
    teacher = ContrastiveModel.create({"a": 5, "b": 4}, 6, RECIPES["default"]).initialize(
        torch.Generator().manual_seed(0)
    )
    student, objective = teacher.project(torch.eye(6)[:, :3]).train(), Distillation(teacher)
    x = {name: torch.randn(12, n, generator=torch.Generator().manual_seed(n)) for name, n in (("a", 5), ("b", 4))}
    losses = [objective(student, x, generator=torch.Generator().manual_seed(seed)).item() for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    objective(student, x, generator=torch.Generator().manual_seed(1)).backward()
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not teacher.training
