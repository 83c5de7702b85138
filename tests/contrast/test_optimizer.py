import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import OneCycleLR

from clipdim.contrast import RECIPES
from clipdim.contrast.optimizer import Optimizer


def layers():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))


def steps(module, step, n_steps):
    x = torch.linspace(-1, 1, 40).reshape(10, 4)
    for _ in range(n_steps):
        module.zero_grad()
        (module(x) - x.sum(dim=1, keepdim=True)).square().mean().backward()
        step()


@pytest.mark.parametrize("n_steps", [1, 2, 3, 7, 30])
@pytest.mark.parametrize("one_cycle", [True, False])
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_equals_the_classes_of_pytorch(name, one_cycle, n_steps):
    recipe = replace(RECIPES["default"], optimizer=name, one_cycle=one_cycle, lr=0.03, weight_decay=0.1)
    ours, theirs = layers(), layers()
    steps(ours, Optimizer(ours, recipe, n_steps).step, n_steps)

    if name == "adam":
        oracle = Adam(theirs.parameters(), lr=0.03, weight_decay=0.1)
    else:
        matrices = {"params": [p for p in theirs.parameters() if p.ndim > 1], "weight_decay": 0.1}
        others = {"params": [p for p in theirs.parameters() if p.ndim <= 1], "weight_decay": 0.0}
        oracle = AdamW([matrices, others], lr=0.03)
    schedule = OneCycleLR(oracle, 0.03, total_steps=n_steps + 1) if one_cycle else None

    def step():
        oracle.step()
        if schedule is not None:
            schedule.step()

    steps(theirs, step, n_steps)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_does_not_import_the_compiler_of_pytorch():
    """It would add more than a second to the first fit in a process."""
    code = (
        "import sys, torch\n"
        "from dataclasses import replace\n"
        "from clipdim.contrast import RECIPES, ContrastiveModel, train\n"
        "generator = torch.Generator().manual_seed(0)\n"
        "x = torch.randn(512, 5, generator=generator)\n"
        "recipe = replace(RECIPES['default'], max_epochs=1)\n"
        "model = ContrastiveModel.create({'a': 5, 'b': 5}, 4, recipe).initialize(generator)\n"
        "list(train(model, {'a': x, 'b': x}, generator=generator))\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
