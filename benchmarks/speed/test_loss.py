"""The loss, forward and backward, against ``cross_entropy`` of the logits both ways; d = 32."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from clipdim.contrast import info_nce

# at 32,768 pairs it would need more memory than many machines have
LARGEST_PLAIN = 8192


def cross_entropy(u: Tensor, v: Tensor, temperature: Tensor) -> Tensor:
    logits = u @ v.T / temperature
    pairs = torch.arange(len(u), device=u.device)
    return (functional.cross_entropy(logits, pairs) + functional.cross_entropy(logits.T, pairs)) / 2


LOSSES = {"info_nce": info_nce, "cross_entropy": cross_entropy}


def make(how: str, n: int, device: str = "cpu") -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)
    u = functional.normalize(torch.randn(n, 32, generator=generator), dim=1)
    v = functional.normalize(u + torch.randn(n, 32, generator=generator) / 10, dim=1)
    temperature = torch.tensor(0.05)
    leaves = [x.to(device).requires_grad_() for x in (u, v, temperature)]
    return lambda: torch.autograd.grad(LOSSES[how](*leaves), leaves)


@pytest.mark.parametrize("how", LOSSES)
@pytest.mark.parametrize("n", [256, 512, 1024, 2048, 4096, 8192, 32_768])
def test_loss(compare, how, n):
    if how == "cross_entropy" and n > LARGEST_PLAIN:
        pytest.skip("cross_entropy would need more than 20 GB")
    rounds = max(3, min(100, 50_000_000 // n**2))
    compare(make, f"loss, {n:,} pairs", how, n, baseline="cross_entropy", rounds=rounds, small=256)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("how", LOSSES)
@pytest.mark.parametrize("n", [8192, 32_768])
def test_loss_on_the_gpu(benchmark, how, n):
    benchmark.group = f"loss on {torch.cuda.get_device_name()}, {n:,} pairs"
    work = make(how, n, "cuda")
    work()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    peak = torch.cuda.max_memory_allocated() - before
    benchmark.extra_info |= {"how": how, "baseline": how == "cross_entropy", "megabytes": peak / 1e6}

    def run() -> None:
        work()
        torch.cuda.synchronize()

    benchmark.pedantic(run, rounds=20, warmup_rounds=3)
    share = 8 * n**2 * 32 / benchmark.stats.stats.median / products_per_second()
    print(f"\n{how}, {n:,} pairs: 8 n^2 d operations at {share:.0%} of the rate of a large float32 matrix product")


def products_per_second() -> float:
    """Floating-point operations per second of a large matrix product in float32."""
    a = torch.randn(8192, 8192, device="cuda")
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    a @ a
    start.record()
    for _ in range(10):
        a @ a
    end.record()
    torch.cuda.synchronize()
    return 10 * 2 * 8192**3 / (start.elapsed_time(end) / 1e3)
