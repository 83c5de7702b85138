from dataclasses import replace

import numpy as np
import pytest
import torch

from clipdim.contrast import RECIPES, ContrastiveModel
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
