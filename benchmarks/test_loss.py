"""Time of the loss, forward and backward, against ``cross_entropy`` of the logits both ways; one thread, d = 32."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from clipdim.contrast import info_nce


def cross_entropy(u: Tensor, v: Tensor, temperature: Tensor) -> Tensor:
    logits = u @ v.T / temperature
    pairs = torch.arange(len(u))
    return (functional.cross_entropy(logits, pairs) + functional.cross_entropy(logits.T, pairs)) / 2


LOSSES = {"info_nce": info_nce, "cross_entropy": cross_entropy}


def embeddings(n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    u = functional.normalize(torch.randn(n, 32, generator=generator), dim=1)
    v = functional.normalize(u + torch.randn(n, 32, generator=generator) / 10, dim=1)
    return u.requires_grad_(), v.requires_grad_()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.mark.parametrize("how", LOSSES)
@pytest.mark.parametrize("n", [256, 512, 1024, 2048, 4096, 8192, 32_768])
def test_loss(benchmark, n, how):
    benchmark.group = f"loss forward and backward, {n:,} pairs"
    if how == "cross_entropy" and n > 16_384:
        pytest.skip("cross_entropy needs more than 10 GB")
    u, v = embeddings(n)
    temperature = torch.tensor(0.05, requires_grad=True)
    rounds = max(2, min(100, 20_000_000 // n**2))
    benchmark.pedantic(lambda: LOSSES[how](u, v, temperature).backward(), rounds=rounds, warmup_rounds=1)
