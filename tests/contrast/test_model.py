from dataclasses import replace

import numpy as np
import pytest
import torch

from clipdim.contrast import RECIPES, ContrastiveModel, ridge_cca
from clipdim.contrast.objective import contrastive

QUIET = replace(RECIPES["default"], input_noise=0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def model(recipe=QUIET, names=("a", "b"), out_dim=4):
    return ContrastiveModel.create(dict.fromkeys(names, 5), out_dim, recipe).initialize(generator())


def batch(names=("a", "b"), n=20, seed=0):
    draw = generator(seed)
    return {name: torch.randn(n, 5, generator=draw) for name in names}


@pytest.mark.parametrize("recipe", [*RECIPES.values(), replace(QUIET, initial_temperature=0.03, temperature_rate=1.0)])
def test_first_temperature(recipe):
    assert model(recipe).temperature().item() == pytest.approx(recipe.initial_temperature, rel=1e-5)


def test_paper_temperature_starts_from_zero_and_is_not_clamped():
    paper = model(RECIPES["paper"])
    assert paper.temperature_parameter.item() == pytest.approx(0, abs=1e-12)
    with torch.no_grad():
        paper.temperature_parameter.fill_(-1.5)
    assert paper.temperature().item() == pytest.approx(np.exp(2 * -1.5) + 1e-4, rel=1e-6)
    with torch.no_grad():
        paper.temperature_parameter.fill_(-100)
    assert paper.temperature().item() == pytest.approx(1e-4)


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_embedding_and_norms(similarity, monkeypatch):
    monkeypatch.setattr("clipdim.contrast.model.CELLS_PER_BLOCK", 7)
    m, x = model(replace(RECIPES["default"], similarity=similarity)).eval(), batch()
    m.fix_mean_norms(x)
    for name in "ab":
        outputs = m.encoders[name](x[name]).detach().numpy()
        norms = np.linalg.norm(outputs, axis=1)
        embedding, relative = m.embed(name, x[name])
        assert embedding.dtype == relative.dtype == np.float32
        np.testing.assert_allclose(relative, norms / norms.mean(), rtol=1e-5)
        divisor = norms[:, None] if similarity == "cosine" else norms.mean()
        np.testing.assert_allclose(embedding, outputs / divisor, rtol=1e-4, atol=1e-6)


def test_arrays_give_the_same_embedding():
    names = ("rna", "my.protein")
    m, x = model(RECIPES["default"], names).eval(), batch(names)
    m.fix_mean_norms(x)
    arrays = {name: encoder.to_arrays() for name, encoder in reversed(m.encoders.items())}
    back = ContrastiveModel.from_arrays(arrays, RECIPES["default"])
    for name in names:
        for ours, theirs in zip(back.embed(name, x[name]), m.embed(name, x[name]), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_global_random_state(global_random_state_untouched):
    with global_random_state_untouched():
        m = model(RECIPES["default"])
        contrastive(m.train(), batch(), generator=generator()).backward()
        ContrastiveModel.from_arrays({name: e.to_arrays() for name, e in m.encoders.items()}, RECIPES["default"])


def test_projected_model():
    model = (
        ContrastiveModel.create({"a": 5, "b.c": 4}, 6, RECIPES["default"])
        .initialize(torch.Generator().manual_seed(0))
        .eval()
    )
    model.set_temperature(0.07)
    axes = torch.linalg.qr(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)))[0]
    projected = model.project(axes.double())
    assert projected.temperature().item() == pytest.approx(0.07)
    for name, n_features in (("a", 5), ("b.c", 4)):
        x = torch.randn(7, n_features, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(projected.encoders[name](x), model.encoders[name](x) @ axes)
        assert projected.encoders[name].mean.data_ptr() != model.encoders[name].mean.data_ptr()


def views(names=("a", "b"), n=300, seed=0):
    """Modalities of 7 features, or 5 in the first one, that share three latents."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 3))
    sizes = {name: 7 if place else 5 for place, name in enumerate(names)}
    mix = {name: rng.normal(size=(3, p)) for name, p in sizes.items()}
    return {name: (latent @ mix[name] + rng.normal(size=(n, p)) + 3).astype(np.float32) for name, p in sizes.items()}


def at_the_start(x, out_dim, recipe=QUIET):
    """A model at the ridge CCA of some cells, and that."""
    begun = ContrastiveModel.create({name: values.shape[1] for name, values in x.items()}, out_dim, recipe)
    begun.initialize(generator())
    for name, encoder in begun.encoders.items():
        encoder.standardize(torch.from_numpy(x[name]))
    start = ridge_cca(x, out_dim)
    return begun.begin_at(start, generator()).eval(), start


def outputs_of(some_model, x):
    return {name: e(torch.from_numpy(x[name])).detach().double().numpy() for name, e in some_model.encoders.items()}


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")])
@pytest.mark.parametrize("similarity", ["cosine", "inner"])
@pytest.mark.parametrize("out_dim", [1, 2, 4, 12])
def test_without_learning_a_model_is_the_ridge_cca_up_to_scale(names, similarity, out_dim):
    x, new = views(names), views(names, seed=1)
    begun, start = at_the_start(x, out_dim, replace(QUIET, similarity=similarity))
    begun.shrink(0.0)
    n_variates = next(iter(start.weights.values())).shape[1]
    # a constant takes one column where there are two
    n_columns = min(n_variates, max(1, out_dim - 1))
    for name, found in outputs_of(begun, new).items():
        variates = start.transform(name, new[name])[:, :n_columns]
        factor = (found[:, :n_columns] * variates).sum() / (variates**2).sum()
        np.testing.assert_allclose(found[:, :n_columns], factor * variates, rtol=1e-3, atol=1e-4)
        assert factor > 0


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
@pytest.mark.parametrize("out_dim", [1, 2, 4, 12])
def test_a_constant_comes_next_to_the_variates(similarity, out_dim):
    """The same for all cells and modalities, about as large as the variates together; none in one dimension."""
    x = views()
    begun, start = at_the_start(x, out_dim, replace(QUIET, similarity=similarity))
    begun.shrink(0.0)
    found = outputs_of(begun, x)
    together = np.concatenate(list(found.values()))
    place = min(out_dim - 1, next(iter(start.weights.values())).shape[1])
    assert np.flatnonzero(together.std(axis=0) < 1e-6).tolist() == ([place] if out_dim > 1 else [])
    if out_dim > 1:
        norm = np.linalg.norm(together[:, :place], axis=1).mean()
        assert 0.3 < together[0, place] / norm < 1


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")])
@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_columns_left_over_are_small_mixtures_of_the_variates(names, similarity):
    """The same ones in all modalities: at 0 the products of two modalities could not grow."""
    x = views(names)
    begun, start = at_the_start(x, 12, replace(QUIET, similarity=similarity))
    begun.shrink(0.0)
    found = outputs_of(begun, x)
    n_variates = next(iter(start.weights.values())).shape[1]
    left = slice(n_variates + 1, None)
    for columns in found.values():
        norms = [np.linalg.norm(part, axis=1).mean() for part in (columns[:, :n_variates], columns[:, left])]
        assert 0.01 < norms[1] / norms[0] < 0.5
    together = np.concatenate(list(found.values()))
    mixtures = np.linalg.lstsq(together[:, :n_variates], together[:, left], rcond=None)[0]
    np.testing.assert_allclose(together[:, :n_variates] @ mixtures, together[:, left], atol=1e-6)


def test_start_draws_from_the_generator_only(global_random_state_untouched):
    x = views()
    with global_random_state_untouched():
        models = [at_the_start(x, 12)[0] for _ in range(2)]
    for first, second in zip(*(one.parameters() for one in models), strict=True):
        assert torch.equal(first, second)


def test_model_is_shrunk_in_all_modalities():
    x = views()
    begun, _ = at_the_start(x, 4)
    end = outputs_of(begun, x)
    start = {name: e.start_outputs(torch.from_numpy(x[name])).numpy() for name, e in begun.encoders.items()}
    begun.shrink(0.3)
    for name, found in outputs_of(begun, x).items():
        np.testing.assert_allclose(found, start[name] + 0.3 * (end[name] - start[name]), atol=1e-5)


def test_projection_of_the_start():
    """The second stage begins at the projected outputs, whatever share was kept."""
    x = views()
    begun, _ = at_the_start(x, 6)
    begun.shrink(0.0)
    axes = torch.linalg.qr(torch.randn(6, 3, generator=generator(1)))[0]
    for name, found in outputs_of(begun.project(axes).eval(), x).items():
        np.testing.assert_allclose(found, outputs_of(begun, x)[name] @ axes.numpy(), atol=1e-5)


def test_noise_that_is_left_out():
    noisy = model(RECIPES["default"]).train()
    x = batch()
    assert not torch.equal(*(noisy.encoders["a"](x["a"], generator(seed)) for seed in (0, 1)))
    noisy.without_noise()
    assert torch.equal(*(noisy.encoders["a"](x["a"], generator(seed)) for seed in (0, 1)))
    assert noisy.recipe == replace(RECIPES["default"], input_noise=0.0)
    assert all(encoder.to_arrays()["noise"] == 0 for encoder in noisy.encoders.values())
