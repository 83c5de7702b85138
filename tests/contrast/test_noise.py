from dataclasses import replace

import numpy as np
import pytest
import torch

from clipdim.contrast import RECIPES
from clipdim.contrast.noise import adapt_noise, information_hidden_by_noise

RECIPE = RECIPES["default"]


@pytest.fixture(autouse=True)
def pilots():
    """Whole."""


def paired(n_cells, *, own_noise, seed=0, n_groups=0):
    """Five shared coordinates among twenty of unit spread; ``own_noise`` parts the two views of each."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, n_cells, 20))
    x[:, :5] = y[:, :5]
    for view in (x, y):
        view[:, :5] += own_noise * rng.standard_normal((n_cells, 5))
    return {"x": torch.tensor(x, dtype=torch.float32), "y": torch.tensor(y, dtype=torch.float32)}


def test_noise_is_left_out_where_the_modalities_agree_exactly():
    adapted = adapt_noise(RECIPE, paired(2_000, own_noise=0.0))
    assert adapted == replace(RECIPE, input_noise=0.0, adaptive_noise=False)


def test_noise_stays_where_the_modalities_are_noisy_themselves():
    adapted = adapt_noise(RECIPE, paired(2_000, own_noise=1.0))
    assert adapted == replace(RECIPE, adaptive_noise=False)


def test_noise_stays_where_nothing_is_shared():
    inputs = paired(2_000, own_noise=0.0)
    inputs["x"] = inputs["x"].flip(0)
    assert adapt_noise(RECIPE, inputs).input_noise == RECIPE.input_noise


def test_more_noise_hides_more():
    inputs = paired(2_000, own_noise=0.0)
    gains = [information_hidden_by_noise(replace(RECIPE, input_noise=noise), inputs) for noise in (0.1, 0.3, 0.6)]
    assert gains == sorted(gains)
    assert gains[-1] > 2 * gains[0]


@pytest.mark.parametrize(
    "recipe",
    [replace(RECIPE, adaptive_noise=False), replace(RECIPE, input_noise=0.0), RECIPES["paper"]],
    ids=["not adaptive", "no noise", "paper"],
)
def test_recipes_that_leave_no_choice_train_no_pilot(recipe, monkeypatch):
    monkeypatch.setattr("clipdim.contrast.noise.train", lambda *_, **__: pytest.fail("a pilot was trained"))
    assert adapt_noise(recipe, paired(500, own_noise=0.0)) == replace(recipe, adaptive_noise=False)


def test_few_cells_keep_the_noise():
    assert adapt_noise(RECIPE, paired(99, own_noise=0.0)).input_noise == RECIPE.input_noise


def test_negatives_of_the_same_group_only():
    """A group that both modalities tell apart exactly is no reason to leave the noise out."""
    inputs = paired(2_000, own_noise=1.0)
    groups = torch.arange(2_000) % 64
    coded = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))[groups] * 4
    inputs = {name: torch.cat([x, coded], dim=1) for name, x in inputs.items()}
    alone = information_hidden_by_noise(RECIPE, inputs)
    grouped = information_hidden_by_noise(RECIPE, inputs, groups=groups)
    assert grouped < alone


def test_same_seed_same_gain_and_no_global_random_state():
    inputs = paired(600, own_noise=0.3)
    before = torch.get_rng_state()
    gains = {information_hidden_by_noise(RECIPE, inputs, random_state=seed) for seed in (3, 3, 4)}
    assert len(gains) == 2
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
def test_same_choice_on_a_gpu():
    inputs = {name: x.cuda() for name, x in paired(2_000, own_noise=0.0).items()}
    assert adapt_noise(RECIPE, inputs).input_noise == 0
