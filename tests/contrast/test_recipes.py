from dataclasses import FrozenInstanceError, asdict, replace

import numpy as np
import pytest

from clipdim.contrast import RECIPES, Recipe


def test_paper_settings_to_the_letter():
    paper = RECIPES["paper"]
    assert (paper.similarity, paper.width, paper.n_hidden) == ("inner", 50, 3)
    assert (paper.optimizer, paper.lr, paper.weight_decay, paper.one_cycle) == ("adam", 1e-4, 1e-4, False)
    assert (paper.batch_size, paper.shuffle, paper.max_epochs) == (256, False, 400)
    assert (paper.temperature_rate, paper.min_temperature, paper.initial_temperature) == (2, 1e-4, 1 + 1e-4)
    assert (paper.standardize, paper.input_noise, paper.linear_path) == (False, 0, False)
    # 10,000 training cells, 2,000 in the norm set
    assert paper.norm_fraction * 12_000 == pytest.approx(2_000)


def test_epochs_follow_from_the_number_of_cells():
    recipe = replace(RECIPES["default"], max_epochs=None)
    cells = [100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000]
    epochs = np.array([recipe.n_epochs(n) for n in cells])
    steps = epochs * np.maximum(1, np.array(cells) // recipe.batch_size)
    assert (np.diff(epochs) <= 0).all()  # more cells need no more rounds
    assert (np.diff(steps) >= 0).all()  # and no fewer steps
    assert 20 <= recipe.n_epochs(500) <= 300
    assert 2 <= recipe.n_epochs(500_000) <= 40
    assert all(isinstance(recipe.n_epochs(n), int) for n in (1, 10, 500_000))


def test_epochs_that_were_set():
    assert {replace(RECIPES["default"], max_epochs=7).n_epochs(n) for n in (10, 10_000, 10_000_000)} == {7}


def test_is_frozen():
    with pytest.raises(FrozenInstanceError):
        RECIPES["default"].lr = 1.0


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("similarity", ["dot", None]),
        ("optimizer", ["sgd"]),
        ("max_epochs", [0, -1, 2.5, True, "3"]),
        ("batch_size", [0, 1, -5, 2.5, None]),
        ("width", [0]),
        ("n_hidden", [-1]),
        ("lr", [0.0, -1.0, float("nan"), float("inf"), "x", None]),
        ("min_temperature", [0.0]),
        ("temperature_rate", [-4.0]),
        ("initial_temperature", [1e-4, 0.0, float("nan")]),
        ("norm_fraction", [-0.1, 1.0]),
        ("precision", ["float16", None]),
    ],
)
def test_settings_out_of_range(name, values):
    for value in values:
        with pytest.raises(ValueError, match=name):
            replace(RECIPES["default"], **{name: value})


def test_settings_read_from_a_file():
    """Files give numpy scalars back."""
    recipe = Recipe(width=np.int64(9), lr=np.float64(0.1), shuffle=np.bool_(True), max_epochs=np.int64(3))
    assert recipe.n_epochs(100) == 3


def test_from_stored():
    settings = asdict(RECIPES["paper"])
    assert Recipe.from_stored(settings) == RECIPES["paper"]
    del settings["adaptive_noise"]
    assert Recipe.from_stored(settings) == replace(RECIPES["paper"], adaptive_noise=Recipe().adaptive_noise)
    with pytest.raises(ValueError, match=r"the settings \['dropout', 'heads'\], which this version .*fit again with"):
        Recipe.from_stored({**settings, "dropout": 0.1, "heads": 4})
    with pytest.raises(ValueError, match="width must be an integer of at least 1"):
        Recipe.from_stored({**settings, "width": 0})
