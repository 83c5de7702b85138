from dataclasses import replace
from itertools import combinations

import pytest
import torch

from clipdim.contrast import RECIPES, ContrastiveModel, info_nce, train
from clipdim.contrast.objective import contrastive, pair_loss, pair_losses
from clipdim.contrast.recipes import LOSSES

QUIET = replace(RECIPES["default"], input_noise=0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def model(recipe=QUIET, names=("a", "b"), out_dim=4):
    return ContrastiveModel.create(dict.fromkeys(names, 5), out_dim, recipe).initialize(generator())


def batch(names=("a", "b"), n=20, seed=0):
    draw = generator(seed)
    return {name: torch.randn(n, 5, generator=draw) for name in names}


def test_loss_of_cosine():
    m, x = model(), batch()
    f, g = (torch.nn.functional.normalize(m.encoders[name](x[name]), dim=1) for name in "ab")
    assert contrastive(m, x).item() == pytest.approx(info_nce(f, g, m.temperature()).item(), rel=1e-6)


def test_loss_of_inner_divides_by_the_mean_norms_with_gradient():
    m, x, norm_set = model(replace(QUIET, similarity="inner")), batch(), batch(n=11, seed=1)
    f, g = (m.encoders[name](x[name]) / m.encoders[name](norm_set[name]).norm(dim=1).mean() for name in "ab")
    expected = info_nce(f, g, m.temperature())
    expected_gradients = torch.autograd.grad(expected, list(m.parameters()))
    found = contrastive(m, x, norm_inputs=norm_set)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for ours, theirs in zip(torch.autograd.grad(found, list(m.parameters())), expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_without_a_norm_set_the_norms_are_the_minibatch_s_own():
    m, x = model(replace(QUIET, similarity="inner")), batch()
    assert contrastive(m, x).item() == contrastive(m, x, norm_inputs=x).item()


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_loss_does_not_see_the_scale_of_an_encoder(similarity):
    m, x, norm_set = model(replace(QUIET, similarity=similarity)), batch(), batch(n=11, seed=1)
    norm_inputs = norm_set if similarity == "inner" else None
    before = contrastive(m, x, norm_inputs=norm_inputs).item()
    encoder = m.encoders["a"]
    with torch.no_grad():
        for parameter in (encoder.layers[-1].weight, encoder.layers[-1].bias, encoder.linear.weight):
            parameter *= 7
    assert contrastive(m, x, norm_inputs=norm_inputs).item() == pytest.approx(before, rel=1e-5)


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
    assert contrastive(m, x, groups=groups).item() == pytest.approx(expected.item(), rel=1e-5)


def test_losses_of_the_pairs_that_are_there():
    names = ("a", "b", "c")
    m, groups = model(names=names), torch.arange(12) % 2
    m.set_temperature([0.1, 0.2, 0.4])
    u = {name: torch.nn.functional.normalize(x, dim=1) for name, x in batch(names, n=12).items()}
    expected = [
        info_nce(u[one], u[two], temperature, groups=groups).item()
        for (one, two), temperature in zip(combinations(names, 2), (0.1, 0.2, 0.4), strict=True)
    ]
    assert torch.stack(pair_losses(m, u, groups=groups)).tolist() == pytest.approx(expected, rel=1e-5)
    two = {"c": u["c"], "b": u["b"]}
    assert [loss.item() for loss in pair_losses(m, two, groups=groups)] == pytest.approx(expected[2:], rel=1e-5)
    assert pair_losses(m, {"a": u["a"]}) == []


def squared_distance(u, v, temperature, *, groups=None):
    return (u - v).square().sum() / temperature


def test_another_loss_is_one_entry(monkeypatch):
    assert pair_loss(QUIET) is info_nce
    monkeypatch.setitem(LOSSES, "squared_distance", __name__)
    recipe = replace(QUIET, loss="squared_distance", max_epochs=1, batch_size=20)
    m, x = model(recipe), batch()
    u, v = (torch.nn.functional.normalize(m.encoders[name](x[name]), dim=1) for name in "ab")
    expected = squared_distance(u, v, 0.2).item()
    assert [epoch.loss for epoch in train(m, x, generator=generator())] == pytest.approx([expected], rel=1e-5)
