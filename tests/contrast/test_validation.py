"""What validation cells say of a model, against direct computations."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from clipdim.contrast import RECIPES, ContrastiveModel, ridge_cca
from clipdim.contrast.cells import Cells
from clipdim.contrast.validation import SHARES, Validation

SIZES = {"a": 6, "b": 5, "c": 4}
# fine enough that the lowest loss on it is lowest to 1e-4
TEMPERATURES = np.geomspace(1e-3, 3, 400)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def views(n=120, names="ab", seed=0):
    rng = np.random.default_rng(seed)
    latent, mix = rng.normal(size=(n, 3)), np.random.default_rng(9)
    return {
        name: torch.tensor(latent @ mix.normal(size=(3, SIZES[name])) + 0.4 * rng.normal(size=(n, SIZES[name])) + 2)
        .float()
        for name in names
    }  # fmt: skip


def learned_model(names="ab", out_dim=4, **settings):
    """A model that has moved away from its start, in directions that are no better."""
    recipe, x = replace(RECIPES["default"], **settings), views(names=names)
    model = ContrastiveModel.create({name: SIZES[name] for name in names}, out_dim, recipe).initialize(generator())
    for name, encoder in model.encoders.items():
        encoder.standardize(x[name])
    model.begin_at(ridge_cca({name: values.numpy() for name, values in x.items()}, out_dim), generator())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator(1)))
    return model.eval()


def outputs(model, share, cells):
    """Outputs of a model that keeps a share of what it learned, in float64."""
    shrunk = copy.deepcopy(model)
    shrunk.shrink(share)
    with torch.no_grad():
        return {name: shrunk.encoders[name](x).double().numpy() for name, x in cells.items()}


def normalized(x, similarity):
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / (norms if similarity == "cosine" else norms.mean())


def info_nce(u, v, temperature, groups=None):
    logits = u @ v.T / temperature
    positive = np.diagonal(logits)
    if groups is not None:
        logits = np.where(np.equal.outer(groups, groups), logits, -np.inf)
    tops = logits.max(axis=1), logits.max(axis=0)
    rows = np.log(np.exp(logits - tops[0][:, None]).sum(axis=1)) + tops[0]
    columns = np.log(np.exp(logits - tops[1]).sum(axis=0)) + tops[1]
    return ((rows + columns) / 2 - positive).mean()


def lowest(loss):
    """Lowest loss over the temperatures."""
    return min(map(loss, TEMPERATURES))


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
@pytest.mark.parametrize("grouped", [False, True])
def test_losses_are_the_lowest_of_all_temperatures(similarity, grouped):
    model, x = learned_model(similarity=similarity), views(80, seed=3)
    groups = torch.from_numpy(np.random.default_rng(0).integers(3, size=80)) if grouped else None
    found = Validation(Cells(x, None, groups)).candidates(model)
    assert [candidate.share for candidate in found] == list(SHARES)
    for candidate in found:
        u, v = (normalized(y, similarity) for y in outputs(model, candidate.share, x).values())

        def loss(temperature, u=u, v=v):
            return info_nce(u, v, temperature, None if groups is None else groups.numpy())

        assert candidate.loss == pytest.approx(lowest(loss), abs=1e-3)
        (temperature,) = candidate.temperatures
        assert loss(temperature) == pytest.approx(candidate.loss, abs=1e-3)


def test_of_three_modalities_each_pair_has_its_best_temperature():
    model, x = learned_model("abc"), views(60, "abc", seed=3)
    (found,) = Validation(Cells(x, None, None)).candidates(model, (0.5,))
    u = {name: normalized(y, "cosine") for name, y in outputs(model, 0.5, x).items()}
    best = [lowest(lambda t, a=a, b=b: info_nce(u[a], u[b], t)) for a, b in model.pairs]
    assert found.loss == pytest.approx(np.mean(best), abs=1e-3)
    for (a, b), temperature, expected in zip(model.pairs, found.temperatures, best, strict=True):
        assert info_nce(u[a], u[b], temperature) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_cells_that_lack_modalities_are_compared_with_their_like(similarity):
    """Cells that have the same modalities; the mean over the cells of a pair, then over the pairs."""
    model, complete = learned_model("abc", similarity=similarity), views(90, "abc", seed=3)
    kind = np.random.default_rng(1).permutation(90) % 3
    # all three, a and b, or b and c
    has = np.stack([kind < 2, kind >= 0, kind != 1], axis=1)
    rows, inputs = np.full((90, 3), -1), {}
    for place, (name, x) in enumerate(complete.items()):
        own = np.random.default_rng(place).permutation(np.flatnonzero(has[:, place]))
        rows[own, place] = np.arange(len(own))
        inputs[name] = x[own]
    (found,) = Validation(Cells(inputs, torch.from_numpy(rows), None)).candidates(model, (0.3,))
    y = outputs(model, 0.3, complete)
    for place, name in enumerate(complete):
        norms = np.linalg.norm(y[name], axis=1, keepdims=True)
        # the expected norm is that of all cells that have the modality
        y[name] = y[name] / (norms if similarity == "cosine" else norms[has[:, place]].mean())
    best = []
    for a, b in (("a", "b"), ("a", "c"), ("b", "c")):
        blocks = [
            np.flatnonzero(kind == k) for k in range(3) if has[kind == k].all(axis=0)[[*map("abc".index, a + b)]].all()
        ]
        n = sum(map(len, blocks))
        best.append(lowest(lambda t: sum(len(i) * info_nce(y[a][i], y[b][i], t) for i in blocks) / n))  # noqa: B023
    assert found.loss == pytest.approx(np.mean(best), abs=1e-3)


def test_a_pair_that_no_cell_has_is_left_out():
    model, x = learned_model("abc"), views(60, "abc", seed=3)
    rows = np.tile(np.arange(60)[:, None], (1, 3))
    rows[:30, 0] = rows[30:, 2] = -1
    (found,) = Validation(Cells(x, torch.from_numpy(rows), None)).candidates(model, (1.0,))
    assert np.isnan(found.temperatures).tolist() == [False, True, False]
    assert np.isfinite(found.loss)


def test_start_and_all_that_was_learned_are_among_the_shares():
    assert SHARES[0] == 0
    assert SHARES[-1] == 1
    assert list(SHARES) == sorted(SHARES)


def test_asking_changes_nothing(global_random_state_untouched):
    model, x = learned_model(), views(50, seed=3)
    validation, before = Validation(Cells(x, None, None)), copy.deepcopy(model.state_dict())
    with global_random_state_untouched():
        first = validation.candidates(model)
        hidden = validation.hidden_by_noise(model, generator())
    assert validation.candidates(model) == first
    assert validation.hidden_by_noise(model, generator()) == hidden
    assert not model.training
    for name, values in model.state_dict().items():
        assert torch.equal(values, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("grouped", [False, True])
def test_what_noise_hides_is_a_difference_of_losses(grouped):
    """At the model's own temperature: with noise less without, and of cells that cannot be told apart less without."""
    model, x = learned_model(input_noise=0.7), views(200, seed=3)
    model.set_temperature(0.1)
    groups = np.random.default_rng(0).integers(3, size=200) if grouped else None
    cells = Cells(x, None, None if groups is None else torch.from_numpy(groups))
    hidden, known = Validation(cells).hidden_by_noise(model, generator(5))

    def loss(inputs):
        u, v = (normalized(y, "cosine") for y in outputs(model, 1.0, inputs).values())
        return info_nce(u, v, 0.1, groups)

    draws = np.random.default_rng(1)
    noisy = []
    for _ in range(40):
        noise = {name: torch.from_numpy(draws.normal(size=values.shape)).float() for name, values in x.items()}
        noisy.append(loss({name: values + model.encoders[name].noise * noise[name] for name, values in x.items()}))
    # three draws of 200 cells
    assert hidden == pytest.approx(np.mean(noisy) - loss(x), abs=4 * np.std(noisy) / np.sqrt(3))
    sizes = np.array([200]) if groups is None else np.bincount(groups)
    nothing = (sizes * np.log(sizes)).sum() / 200
    assert known == pytest.approx(nothing - loss(x), abs=1e-3)
    assert hidden > 0.1


def test_without_noise_nothing_is_hidden():
    validation = Validation(Cells(views(50, seed=3), None, None))
    hidden, _ = validation.hidden_by_noise(learned_model(input_noise=0.0), generator())
    assert hidden == pytest.approx(0, abs=1e-6)
