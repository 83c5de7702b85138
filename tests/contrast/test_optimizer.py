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


class WithLinearPath(nn.Module):
    """A network and a linear path beside it, named as those of an encoder."""

    def __init__(self):
        super().__init__()
        self.network, self.linear = layers(), nn.Linear(4, 1, bias=False)
        self.linear.weight.data = torch.linspace(-1, 1, 4)[None].clone()

    def forward(self, x):
        return self.network(x) + self.linear(x)


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


@pytest.mark.parametrize("one_cycle", [True, False])
@pytest.mark.parametrize(("name", "kind"), [("adam", Adam), ("adamw", AdamW)])
def test_rate_of_the_linear_path_is_its_own(name, kind, one_cycle):
    settings = {"optimizer": name, "one_cycle": one_cycle, "lr": 0.03, "weight_decay": 0.1, "linear_rate": 0.2}
    recipe = replace(RECIPES["default"], **settings)
    ours, theirs = WithLinearPath(), WithLinearPath()
    steps(ours, Optimizer(ours, recipe, 7).step, 7)
    network, linear = list(theirs.network.parameters()), theirs.linear.weight
    oracle = kind(
        [
            {"params": [p for p in network if p.ndim > 1], "lr": 0.03, "weight_decay": 0.1},
            {"params": [p for p in network if p.ndim <= 1], "lr": 0.03, "weight_decay": 0.1 * (name == "adam")},
            {"params": [linear], "lr": 0.2 * 0.03, "weight_decay": 0.1},
        ]
    )
    schedule = OneCycleLR(oracle, [0.03, 0.03, 0.2 * 0.03], total_steps=8) if one_cycle else None

    def step():
        oracle.step()
        if schedule is not None:
            schedule.step()

    steps(theirs, step, 7)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    slow = replace(recipe, linear_rate=1e-9)
    steps(ours := WithLinearPath(), Optimizer(ours, slow, 7).step, 7)
    torch.testing.assert_close(ours.linear.weight, WithLinearPath().linear.weight)


def test_parameters_that_have_no_gradient_decay_only():
    """As those of a modality that no cell of the minibatch has."""
    module = nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2)])
    before = [p.detach().clone() for p in module.parameters()]
    optimizer = Optimizer(module, replace(RECIPES["default"], one_cycle=False, lr=0.1, weight_decay=0.5), 1)
    module[0](torch.ones(4, 3)).sum().backward()
    optimizer.step()
    after = list(module.parameters())
    assert not torch.equal(after[0], before[0])
    torch.testing.assert_close(after[2], (1 - 0.1 * 0.5) * before[2])
    torch.testing.assert_close(after[3], before[3])


def test_module_keeps_its_parameters():
    """They become views of one piece of memory; what holds them still sees what they become."""
    module = layers()
    held, shapes = list(module.parameters()), [p.shape for p in module.parameters()]
    optimizer = Optimizer(module, RECIPES["default"], 3)
    assert all(a is b for a, b in zip(held, module.parameters(), strict=True))
    before = [p.detach().clone() for p in held]
    steps(module, optimizer.step, 3)
    assert [p.shape for p in held] == shapes
    assert not any(torch.equal(p, old) for p, old in zip(held, before, strict=True))
    copied = layers()
    copied.load_state_dict(module.state_dict())
    x = torch.ones(2, 4)
    torch.testing.assert_close(copied(x), module(x))
    optimizer.clear()
    assert all(p.grad is None for p in held)


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
