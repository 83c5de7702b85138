"""The loss, forward and backward, against ``cross_entropy`` of the logits both ways; d = 32."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from clipdim.contrast import info_nce

# three matrices of 32,768^2 float32 and more would not fit into the memory of many machines
LARGEST_PLAIN = 16_384


def cross_entropy(u: Tensor, v: Tensor, temperature: Tensor) -> Tensor:
    logits = u @ v.T / temperature
    pairs = torch.arange(len(u), device=u.device)
    return (functional.cross_entropy(logits, pairs) + functional.cross_entropy(logits.T, pairs)) / 2


LOSSES = {"clipdim.contrast.info_nce": info_nce, "cross_entropy": cross_entropy}


def make(how: str, n: int) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    u = functional.normalize(torch.randn(n, 32, generator=generator), dim=1)
    v = functional.normalize(u + torch.randn(n, 32, generator=generator) / 10, dim=1)
    temperature = torch.tensor(0.05)
    leaves = [x.requires_grad_() for x in (u, v, temperature)]
    return lambda: torch.autograd.grad(LOSSES[how](*leaves), leaves)


@pytest.mark.parametrize("how", LOSSES)
@pytest.mark.parametrize("n", [256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768])
def test_loss(compare, how, n):
    if how == "cross_entropy" and n > LARGEST_PLAIN:
        pytest.skip("cross_entropy needs more than 20 GB")
    rounds = max(3, min(100, 50_000_000 // n**2))
    compare(make, f"loss, {n:,} pairs", how, n, baseline="cross_entropy", rounds=rounds, small=256)
