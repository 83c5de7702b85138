import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from clipdim.contrast import RECIPES, ContrastiveModel, info_nce, noise, train
from clipdim.contrast.noise import adapt_noise, information_hidden_by_noise

RECIPE = RECIPES["default"]


@pytest.fixture(autouse=True)
def pilots():
    """Whole."""


def paired(n_cells, *, own_noise, seed=0):
    """Five shared coordinates among twenty of unit spread; ``own_noise`` parts the two views of each."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, n_cells, 20))
    x[:, :5] = y[:, :5]
    for view in (x, y):
        view[:, :5] += own_noise * rng.standard_normal((n_cells, 5))
    return {"x": torch.tensor(x, dtype=torch.float32), "y": torch.tensor(y, dtype=torch.float32)}


def test_noise_is_left_out_where_the_modalities_agree_exactly():
    """A little noise hides little, so it stays; the recipe's does not."""
    inputs = paired(1_000, own_noise=0.0)
    assert adapt_noise(RECIPE, inputs) == replace(RECIPE, input_noise=0.0, adaptive_noise=False)
    little = replace(RECIPE, input_noise=0.05)
    assert adapt_noise(little, inputs) == replace(little, adaptive_noise=False)


@pytest.mark.parametrize("what", ["noisy themselves", "nothing shared"])
def test_noise_stays_where_the_modalities_differ(what):
    inputs = paired(1_000, own_noise=1.0 if what == "noisy themselves" else 0.0)
    if what == "nothing shared":
        inputs["x"] = inputs["x"].flip(0)
    assert adapt_noise(RECIPE, inputs) == replace(RECIPE, adaptive_noise=False)


@pytest.mark.parametrize(("gain", "noise_stays"), [(-1.0, True), (0.34, True), (0.36, False), (3.0, False)])
def test_the_bound_is_a_third_of_a_nat(monkeypatch, gain, noise_stays):
    monkeypatch.setattr(noise, "information_hidden_by_noise", lambda *_, **__: gain)
    adapted = adapt_noise(RECIPE, paired(100, own_noise=0.0))
    assert adapted == replace(RECIPE, adaptive_noise=False, input_noise=0.3 if noise_stays else 0.0)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
def test_gain_is_that_of_two_fits_by_hand(monkeypatch, grouped, standardize):
    """Both train on all but the first fifth, which tests, at 32 dimensions, in minibatches of 128."""
    monkeypatch.setattr(noise, "N_STEPS", 6)
    inputs = paired(700, own_noise=0.3)
    # in no order: groups of other cells than one's own would show
    groups = torch.from_numpy(np.random.default_rng(0).integers(3, size=700)) if grouped else None
    recipe = replace(RECIPE, input_noise=0.8, standardize=standardize, width=7, lr=1.0)
    found = information_hidden_by_noise(recipe, inputs, random_state=5, groups=groups)

    def held_out_loss(input_noise):
        settings = replace(RECIPE, input_noise=input_noise, standardize=standardize, batch_size=128, max_epochs=2)
        model = ContrastiveModel.create({"x": 20, "y": 20}, 32, settings)
        model.initialize(torch.Generator().manual_seed(5))
        training = {name: values[140:] for name, values in inputs.items()}
        for name, encoder in model.encoders.items():
            if standardize:
                encoder.standardize(training[name])
        arguments = {"groups": None if groups is None else groups[140:]}
        list(train(model, training, generator=torch.Generator().manual_seed(5), **arguments))
        u, v = (functional.normalize(model.encoders[name](inputs[name][:140]), dim=1) for name in "xy")
        return info_nce(u, v, model.temperature(), groups=None if groups is None else groups[:140]).item()

    assert found == pytest.approx(held_out_loss(0.8) - held_out_loss(0.0), rel=1e-4)


def test_at_most_512_cells_test_and_80_steps_are_taken(monkeypatch):
    trained = []

    def recording(model, inputs, *, generator, groups):
        n_cells, recipe = len(inputs["x"]), model.recipe
        trained.append((n_cells, recipe.n_epochs(n_cells) * (n_cells // recipe.batch_size)))
        return []

    monkeypatch.setattr(noise, "train", recording)
    for n_cells in (100, 500, 2_560, 10_000):
        information_hidden_by_noise(RECIPE, {name: torch.zeros(n_cells, 2) for name in "xy"})
    assert [n_cells for n_cells, _ in trained[::2]] == [80, 400, 2_048, 9_488]
    assert trained[::2] == trained[1::2]
    for n_cells, n_steps in trained:
        assert 80 <= n_steps < 80 + max(1, n_cells // 128)


@pytest.mark.parametrize(
    "recipe",
    [replace(RECIPE, adaptive_noise=False), replace(RECIPE, input_noise=0.0), RECIPES["paper"]],
    ids=["not adaptive", "no noise", "paper"],
)
def test_recipes_that_leave_no_choice_train_no_pilot(recipe, monkeypatch):
    monkeypatch.setattr(noise, "train", lambda *_, **__: pytest.fail("a pilot was trained"))
    assert adapt_noise(recipe, paired(500, own_noise=0.0)) == replace(recipe, adaptive_noise=False)


def test_few_cells_keep_the_noise(monkeypatch):
    monkeypatch.setattr(noise, "information_hidden_by_noise", lambda *_, **__: math.inf)
    assert adapt_noise(RECIPE, paired(99, own_noise=0.0)).input_noise == RECIPE.input_noise
    assert adapt_noise(RECIPE, paired(100, own_noise=0.0)).input_noise == 0


def test_groups_and_seed_reach_the_pilots(monkeypatch):
    asked = []
    monkeypatch.setattr(noise, "information_hidden_by_noise", lambda *_, **given: asked.append(given) or 0.0)
    groups = torch.arange(200)
    adapt_noise(RECIPE, paired(200, own_noise=0.0), random_state=9, groups=groups)
    assert asked[0]["random_state"] == 9
    assert asked[0]["groups"] is groups


def test_same_seed_same_gain_and_no_global_random_state(monkeypatch, global_random_state_untouched):
    monkeypatch.setattr(noise, "N_STEPS", 3)
    inputs = paired(600, own_noise=0.3)
    with global_random_state_untouched():
        gains = {information_hidden_by_noise(RECIPE, inputs, random_state=seed) for seed in (3, 3, 4)}
    assert len(gains) == 2


@pytest.mark.gpu
def test_same_choice_on_a_gpu():
    inputs = {name: x.cuda() for name, x in paired(2_000, own_noise=0.0).items()}
    assert adapt_noise(RECIPE, inputs).input_noise == 0
