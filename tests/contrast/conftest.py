from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.nn import functional

KINDS = ["unrelated", "close", "opposite pairs", "orthogonal pairs", "all opposite to all", "a row opposite to all"]
KINDS += ["a long row", "a long pair", "a zero row", "lengths"]


@pytest.fixture
def global_random_state_untouched():
    """Return a context manager: whatever happens inside, the global random states are afterwards what they were."""

    @contextmanager
    def untouched():
        torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()
        yield
        assert torch.equal(torch.get_rng_state(), torch_before)
        for after, before in zip(np.random.get_state(), numpy_before, strict=True):
            np.testing.assert_array_equal(after, before)

    return untouched


def _unit_rows(*shape, seed=0):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


@pytest.fixture
def unit_rows():
    """Return a function of (rows, columns, seed=0): random rows of norm 1, in float64."""
    return _unit_rows


@pytest.fixture(params=KINDS)
def kind(request):
    """What is hard on a loss; an argument of ``embeddings``."""
    return request.param


@pytest.fixture
def embeddings():
    """Return a function of (kind, n=700, d=16): paired embeddings, in float32."""

    def build(kind, n=700, d=16):
        u, other = _unit_rows(n, d).float(), _unit_rows(n, d, seed=1).float()
        close = functional.normalize(u + other / 2, dim=1)
        first = torch.eye(d)[0]
        cone = functional.normalize(first + other / 10, dim=1)
        long = torch.ones(n, 1).index_fill(0, torch.tensor([5]), 1_000.0)
        return {
            "unrelated": (u, other),
            "close": (u, close),
            "opposite pairs": (u, -u),
            "orthogonal pairs": (u, functional.normalize(other - (other * u).sum(dim=1, keepdim=True) * u, dim=1)),
            "all opposite to all": (cone, cone - 2 * cone[:, :1] * first),
            "a row opposite to all": (torch.cat([-cone[:1], cone[1:]]), cone),
            "a long row": (u * long, close),
            "a long pair": (u * long, close * long),
            "a zero row": (u.index_fill(0, torch.tensor([5]), 0.0), close),
            "lengths": (u * (1 + 2 * other[:, :1].abs()), close * (1 + u[:, :1].abs())),
        }[kind]

    return build


@pytest.fixture
def gradients():
    """Return a function of (loss function, u, v, temperature, dtype): loss and gradients, as float64."""

    def compute(function, u, v, temperature, dtype, **kwargs):
        u, v = (x.detach().to(dtype, copy=True).requires_grad_() for x in (u, v))
        # rounded to float32 first: all algorithms must see the same temperature
        temperature = torch.tensor(temperature, dtype=torch.float32, device=u.device).to(dtype).requires_grad_()
        value = function(u, v, temperature, **kwargs)
        value.backward()
        return [x.double() for x in (value.detach(), u.grad, v.grad, temperature.grad)]

    return compute
