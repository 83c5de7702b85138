"""The measures of an epoch, against direct computations."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clipdim import dimension
from clipdim.contrast import RECIPES, ContrastiveModel
from clipdim.fitting import monitor as rooms
from clipdim.fitting.monitor import MAX_NEGATIVES, N_ANCHORS, Monitor


def make_monitor(n_cells, names=("a", "b")):
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(n_cells, 4, generator=generator)
    inputs = {name: torch.cat([shared, torch.randn(n_cells, 4, generator=generator)], dim=1) for name in names}
    model = ContrastiveModel.create(dict.fromkeys(names, 8), 6, RECIPES["default"]).initialize(generator).eval()
    return Monitor(model, inputs)


def embeddings_of(monitor):
    with torch.no_grad():
        outputs = [monitor.model.encoders[name](x) for name, x in monitor.inputs.items()]
        return [(x / x.norm(dim=1, keepdim=True)).double().numpy() for x in outputs]


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")])
def test_quantiles_of_few_cells_are_those_of_all_pairs(names):
    monitor = make_monitor(45, names)
    spaces, measures = embeddings_of(monitor), monitor()
    products = [u @ v.T for place, u in enumerate(spaces) for v in spaces[place + 1 :]]
    for quantile, level in (("q05", 0.05), ("q50", 0.5), ("q95", 0.95)):
        positive = np.mean([np.quantile(np.diagonal(s), level) for s in products])
        negative = np.mean([np.quantile(s[~np.eye(45, dtype=bool)], level) for s in products])
        assert measures[f"positive_similarity_{quantile}"] == pytest.approx(positive, abs=1e-5)
        assert measures[f"negative_similarity_{quantile}"] == pytest.approx(negative, abs=1e-5)


def test_no_more_cells_than_needed():
    monitor = make_monitor(1_200)
    assert [len(x) for x in monitor.inputs.values()] == [512, 512]
    small = replace(RECIPES["default"], batch_size=64)
    monitor.model.recipe = small
    assert len(Monitor(monitor.model, {name: torch.randn(1_200, 8) for name in "ab"}).inputs["a"]) == 500
    monitor.model.recipe = replace(RECIPES["default"], batch_size=550)
    groups = torch.arange(1_200)
    larger = Monitor(monitor.model, {name: torch.randn(1_200, 8) for name in "ab"}, groups=groups)
    assert len(larger.inputs["a"]) == len(larger.groups) == 1_100


def test_quantiles_of_many_cells_are_close():
    monitor = make_monitor(1_000)
    (u, v), measures = embeddings_of(monitor), monitor()
    negative = (u @ v.T)[~np.eye(512, dtype=bool)]
    assert [pairs.shape for pairs in monitor.negatives.values()] == [(2, MAX_NEGATIVES)]
    for quantile, level in (("q05", 0.05), ("q50", 0.5), ("q95", 0.95)):
        assert measures[f"negative_similarity_{quantile}"] == pytest.approx(np.quantile(negative, level), abs=0.04)
    assert monitor() == measures


@pytest.mark.parametrize("n_cells", [23, 90, 1_000])
def test_dimension_is_that_of_the_room_of_dimensions(n_cells, monkeypatch):
    monitor = make_monitor(n_cells)
    points = embeddings_of(monitor)[0].astype(np.float32)
    expected = dimension.mle(points, n_anchors=N_ANCHORS)
    every = dimension.mle(points)
    monkeypatch.setattr(rooms.dimension, "mle", None)  # not called for
    found = monitor()["intrinsic_dimension_a"]
    if n_cells <= N_ANCHORS:
        assert found == pytest.approx(expected, rel=1e-4)
    assert found == pytest.approx(every, rel=0.1)


def test_dimension_of_cells_that_repeat():
    monitor = make_monitor(60)
    once = monitor()["intrinsic_dimension_a"]
    monitor = Monitor(monitor.model, {name: torch.cat([x, x[:30]]) for name, x in monitor.inputs.items()})
    assert monitor()["intrinsic_dimension_a"] == pytest.approx(once, rel=1e-4)


@pytest.mark.parametrize("n_cells", [0, 1, 2, 20])
def test_too_few_cells_are_nan(n_cells):
    measures = make_monitor(n_cells)()
    assert np.isnan(measures["intrinsic_dimension_a"])
    assert np.isnan(measures["positive_similarity_q50"]) == (n_cells < 2)
    assert measures.keys() == make_monitor(50)().keys()
