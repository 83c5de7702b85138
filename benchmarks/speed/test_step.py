"""A training step of the default recipe against the same step written plainly; 50 and 13 features, out_dim 32."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.speed.test_loss import cross_entropy
from clipdim.contrast import RECIPES, ContrastiveModel, train

FEATURES = {"rna": 50, "prot": 13}
N_STEPS = 20


class PlainEncoder(nn.Module):
    """The encoder of the default recipe."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        layers = [nn.Linear(n_features, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 32)]
        self.network, self.linear = nn.Sequential(*layers), nn.Linear(n_features, 32, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Embed noisy inputs."""
        x = x + 0.35 * torch.randn_like(x)
        return functional.normalize(self.network(x) + self.linear(x), dim=1)


def plain(inputs: dict[str, Tensor], batch_size: int) -> Callable[[], None]:
    encoders = nn.ModuleDict({name: PlainEncoder(n) for name, n in FEATURES.items()})
    log_temperature = nn.Parameter(torch.tensor(-1.6))
    parameters = [*encoders.parameters(), log_temperature]
    n_cells = len(inputs["rna"])

    def steps() -> None:
        optimizer = torch.optim.AdamW(parameters, lr=4e-3, weight_decay=0.05)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=N_STEPS + 1)
        total = 0.0
        order = torch.randperm(n_cells)
        for start in range(0, N_STEPS * batch_size, batch_size):
            cells = order[start : start + batch_size]
            u, v = (encoders[name](x[cells]) for name, x in inputs.items())
            loss = cross_entropy(u, v, log_temperature.exp())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item()

    return steps


def make(how: str, batch_size: int) -> Callable[[], object]:
    """Twenty steps: one epoch of as many minibatches."""
    generator = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(N_STEPS * batch_size, n, generator=generator) for name, n in FEATURES.items()}
    if how == "plain":
        return plain(inputs, batch_size)
    recipe = replace(RECIPES["default"], batch_size=batch_size, max_epochs=1)
    model = ContrastiveModel.create(FEATURES, 32, recipe).initialize(generator)
    return lambda: list(train(model, inputs, generator=generator))


@pytest.mark.parametrize("how", ["contrast.train", "plain"])
@pytest.mark.parametrize("batch_size", [256, 1024, 2048])
def test_step(compare, how, batch_size):
    group = f"{N_STEPS} steps of {batch_size:,} cells"
    compare(make, group, how, batch_size, baseline="plain", rounds=10 if batch_size < 2048 else 3, small=32)
