from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from clipdim.contrast import RECIPES, ContrastiveModel, info_nce
from clipdim.contrast.objective import Contrastive

OBJECTIVE = Contrastive()
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


def test_loss_of_cosine():
    m, x = model(), batch()
    f, g = (torch.nn.functional.normalize(m.encoders[name](x[name]), dim=1) for name in "ab")
    assert OBJECTIVE(m, x).item() == pytest.approx(info_nce(f, g, m.temperature()).item(), rel=1e-6)


def test_loss_of_inner_divides_by_the_mean_norms_with_gradient():
    m, x, norm_set = model(replace(QUIET, similarity="inner")), batch(), batch(n=11, seed=1)
    f, g = (m.encoders[name](x[name]) / m.encoders[name](norm_set[name]).norm(dim=1).mean() for name in "ab")
    expected = info_nce(f, g, m.temperature())
    expected_gradients = torch.autograd.grad(expected, list(m.parameters()))
    found = OBJECTIVE(m, x, norm_inputs=norm_set)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for ours, theirs in zip(torch.autograd.grad(found, list(m.parameters())), expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_without_a_norm_set_the_norms_are_the_minibatch_s_own():
    m, x = model(replace(QUIET, similarity="inner")), batch()
    assert OBJECTIVE(m, x).item() == OBJECTIVE(m, x, norm_inputs=x).item()


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_loss_does_not_see_the_scale_of_an_encoder(similarity):
    m, x, norm_set = model(replace(QUIET, similarity=similarity)), batch(), batch(n=11, seed=1)
    norm_inputs = norm_set if similarity == "inner" else None
    before = OBJECTIVE(m, x, norm_inputs=norm_inputs).item()
    encoder = m.encoders["a"]
    with torch.no_grad():
        for parameter in (encoder.layers[-1].weight, encoder.layers[-1].bias, encoder.linear.weight):
            parameter *= 7
    assert OBJECTIVE(m, x, norm_inputs=norm_inputs).item() == pytest.approx(before, rel=1e-5)


def test_three_modalities_average_their_pairs():
    names = ("a", "b", "c")
    m, x = model(names=names), batch(names)
    groups = torch.arange(20) % 3
    pairs = [
        m.normalize(m.encoders[one](x[one]), None) @ m.normalize(m.encoders[two](x[two]), None).T
        for one, two in combinations(names, 2)
    ]
    masked = [(s / m.temperature()).masked_fill(groups[:, None] != groups, -torch.inf) for s in pairs]
    expected = torch.stack([(s.logsumexp(1) + s.logsumexp(0) - 2 * s.diagonal()).mean() / 2 for s in masked]).mean()
    assert OBJECTIVE(m, x, groups=groups).item() == pytest.approx(expected.item(), rel=1e-5)


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
        OBJECTIVE(m.train(), batch(), generator=generator()).backward()
        ContrastiveModel.from_arrays({name: e.to_arrays() for name, e in m.encoders.items()}, RECIPES["default"])
