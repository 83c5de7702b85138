import math

import numpy as np
import pytest
import torch

from clipdim.contrast import info_nce, loss
from clipdim.contrast.loss import info_nce_plain


@pytest.fixture(autouse=True)
def tiles(monkeypatch):
    """All through tiles that do not divide the batches."""
    monkeypatch.setattr(loss, "WHOLE_CELLS", 0)
    monkeypatch.setattr(loss.tiles, "CPU_TILE", (4, 5))


@pytest.fixture(params=["whole matrix", "tiles"])
def algorithm(request, monkeypatch, tiles):
    """One after the other."""
    if request.param == "whole matrix":
        monkeypatch.setattr(loss, "WHOLE_CELLS", 10**6)


by_both = pytest.mark.usefixtures("algorithm")


def naive_info_nce(u, v, temperature):
    """Two loops over the pairs, as in the paper's formula without the constant log(B)."""
    n = len(u)
    s = [[sum(a * b for a, b in zip(u[i], v[j], strict=True)) / temperature for j in range(n)] for i in range(n)]
    rows = [math.log(sum(math.exp(s[i][j]) for j in range(n))) - s[i][i] for i in range(n)]
    columns = [math.log(sum(math.exp(s[i][j]) for i in range(n))) - s[j][j] for j in range(n)]
    return sum(rows) / (2 * n) + sum(columns) / (2 * n)


@by_both
@pytest.mark.parametrize("temperature", [0.05, 0.7, 3.0])
@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 1), (9, 4)])
def test_equals_the_naive_formula(unit_rows, n, d, temperature):
    u, v = unit_rows(n, d), unit_rows(n, d, seed=1)
    expected = naive_info_nce(u.tolist(), v.tolist(), temperature)
    assert info_nce(u, v, temperature).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert info_nce(u.float(), v.float(), temperature).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@by_both
def test_is_symmetric_in_the_modalities(unit_rows):
    u, v = unit_rows(8, 3), unit_rows(8, 3, seed=1)
    assert info_nce(u, v, 0.3).item() == pytest.approx(info_nce(v, u, 0.3).item(), rel=1e-12)


@by_both
@pytest.mark.parametrize("groups", [None, torch.tensor([0, 1, 0, 1, 2, 0])])
def test_gradients(unit_rows, groups):
    u, v = (unit_rows(6, 3, seed=seed).requires_grad_() for seed in (0, 1))
    temperature = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *args: info_nce(*args, groups=groups), (u, v, temperature))


@by_both
def test_groups_equal_each_group_on_its_own(unit_rows):
    u, v = unit_rows(12, 3), unit_rows(12, 3, seed=1)
    groups = torch.tensor([0, 7, 0, 3, 3, 0, 7, 0, 3, 3, 0, 0])
    together = info_nce(u, v, 0.2, groups=groups).item()
    apart = sum(
        (groups == group).sum().item() * naive_info_nce(u[groups == group].tolist(), v[groups == group].tolist(), 0.2)
        for group in (0, 3, 7)
    )
    assert together == pytest.approx(apart / 12, rel=1e-12)


@by_both
def test_one_group_is_no_group(unit_rows):
    u, v = unit_rows(8, 3), unit_rows(8, 3, seed=1)
    assert info_nce(u, v, 0.2, groups=torch.full((8,), 4)).item() == info_nce(u, v, 0.2).item()


@by_both
def test_a_cell_alone_in_its_group_adds_nothing(unit_rows):
    u, v = (unit_rows(4, 3, seed=seed).requires_grad_() for seed in (0, 1))
    loss = info_nce(u, v, 0.01, groups=torch.arange(4))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(u.grad, torch.zeros_like(u))


@by_both
def test_telling_the_groups_apart_does_not_lower_the_loss():
    groups = torch.arange(10) % 2
    u = torch.nn.functional.one_hot(groups).double()
    assert info_nce(u, u, 0.01, groups=groups).item() == pytest.approx(math.log(5))
    assert info_nce(u, u, 0.01).item() == pytest.approx(math.log(5))
    nothing = torch.ones_like(u)
    assert info_nce(nothing, nothing, 0.01).item() == pytest.approx(math.log(10))
    assert info_nce(nothing, nothing, 0.01, groups=groups).item() == pytest.approx(math.log(5))


@by_both
@pytest.mark.parametrize("n", [2, 40])
def test_embeddings_without_information_cost_log_n(n):
    u = torch.ones(n, 4) / 2
    assert info_nce(u, u, 0.1).item() == pytest.approx(math.log(n), rel=1e-6)


@by_both
def test_lowest_temperature_is_finite(unit_rows):
    u, v = (unit_rows(64, 8, seed=seed).float().requires_grad_() for seed in (0, 1))
    temperature = torch.tensor(1e-4, requires_grad=True)
    loss = info_nce(u, v, temperature, groups=torch.arange(64) % 5)
    loss.backward()
    assert all(torch.isfinite(x).all() for x in (loss, u.grad, v.grad, temperature.grad))
    assert loss.item() > 1_000  # unrelated pairs at a temperature near 0


@pytest.mark.parametrize("shapes", [((4, 3), (5, 3)), ((4, 3), (4, 2)), ((4,), (4,)), ((2, 4, 3), (2, 4, 3))])
def test_shapes_that_do_not_fit(shapes):
    u, v = (torch.ones(shape) for shape in shapes)
    with pytest.raises(ValueError, match="one shape"):
        info_nce(u, v, 0.1)


@pytest.mark.parametrize("groups", [torch.zeros(3), torch.zeros(4, 1)])
def test_groups_of_the_wrong_shape(groups):
    with pytest.raises(ValueError, match="one entry a cell"):
        info_nce(torch.ones(4, 3), torch.ones(4, 3), 0.1, groups=groups)


def test_draws_no_random_numbers(unit_rows):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    info_nce(unit_rows(8, 3), unit_rows(8, 3), 0.1)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.05, 0.01, 1e-3, 1e-4])
def test_tiles_equal_the_whole_matrix_in_float64(embeddings, gradients, monkeypatch, kind, temperature, grouped):
    monkeypatch.setattr(loss.tiles, "CPU_TILE", (96, 200))
    u, v = embeddings(kind)
    # among them groups of one cell
    groups = torch.arange(len(u)).remainder(7).index_fill(0, torch.tensor([3, 40]), 9) if grouped else None
    if grouped:
        groups[5] = -1
    expected = gradients(info_nce_plain, u, v, temperature, torch.float64, groups=groups)
    for dtype in (torch.float32, torch.float64):
        for actual, oracle in zip(gradients(info_nce, u, v, temperature, dtype, groups=groups), expected, strict=True):
            # the oracle itself is rounded: it is 0 or noise where all pairs are told apart
            assert (actual - oracle).norm() <= 1e-5 * oracle.norm() + 1e-11 / temperature


@pytest.fixture
def tiles_used(monkeypatch):
    """Sizes of the batches that went through tiles, in a loss whose limits are as they are for the user."""
    monkeypatch.undo()
    sizes, apply = [], loss.tiles.TiledInfoNCE.apply
    monkeypatch.setattr(loss.tiles.TiledInfoNCE, "apply", lambda u, *rest: sizes.append(len(u)) or apply(u, *rest))
    return sizes


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.05])
def test_whole_matrix_in_float32_equals_float64(embeddings, gradients, tiles_used, kind, temperature, grouped):
    u, v = embeddings(kind, n=200)
    groups = torch.arange(len(u)).remainder(7).index_fill(0, torch.tensor([3, 40]), 9) if grouped else None
    expected = gradients(info_nce_plain, u, v, temperature, torch.float64, groups=groups)
    found = gradients(info_nce, u, v, temperature, torch.float32, groups=groups)
    # logits in the thousands leave float32 when their exponential is taken
    assert bool(tiles_used) == ("long" in kind)
    # what a logit of 1 / temperature is rounded by, and what is left of it in the gradients
    rounding = 3e-7 / temperature
    for actual, oracle, floor in zip(found, expected, [rounding] * 3 + [rounding / temperature], strict=True):
        assert (actual - oracle).norm() <= 1e-5 * oracle.norm() + floor


@pytest.mark.parametrize(
    ("u", "v"),
    [
        ([[100.0, 0], [0, 1]], [[1.0, 0], [0, 1]]),
        ([[-100.0, 0], [0, 1]], [[1.0, 0], [1, 0]]),
        ([[1.0, 0], [1, 0]], [[-100.0, 0], [0, 1]]),
    ],
    ids=["a logit too large to exponentiate", "a row of next to nothing", "a column of next to nothing"],
)
def test_sums_beyond_the_format_go_through_tiles(tiles_used, gradients, u, v):
    u, v = torch.tensor(u), torch.tensor(v)
    found = gradients(info_nce, u, v, 1.0, torch.float32)
    assert tiles_used == [2]
    # in float64 the same sums are in range
    for actual, oracle in zip(found, gradients(info_nce, u, v, 1.0, torch.float64), strict=True):
        torch.testing.assert_close(actual, oracle, rtol=1e-5, atol=1e-6)
    assert tiles_used == [2]


def test_up_to_512_cells_are_one_matrix(tiles_used, unit_rows):
    for n in (512, 513):
        u, v = unit_rows(n, 4), unit_rows(n, 4, seed=1)
        found = info_nce(u.float(), v.float(), 0.2).item()
        assert found == pytest.approx(info_nce_plain(u, v, 0.2).item(), rel=1e-5)
    assert tiles_used == [513]


def test_temperature_of_another_shape_and_format(unit_rows, tiles_used):
    u, v = (unit_rows(9, 3, seed=seed).float() for seed in (0, 1))
    temperature = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    info_nce(u, v, temperature).backward()
    scalar = torch.tensor(0.3, requires_grad=True)
    info_nce(u, v, scalar).backward()
    assert temperature.grad.shape == (1,)
    assert temperature.grad.item() == pytest.approx(scalar.grad.item(), rel=1e-5)
    assert not tiles_used


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tiles_keep_the_digits_of_a_loss_near_zero(dtype):
    # two orthogonal pairs: log(1 + exp(-1/t)), below what float32 can hold beside 1
    temperature = torch.tensor(1 / 32, dtype=dtype, requires_grad=True)
    u = torch.eye(2, dtype=dtype).requires_grad_()
    value = info_nce(u, torch.eye(2, dtype=dtype), temperature)
    value.backward()
    assert value.item() == pytest.approx(math.exp(-32), rel=1e-5)
    assert temperature.grad.item() == pytest.approx(32**2 * math.exp(-32), rel=1e-5)
    assert u.grad[0].tolist() == pytest.approx([-32 * math.exp(-32), 32 * math.exp(-32)], rel=1e-5)


@pytest.mark.parametrize("temperature", [0.4, 1e-3])
@pytest.mark.parametrize("groups", [None, torch.tensor([0, 1, 0, 1, 2, 0, 1])])
def test_gradients_with_a_row_out_of_range(unit_rows, groups, temperature):
    u, v = (unit_rows(7, 3, seed=seed) for seed in (0, 1))
    u[2] *= 100
    temperature = torch.tensor(temperature, dtype=torch.float64)
    args = tuple(x.requires_grad_() for x in (u, v, temperature))
    value = info_nce(*args, groups=groups)
    expected = info_nce_plain(*args, groups=groups)
    for a, b in zip(torch.autograd.grad(value, args), torch.autograd.grad(expected, args), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9 * b.abs().max().item())


def test_pairs_of_three_modalities(unit_rows):
    x = [unit_rows(9, 3, seed=seed).requires_grad_() for seed in range(3)]
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def total(function):
        return sum(function(x[i], x[j], temperature) for i, j in ((0, 1), (0, 2), (1, 2)))

    actual = torch.autograd.grad(total(info_nce), (*x, temperature))
    torch.testing.assert_close(actual, torch.autograd.grad(total(info_nce_plain), (*x, temperature)))


@pytest.mark.parametrize("asks", [(True, False, False), (False, True, False), (False, False, True)])
def test_one_gradient_only(unit_rows, asks):
    values = unit_rows(9, 3), unit_rows(9, 3, seed=1), torch.tensor(0.3, dtype=torch.float64)
    args = [x.requires_grad_(ask) for x, ask in zip(values, asks, strict=True)]
    (3 * info_nce(*args)).backward()
    asked = args[asks.index(True)]
    torch.testing.assert_close(asked.grad, torch.autograd.grad(3 * info_nce_plain(*args), asked)[0])
    assert all(x.grad is None for x in args if x is not asked)


def test_arguments_that_are_not_contiguous(unit_rows):
    u, v = (unit_rows(3, 40, seed=seed).T for seed in (0, 1))
    expected = info_nce(u.contiguous(), v.contiguous(), 0.3).item()
    assert info_nce(u, v, 0.3).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.gpu
@pytest.mark.parametrize("n", [2_000, 9_000])
def test_on_a_gpu(embeddings, gradients, n):
    u, v = (x.cuda() for x in embeddings("close", n=n))
    expected = gradients(info_nce_plain, u, v, 0.05, torch.float64)
    for actual, oracle in zip(gradients(info_nce, u, v, 0.05, torch.float32), expected, strict=True):
        assert (actual - oracle).norm() <= 1e-5 * oracle.norm()


@by_both
def test_autocast_computes_in_float32(unit_rows):
    u, v = (unit_rows(64, 8, seed=seed).float().requires_grad_() for seed in (0, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = info_nce(u, v, 0.05)
    expected = info_nce(u, v, 0.05)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    assert all(map(torch.equal, torch.autograd.grad(value, (u, v)), torch.autograd.grad(expected, (u, v))))


@by_both
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(unit_rows, dtype):
    u, v = (unit_rows(64, 8, seed=seed).to(dtype).requires_grad_() for seed in (0, 1))
    value = info_nce(u, v, 0.05)
    value.backward()
    assert value.dtype == torch.float32
    assert u.grad.dtype == dtype
    assert value.item() == pytest.approx(info_nce_plain(u.double(), v.double(), 0.05).item(), rel=1e-6)


@by_both
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_shows(unit_rows, value):
    u, v = unit_rows(9, 3), unit_rows(9, 3, seed=1)
    u[3, 1] = value
    assert not math.isfinite(info_nce(u, v, 0.1).item())


def test_order_of_the_groups_does_not_matter(unit_rows, gradients):
    u, v = unit_rows(30, 3), unit_rows(30, 3, seed=1)
    groups = torch.arange(30) % 4
    shuffled = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    expected = gradients(info_nce, u, v, 0.1, torch.float64, groups=groups)
    value, grad_u, grad_v, _ = gradients(
        info_nce, u[shuffled], v[shuffled], 0.1, torch.float64, groups=groups[shuffled]
    )
    torch.testing.assert_close([value, grad_u, grad_v], [expected[0], expected[1][shuffled], expected[2][shuffled]])
