import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from clipdim.contrast import RECIPES, ContrastiveModel, train
from clipdim.contrast.objective import contrastive

DEFAULT, PAPER = RECIPES["default"], RECIPES["paper"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def paired(n=300, *, shared=3, seed=0):
    """Two views of the same latents, each with noise of its own."""
    draw = generator(seed)
    latent = torch.randn(n, shared, generator=draw)
    return {
        name: latent @ torch.randn(shared, p, generator=draw) + 0.1 * torch.randn(n, p, generator=draw)
        for name, p in (("rna", 8), ("prot", 5))
    }


def fitted(recipe, inputs, *, seed=0, **arguments):
    model = ContrastiveModel.create({name: x.shape[1] for name, x in inputs.items()}, 4, recipe).initialize(
        generator(seed)
    )
    if recipe.standardize:
        for name, encoder in model.encoders.items():
            encoder.standardize(inputs[name])
    return model, list(train(model, inputs, generator=generator(seed), **arguments))


class Recording:
    """Keeps the rows of every minibatch; needs a modality ``row`` that holds the row's number."""

    def __init__(self):
        self.batches = []

    def __call__(self, model, inputs, **arguments):
        if model.training:
            self.batches.append(inputs["row"][:, 0].long().tolist())
        return contrastive(model, inputs, **arguments)


def batches_of(recipe, n):
    """Rows of every minibatch of a training."""
    objective = Recording()
    inputs = {**paired(n), "row": torch.arange(n, dtype=torch.float32)[:, None]}
    fitted(recipe, inputs, objective=objective)
    return objective.batches


def test_paper_recipe_equals_plain_adam_steps():
    """Full batches, inner similarity with the gradient through the norm set, L2 decay of every parameter."""
    recipe = replace(PAPER, max_epochs=6, batch_size=200, lr=1e-2, weight_decay=0.1)
    x = paired(200)
    norm_inputs = paired(40, seed=1)
    start = ContrastiveModel.create({"rna": 8, "prot": 5}, 4, recipe).initialize(generator())
    arrays = {name: encoder.to_arrays() for name, encoder in start.encoders.items()}
    layers = {
        name: [
            (torch.tensor(a[f"layers.{i}.weight"]).double(), torch.tensor(a[f"layers.{i}.bias"]).double())
            for i in range(4)
        ]
        for name, a in arrays.items()
    }
    s = torch.zeros((), dtype=torch.float64)
    parameters = [p for pairs in layers.values() for pair in pairs for p in pair] + [s]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]

    def encode(name, inputs):
        for i, (weight, bias) in enumerate(layers[name]):
            inputs = inputs.double() @ weight.T + bias
            inputs = inputs.clamp_min(0) if i < 3 else inputs
        return inputs

    expected = []
    for step in range(1, 7):
        for p in parameters:
            p.requires_grad_()
        f, g = (
            encode(name, x[name]) / encode(name, norm_inputs[name]).square().sum(1).sqrt().mean() for name in layers
        )
        logits = f @ g.T / (torch.exp(2 * s) + 1e-4)
        loss = (logits.exp().sum(1).log() - logits.diagonal()).mean() / 2
        loss = loss + (logits.exp().sum(0).log() - logits.diagonal()).mean() / 2
        gradients = torch.autograd.grad(loss, parameters)
        expected.append(loss.item())
        with torch.no_grad():
            for p, gradient, (m, v) in zip(parameters, gradients, moments, strict=True):
                gradient = gradient + 0.1 * p
                m += (1 - 0.9) * (gradient - m)
                v += (1 - 0.999) * (gradient**2 - v)
                p -= 1e-2 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)

    model, epochs = fitted(recipe, x, norm_inputs=norm_inputs)
    assert [epoch.loss for epoch in epochs] == pytest.approx(expected, rel=1e-4)
    assert epochs[-1].temperature == pytest.approx(math.exp(2 * s.item()) + 1e-4, rel=1e-4)
    for name, encoder in model.encoders.items():
        for layer, (weight, bias) in zip(encoder.layers, layers[name], strict=True):
            np.testing.assert_allclose(layer.weight.detach(), weight.detach(), atol=2e-4)
            np.testing.assert_allclose(layer.bias.detach(), bias.detach(), atol=2e-4)


def test_decoupled_decay_spares_biases_and_temperature():
    x = paired(64)
    kept, decayed = (
        fitted(replace(DEFAULT, max_epochs=1, one_cycle=False, lr=1e-3, weight_decay=decay, input_noise=0.0), x)[0]
        for decay in (0.0, 0.5)
    )
    for (name, plain), shrunk in zip(kept.named_parameters(), decayed.parameters(), strict=True):
        rate = 1e-3 * (DEFAULT.linear_rate if name.endswith("linear.weight") else 1)
        factor = 1 - rate * 0.5 if plain.ndim > 1 else 1
        start = dict(
            ContrastiveModel.create({"rna": 8, "prot": 5}, 4, DEFAULT).initialize(generator()).named_parameters()
        )
        step = plain.detach() - start[name].detach()
        np.testing.assert_allclose(shrunk.detach(), factor * start[name].detach() + step, atol=1e-6)


def test_fixed_order_drops_the_last_incomplete_batch():
    batches = batches_of(replace(DEFAULT, shuffle=False, batch_size=32, max_epochs=2), 100)
    assert batches == [list(range(start, start + 32)) for start in (0, 32, 64)] * 2


def test_shuffled_batches_are_full_distinct_and_differ_by_epoch():
    batches = batches_of(replace(DEFAULT, batch_size=32, max_epochs=4), 100)
    assert [len(batch) for batch in batches] == [32] * 12
    epochs = [[*batches[start], *batches[start + 1], *batches[start + 2]] for start in range(0, 12, 3)]
    assert all(len(set(epoch)) == 96 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    # those left over in one epoch come in another
    assert set().union(*epochs) == set(range(100))


def test_fewer_cells_than_a_batch_make_one_batch():
    batches = batches_of(replace(DEFAULT, batch_size=256, max_epochs=2), 30)
    assert [sorted(batch) for batch in batches] == [list(range(30))] * 2


def test_groups_follow_their_cells():
    """Batches that can be told apart by every modality: no gain when negatives come from the own batch."""
    groups = torch.arange(256) % 2
    x = {name: groups[:, None].float().expand(-1, 3) + 0 for name in ("a", "b")}
    recipe = replace(DEFAULT, max_epochs=20, input_noise=0.0)
    assert fitted(recipe, x, groups=groups)[1][-1].loss == pytest.approx(math.log(128), rel=1e-3)
    assert fitted(recipe, x)[1][-1].loss < math.log(256) - 0.5


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_loss_and_temperature_fall(similarity):
    recipe = replace(DEFAULT, similarity=similarity, max_epochs=25, batch_size=100, initial_temperature=1.0)
    epochs = fitted(recipe, paired(), norm_inputs=paired(50, seed=1) if similarity == "inner" else None)[1]
    assert [epoch.index for epoch in epochs] == list(range(25))
    assert epochs[-1].loss < 0.85 * epochs[0].loss
    assert epochs[-1].temperature < 0.7 * epochs[0].temperature


def test_same_seed_same_weights_and_no_global_draws(global_random_state_untouched):
    recipe = replace(DEFAULT, max_epochs=2, batch_size=64)
    with global_random_state_untouched():
        runs = [fitted(recipe, paired(), seed=seed) for seed in (0, 0, 1)]
    weights = [torch.cat([p.detach().ravel() for p in model.parameters()]) for model, _ in runs]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_model_is_ready_for_use_between_epochs():
    inputs = paired()
    model = ContrastiveModel.create({"rna": 8, "prot": 5}, 4, replace(DEFAULT, max_epochs=2)).initialize(generator())
    assert [model.training for _ in train(model, inputs, generator=generator())] == [False, False]


@pytest.mark.parametrize(
    ("lr", "value", "cause"),
    [
        (1e20, 0.0, r"epoch \d; likely cause: the learning rate 1e\+20 is too large; pass a smaller lr"),
        (1e-3, 1e37, "epoch 0; likely cause: an input of modality 'prot' lies .* spreads from the mean"),
        (1e-3, float("nan"), "epoch 0; likely cause: "),
    ],
)
def test_divergence_names_epoch_and_cause(lr, value, cause):
    inputs = paired()
    inputs["prot"][7, 2] = value
    with pytest.raises(FloatingPointError, match=cause):
        fitted(replace(DEFAULT, lr=lr, max_epochs=9), inputs)


def test_divergence_in_the_last_step():
    """The loss is measured before each step, so that of the last one would go unseen."""
    x = torch.randn(50, 6, generator=generator())
    recipe = replace(PAPER, lr=1e15, temperature_rate=1e-30, initial_temperature=0.2, max_epochs=1)
    with pytest.raises(FloatingPointError, match="the loss after the last step became nan in epoch 0; likely cause"):
        fitted(recipe, {"a": x, "b": x}, norm_inputs={"a": x, "b": x})


def test_inner_similarity_needs_a_norm_set():
    with pytest.raises(ValueError, match="pass norm_inputs"):
        fitted(replace(PAPER, max_epochs=1), paired())
