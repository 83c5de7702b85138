"""The Triton kernel: on a GPU where there is one, else by Triton's interpreter, on the same tests."""

import importlib
import logging
import math
import os
import subprocess
import sys
from unittest import mock

import pytest
import torch

from clipdim.contrast import info_nce, loss
from clipdim.contrast.loss import info_nce_plain

ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
if not ON_GPU:
    # Triton reads it when it is imported, and some parts of it later
    os.environ["TRITON_INTERPRET"] = "1"
tl = pytest.importorskip("triton.language", reason="Triton is not installed")
kernels = importlib.import_module("clipdim.contrast.kernels")

# numpy's, of entries that are masked afterwards, or not finite on purpose
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(autouse=True)
def small_tiles(request, monkeypatch):
    """Send all batches through the kernel, in several blocks, launches and shares of the columns."""
    if request.node.get_closest_marker("gpu"):
        return
    if not ON_GPU and {type(f).__name__ for f in (tl.cdiv, kernels._sum_kernel)} != {"InterpretedFunction"}:
        pytest.skip("Triton was imported before, without TRITON_INTERPRET=1: run this file on its own")
    for name, value in {"ROWS": 32, "COLUMNS": 32, "COLUMNS_OF_MANY_DIMS": 16, "ROW_BLOCKS": 1, "PROGRAMS": 5}.items():
        monkeypatch.setattr(kernels, name, value)
    monkeypatch.setattr(loss, "_algorithm", lambda u: kernels.KernelInfoNCE)
    if not ON_GPU:
        interpreter = importlib.import_module("triton.runtime.interpreter")
        monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", _dot)


def _dot(builder, a, b, accumulator, *_):
    """Add up in the order of the dimensions, as a GPU does: numpy's order depends on where a value lies in the tile."""
    total = accumulator.data
    for k in range(a.data.shape[1]):
        total = total + a.data[:, k, None] * b.data[None, k]
    return type(accumulator)(total, accumulator.dtype.scalar)


def some_groups(n):
    """Several groups, in no order, among them some of one pair."""
    return torch.arange(n).remainder(5).index_fill(0, torch.tensor([3]), 9).index_fill(0, torch.tensor([5]), -1)


def both(gradients, u, v, temperature, groups=None):
    """Loss and gradients by the kernel, by autograd in float32, and by autograd in float64."""
    u, v = u.to(DEVICE), v.to(DEVICE)
    groups = None if groups is None else groups.to(DEVICE)
    actual = gradients(info_nce, u, v, temperature, torch.float32, groups=groups)
    plain = gradients(info_nce_plain, u, v, temperature, torch.float32, groups=groups)
    return actual, plain, gradients(info_nce_plain, u, v, temperature, torch.float64, groups=groups)


@pytest.mark.parametrize("temperature", [1.0, 0.05, 0.02, 1e-3, 1e-4])
def test_equals_the_oracle(embeddings, gradients, kind, temperature):
    u, v = embeddings(kind, n=60)
    # what the rounding of logits of size 1 / temperature does to weights
    relative = 1e-5 if temperature >= 0.02 else 5e-7 / temperature
    for groups in (None, some_groups(60)):
        for actual, plain, oracle in zip(*both(gradients, u, v, temperature, groups), strict=True):
            assert torch.isfinite(actual).all()
            limit = relative * oracle.norm() + 1e-11 / temperature
            # sums that cancel each other out, and rows far out of range, are beyond float32
            assert (actual - oracle).norm() <= max(limit, 3 * (plain - oracle).norm())


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 1), (9, 3), (31, 32), (64, 16), (130, 50), (100, 128)])
def test_sizes(unit_rows, gradients, n, d, grouped):
    u, v = unit_rows(n, d), unit_rows(n, d, seed=1)
    groups = torch.arange(n) % 3 if grouped else None
    for actual, _, oracle in zip(*both(gradients, u, v, 0.05, groups), strict=True):
        assert (actual - oracle).norm() <= 1e-5 * oracle.norm() + 1e-9


def test_a_cell_alone_in_its_group_adds_nothing(unit_rows):
    u, v = (unit_rows(4, 3, seed=seed).float().to(DEVICE).requires_grad_() for seed in (0, 1))
    value = info_nce(u, v, 0.01, groups=torch.arange(4, device=DEVICE))
    value.backward()
    assert value.item() == 0
    assert torch.equal(u.grad, torch.zeros_like(u))


def test_keeps_the_digits_of_a_loss_near_zero():
    temperature = torch.tensor(1 / 32, device=DEVICE, requires_grad=True)
    u = torch.eye(2, device=DEVICE).requires_grad_()
    value = info_nce(u, torch.eye(2, device=DEVICE), temperature)
    value.backward()
    assert value.item() == pytest.approx(math.exp(-32), rel=1e-5)
    assert temperature.grad.item() == pytest.approx(32**2 * math.exp(-32), rel=1e-5)
    assert u.grad[0].tolist() == pytest.approx([-32 * math.exp(-32), 32 * math.exp(-32)], rel=1e-5)


def test_pairs_of_three_modalities(unit_rows):
    x = [unit_rows(40, 3, seed=seed).to(DEVICE).requires_grad_() for seed in range(3)]
    temperature = torch.tensor(0.3, dtype=torch.float64, device=DEVICE, requires_grad=True)

    def total(function, dtype):
        return sum(function(x[i].to(dtype), x[j].to(dtype), temperature) for i, j in ((0, 1), (0, 2), (1, 2)))

    actual = torch.autograd.grad(total(info_nce, torch.float32), (*x, temperature))
    expected = torch.autograd.grad(total(info_nce_plain, torch.float64), (*x, temperature))
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("asks", [(True, False, False), (False, True, False), (False, False, True)])
def test_one_gradient_only(unit_rows, asks):
    values = unit_rows(40, 3), unit_rows(40, 3, seed=1), torch.tensor(0.3)
    args = [x.float().to(DEVICE).requires_grad_(ask) for x, ask in zip(values, asks, strict=True)]
    (3 * info_nce(*args)).backward()
    asked = args[asks.index(True)]
    expected = torch.autograd.grad(3 * info_nce_plain(*args), asked)[0]
    torch.testing.assert_close(asked.grad, expected, rtol=1e-5, atol=1e-7)
    assert all(x.grad is None for x in args if x is not asked)


def test_arguments_that_are_not_contiguous(unit_rows):
    u, v = (unit_rows(3, 40, seed=seed).float().to(DEVICE).T for seed in (0, 1))
    assert info_nce(u, v, 0.3).item() == info_nce(u.contiguous(), v.contiguous(), 0.3).item()


def test_autocast_and_half_precision_are_computed_in_float32(unit_rows):
    u, v = (unit_rows(40, 8, seed=seed).bfloat16().to(DEVICE).requires_grad_() for seed in (0, 1))
    expected = info_nce(u.float(), v.float(), 0.05)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        value = info_nce(u, v, 0.05)
        gradient = torch.autograd.grad(value, u)[0]
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    assert torch.equal(gradient, torch.autograd.grad(expected, u)[0])


@pytest.mark.parametrize("temperature", [0.05, 1e-4])
def test_two_runs_give_the_same_bits(embeddings, gradients, temperature):
    u, v = (x.to(DEVICE) for x in embeddings("lengths", n=75))
    first, second = (gradients(info_nce, u, v, temperature, torch.float32) for _ in range(2))
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_shows(unit_rows, value):
    u, v = unit_rows(9, 3).float().to(DEVICE), unit_rows(9, 3, seed=1).float().to(DEVICE)
    u[3, 1] = value
    assert not math.isfinite(info_nce(u, v, 0.1).item())


def test_a_run_on_a_cpu_imports_no_triton():
    code = "import sys, torch; from clipdim.contrast import info_nce; u = torch.rand(300, 3, requires_grad=True)\n"
    code += "info_nce(u, u, 0.1).backward(); sys.exit('triton' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("reason", ["no Triton", "no compiler", "many dimensions"])
def test_where_the_kernel_does_not_run(monkeypatch, caplog, reason):
    # other packages' set-up of logging may have silenced it
    monkeypatch.setattr(loss, "logger", logging.getLogger("test_kernels"))
    if reason == "no Triton":
        monkeypatch.setattr(loss.importlib.util, "find_spec", lambda name: None)
    if reason == "no compiler":
        monkeypatch.setattr(kernels, "try_out", mock.Mock(side_effect=RuntimeError("Failed to find C compiler")))
    with caplog.at_level(logging.WARNING):
        runs = loss._kernel_runs.__wrapped__(torch.device(DEVICE), 129 if reason == "many dimensions" else 3)
    assert not runs
    assert ("Failed to find C compiler" in caplog.text) == (reason == "no compiler")


def test_is_tried_out_before_its_first_use():
    with torch.no_grad():
        assert loss._kernel_runs.__wrapped__(torch.device(DEVICE), 50)


def step(n, d=32, grouped=False):
    """Leaves on the GPU and a function that computes loss and gradients from them."""
    u, v = (torch.nn.functional.normalize(torch.randn(n, d, device="cuda"), dim=1).requires_grad_() for _ in range(2))
    temperature = torch.tensor(0.05, device="cuda", requires_grad=True)
    groups = torch.arange(n, device="cuda") % 5 if grouped else None
    leaves = (u, v, temperature)

    def run():
        value = info_nce(*leaves, groups=groups)
        return value.detach(), *torch.autograd.grad(value, leaves)

    return leaves, run


@pytest.mark.gpu
def test_a_gpu_runs_the_kernel():
    u = torch.zeros(loss.PLAIN_PAIRS_BEFORE_KERNEL + 1, 32, device="cuda")
    assert loss._algorithm(u) is kernels.KernelInfoNCE
    assert loss._algorithm(u[:-1]) is None
    assert loss._algorithm(u.double()) is None
    assert loss._algorithm(torch.zeros(10_000, 32, device="cuda").double()) is loss.tiles.TiledInfoNCE


@pytest.mark.gpu
@pytest.mark.parametrize("grouped", [False, True])
def test_a_gpu_is_not_waited_for(grouped):
    (u, v, _), run = step(4096, grouped=grouped)
    run()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
        info_nce(u, v, 0.05)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("grouped", [False, True])
def test_a_step_is_captured_in_a_graph(grouped):
    (u, _, temperature), run = step(4096, grouped=grouped)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()
    # one shift, then the exact maxima: the graph must choose anew
    for value in (0.05, 1e-3):
        with torch.no_grad():
            u.copy_(u.flip(0))
            temperature.fill_(value)
        graph.replay()
        assert all(map(torch.equal, captured, run()))


@pytest.mark.gpu
def test_memory_grows_with_the_pairs():
    peaks = []
    for n in (32_768, 65_536):
        _, run = step(n)
        run()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert peaks[0] < 200e6
    assert peaks[1] < 2.2 * peaks[0]
