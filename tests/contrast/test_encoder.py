import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from clipdim.contrast import RECIPES, Encoder

RECIPE = RECIPES["default"]
PLAIN = replace(RECIPE, linear_path=False, start="random", input_noise=0.0, width=7, n_hidden=2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def inputs(n=200, p=5, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.normal(size=(n, p)) * [1, 5, 0.1, 30, 2][:p] + 3).astype(np.float32))


def network(arrays, x):
    """The network in numpy float64."""
    a = {name: array.astype(np.float64) for name, array in arrays.items()}
    x = hidden = (x.numpy().astype(np.float64) - a["mean"]) / a["scale"]
    n_layers = sum(name.startswith("layers") for name in a) // 2
    for i in range(n_layers):
        hidden = hidden @ a[f"layers.{i}.weight"].T + a[f"layers.{i}.bias"]
        hidden = np.maximum(hidden, 0) if i < n_layers - 1 else hidden
    return hidden + x @ a["linear.weight"].T if "linear.weight" in a else hidden


@pytest.mark.parametrize("recipe", [PLAIN, replace(PLAIN, linear_path=True), replace(PLAIN, n_hidden=0), RECIPE])
def test_forward_equals_numpy(recipe):
    encoder = Encoder(5, 3, recipe).initialize(generator()).standardize(inputs()).eval()
    new = inputs(seed=1)
    found = encoder(new).detach().numpy()
    assert found.shape == (200, 3)
    np.testing.assert_allclose(found, network(encoder.to_arrays(), new), rtol=1e-4, atol=1e-5)


def test_paper_encoder_is_four_linear_layers_of_width_50():
    arrays = Encoder(20, 31, RECIPES["paper"]).initialize(generator()).to_arrays()
    shapes = {name: array.shape for name, array in arrays.items() if "weight" in name}
    assert shapes == {
        "layers.0.weight": (50, 20),
        "layers.1.weight": (50, 50),
        "layers.2.weight": (50, 50),
        "layers.3.weight": (31, 50),
    }


def test_standardize_equals_numpy():
    x = inputs()
    encoder = Encoder(5, 3, RECIPE).initialize(generator()).standardize(x)
    np.testing.assert_allclose(encoder.mean.numpy(), x.numpy().mean(axis=0), rtol=1e-5)
    variance = x.numpy().var(axis=0)
    np.testing.assert_allclose(encoder.scale.numpy(), np.sqrt(variance + variance.mean()), rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_constant_features_give_finite_output(value):
    x = inputs()
    x[:, 1] = value
    encoder = Encoder(5, 3, RECIPE).initialize(generator()).standardize(x).eval()
    assert torch.isfinite(encoder(x)).all()
    x[0, 1] += 1  # a new cell where the feature is not constant
    assert torch.isfinite(encoder(x)).all()
    constant = Encoder(5, 3, RECIPE).initialize(generator()).standardize(torch.full((9, 5), value))
    assert torch.isfinite(constant.train()(torch.full((9, 5), value), generator())).all()


def test_features_of_little_spread_stay_small():
    """What rounding leaves of a constant, and what hardly varies, is not blown up."""
    x = inputs()
    x[:, 1] = 0.25 + 1e-7 * torch.rand(200, generator=generator())
    x[:, 2] = 1e-3 * torch.randn(200, generator=generator())
    encoder = Encoder(5, 3, RECIPE).initialize(generator()).standardize(x).eval()
    scaled = (x - encoder.mean) / encoder.scale
    assert scaled[:, 1].std() < 1e-6
    assert scaled[:, 2].std() < 1e-3
    assert (scaled.std(dim=0) < 1).all()
    other = x.clone()
    other[:, 1] += 0.01  # a new cell measured a little off
    torch.testing.assert_close(encoder(other), encoder(x), rtol=0, atol=0.05)


def test_noise_has_the_spread_of_the_features_together():
    recipe = replace(PLAIN, input_noise=0.5, n_hidden=0)
    encoder = Encoder(5, 5, recipe).initialize(generator()).standardize(inputs()).train()
    with torch.no_grad():
        encoder.layers[0].weight.copy_(torch.diag(encoder.scale))  # undoes the scaling
        encoder.layers[0].bias.zero_()
    x = torch.zeros(50_000, 5)
    noisy = (encoder(x, generator()) + encoder.mean).detach().numpy()
    overall = np.sqrt(np.mean(inputs().numpy().var(axis=0)))
    np.testing.assert_allclose(noisy.std(axis=0), 0.5 * overall, rtol=0.02)
    np.testing.assert_allclose(noisy.mean(axis=0), 0, atol=0.05 * overall)


def begun():
    """An encoder at a start, its weights and bias, and the same after some learning."""
    weights, bias = torch.randn(5, 3, generator=generator(7)), torch.tensor([0.0, 0.0, 0.5])
    encoder = Encoder(5, 3, RECIPE).initialize(generator()).standardize(inputs()).begin_at(weights, bias).eval()
    learned = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in learned.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator(1)) / 10)
    return encoder, weights, bias, learned


def test_start_is_that_map_of_the_inputs():
    encoder, weights, bias, learned = begun()
    x = inputs(seed=1)
    expected = (x.double() - inputs().double().mean(dim=0)) @ weights.double() + bias
    for one in (encoder, learned):
        torch.testing.assert_close(one.start_outputs(x).double(), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(learned(x).detach(), network(learned.to_arrays(), x), rtol=1e-3, atol=1e-4)
    # training begins there, but for the network beside the linear path
    beside = encoder(x) - encoder.start_outputs(x)
    without = {name: array for name, array in encoder.to_arrays().items() if name != "linear.weight"}
    without["layers.2.bias"] = without["layers.2.bias"] - bias.numpy()
    np.testing.assert_allclose(beside.detach(), network(without, x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_shrinking_is_linear_in_the_outputs(share):
    _, _, _, learned = begun()
    x = inputs(seed=1)
    start, end = learned.start_outputs(x), learned(x).detach()
    learned.shrink(share)
    torch.testing.assert_close(learned(x).detach(), start + share * (end - start), rtol=1e-4, atol=1e-4)


def test_a_share_of_one_changes_nothing():
    _, _, _, learned = begun()
    before = learned.to_arrays()
    learned.shrink(1.0)
    for name, array in learned.to_arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_start_is_not_stored():
    encoder, _, _, _ = begun()
    assert set(encoder.to_arrays()) == set(Encoder(5, 3, RECIPE).to_arrays())
    assert set(encoder.to_arrays()) == set(dict(RECIPE.encoder_shapes(5, 3)))


def test_noise_in_training_only():
    encoder = Encoder(5, 3, RECIPE).initialize(generator()).standardize(inputs())
    x = inputs(seed=1)
    assert not torch.equal(encoder.train()(x, generator()), encoder(x, generator(1)))
    assert torch.equal(encoder.train()(x, generator()), encoder(x, generator()))
    assert torch.equal(encoder.eval()(x), encoder(x))


def test_arrays_give_the_same_encoder():
    encoder = Encoder(5, 3, RECIPE).initialize(generator()).standardize(inputs()).eval()
    encoder.mean_norm = torch.tensor(1.25)
    arrays = encoder.to_arrays()
    assert all(array.dtype == np.float32 and array.ndim >= 1 for array in arrays.values())
    back = Encoder.from_arrays(arrays, RECIPE)
    assert not back.training
    assert torch.equal(back(inputs(seed=1)), encoder(inputs(seed=1)))
    assert back.mean_norm.shape == ()
    for name, array in back.to_arrays().items():
        np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize(
    "change",
    [{"n_hidden": 10**9}, {"width": 10**9}, {"n_hidden": 1}, {"linear_path": False, "start": "random"}],
)
def test_arrays_of_another_recipe_are_refused_at_once(change):
    arrays = Encoder(5, 3, RECIPE).initialize(generator()).to_arrays()
    with pytest.raises(ValueError, match="are not those of its recipe"):
        Encoder.from_arrays(arrays, replace(RECIPE, **change))


@pytest.mark.parametrize("name", ["mean", "noise", "layers.1.bias", "layers.2.bias", "linear.weight"])
def test_damaged_arrays_are_refused(name):
    arrays = Encoder(5, 3, RECIPE).initialize(generator()).to_arrays()
    missing = {other: array for other, array in arrays.items() if other != name}
    for damaged in (missing, {**arrays, name: arrays[name][None]}):
        with pytest.raises(ValueError, match=f"'{name}'.* are not those of its recipe"):
            Encoder.from_arrays(damaged, RECIPE)


def test_arrays_are_copies():
    encoder = Encoder(5, 3, RECIPE).initialize(generator())
    arrays = encoder.to_arrays()
    back = Encoder.from_arrays(arrays, RECIPE)
    for array in arrays.values():
        array += 1
    for other in (encoder, back):
        for name, array in other.to_arrays().items():
            assert not np.array_equal(array, arrays[name])


def test_weights_come_from_the_generator_only(global_random_state_untouched):
    with global_random_state_untouched():
        encoders = [Encoder(5, 3, RECIPE).initialize(generator(seed)) for seed in (0, 0, 1)]
        encoders[0].standardize(inputs()).train()(inputs(), generator())
        Encoder.from_arrays(encoders[0].to_arrays(), RECIPE)
    first, same, other = (encoder.layers[0].weight for encoder in encoders)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_weights_are_drawn_as_by_torch():
    ours = Encoder(40, 3, replace(PLAIN, width=500)).initialize(generator())
    for layer in ours.layers:
        bound = layer.in_features**-0.5
        for values in (layer.weight, layer.bias):
            assert values.abs().max() <= bound
        np.testing.assert_allclose(layer.weight.std().item(), bound / 3**0.5, rtol=0.05)
    for layer in ours.layers[:-1]:  # uniform, both signs
        bound = layer.in_features**-0.5
        np.testing.assert_allclose(layer.bias.detach().std().item(), bound / 3**0.5, rtol=0.1)
        np.testing.assert_allclose(layer.bias.detach().mean().item(), 0, atol=0.1 * bound)
