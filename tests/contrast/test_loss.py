import math

import numpy as np
import pytest
import torch

from clipdim.contrast import info_nce


def naive_info_nce(u, v, temperature):
    """Two loops over the pairs, as in the paper's formula without the constant log(B)."""
    n = len(u)
    s = [[sum(a * b for a, b in zip(u[i], v[j], strict=True)) / temperature for j in range(n)] for i in range(n)]
    rows = [math.log(sum(math.exp(s[i][j]) for j in range(n))) - s[i][i] for i in range(n)]
    columns = [math.log(sum(math.exp(s[i][j]) for i in range(n))) - s[j][j] for j in range(n)]
    return sum(rows) / (2 * n) + sum(columns) / (2 * n)


def unit_rows(*shape, seed=0):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("temperature", [0.05, 0.7, 3.0])
@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 1), (9, 4)])
def test_equals_the_naive_formula(n, d, temperature):
    u, v = unit_rows(n, d), unit_rows(n, d, seed=1)
    expected = naive_info_nce(u.tolist(), v.tolist(), temperature)
    assert info_nce(u, v, temperature).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert info_nce(u.float(), v.float(), temperature).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_is_symmetric_in_the_modalities():
    u, v = unit_rows(8, 3), unit_rows(8, 3, seed=1)
    assert info_nce(u, v, 0.3).item() == pytest.approx(info_nce(v, u, 0.3).item(), rel=1e-12)


@pytest.mark.parametrize("groups", [None, torch.tensor([0, 1, 0, 1, 2, 0])])
def test_gradients(groups):
    u, v = (unit_rows(6, 3, seed=seed).requires_grad_() for seed in (0, 1))
    temperature = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *args: info_nce(*args, groups=groups), (u, v, temperature))


def test_groups_equal_each_group_on_its_own():
    u, v = unit_rows(12, 3), unit_rows(12, 3, seed=1)
    groups = torch.tensor([0, 7, 0, 3, 3, 0, 7, 0, 3, 3, 0, 0])
    together = info_nce(u, v, 0.2, groups=groups).item()
    apart = sum(
        (groups == group).sum().item() * naive_info_nce(u[groups == group].tolist(), v[groups == group].tolist(), 0.2)
        for group in (0, 3, 7)
    )
    assert together == pytest.approx(apart / 12, rel=1e-12)


def test_one_group_is_no_group():
    u, v = unit_rows(8, 3), unit_rows(8, 3, seed=1)
    assert info_nce(u, v, 0.2, groups=torch.full((8,), 4)).item() == info_nce(u, v, 0.2).item()


def test_a_cell_alone_in_its_group_adds_nothing():
    u, v = (unit_rows(4, 3, seed=seed).requires_grad_() for seed in (0, 1))
    loss = info_nce(u, v, 0.01, groups=torch.arange(4))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(u.grad, torch.zeros_like(u))


def test_telling_the_groups_apart_does_not_lower_the_loss():
    groups = torch.arange(10) % 2
    u = torch.nn.functional.one_hot(groups).double()
    assert info_nce(u, u, 0.01, groups=groups).item() == pytest.approx(math.log(5))
    assert info_nce(u, u, 0.01).item() == pytest.approx(math.log(5))
    nothing = torch.ones_like(u)
    assert info_nce(nothing, nothing, 0.01).item() == pytest.approx(math.log(10))
    assert info_nce(nothing, nothing, 0.01, groups=groups).item() == pytest.approx(math.log(5))


@pytest.mark.parametrize("n", [2, 256])
def test_embeddings_without_information_cost_log_n(n):
    u = torch.ones(n, 4) / 2
    assert info_nce(u, u, 0.1).item() == pytest.approx(math.log(n), rel=1e-6)


def test_lowest_temperature_is_finite():
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
    with pytest.raises(ValueError, match="one entry a pair"):
        info_nce(torch.ones(4, 3), torch.ones(4, 3), 0.1, groups=groups)


def test_draws_no_random_numbers():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    info_nce(unit_rows(8, 3), unit_rows(8, 3), 0.1)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
