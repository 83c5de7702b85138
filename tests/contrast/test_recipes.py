import math
import re
from dataclasses import FrozenInstanceError, asdict, fields, replace

import numpy as np
import pytest

from clipdim.contrast import RECIPES, Encoder, Recipe


def test_paper_settings_to_the_letter():
    paper = RECIPES["paper"]
    assert (paper.similarity, paper.width, paper.n_hidden) == ("inner", 50, 3)
    assert (paper.optimizer, paper.lr, paper.weight_decay, paper.one_cycle) == ("adam", 1e-4, 1e-4, False)
    assert (paper.batch_size, paper.shuffle, paper.max_epochs) == (256, False, 400)
    assert (paper.temperature_rate, paper.min_temperature, paper.initial_temperature) == (2, 1e-4, 1 + 1e-4)
    assert (paper.standardize, paper.input_noise, paper.linear_path) == (False, 0, False)
    assert (paper.start, paper.shrink, paper.adaptive_noise) == ("random", False, False)
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


@pytest.mark.parametrize(("start", "least"), [("ridge_cca", 30), ("random", 60)])
@pytest.mark.parametrize("batch_size", [256, 20_000])
@pytest.mark.parametrize("n_batches", [1, 2, 7, 11, 59])
def test_few_batches_make_at_least_30_steps_and_60_from_a_random_start(batch_size, n_batches, start, least):
    recipe = replace(RECIPES["default"], batch_size=batch_size, max_epochs=None, start=start)
    for n_cells in (n_batches * batch_size, (n_batches + 1) * batch_size - 1):
        assert recipe.n_epochs(n_cells) * n_batches >= least


def test_epochs_that_were_set():
    for max_epochs in (0, 7):
        recipe = replace(RECIPES["default"], max_epochs=max_epochs)
        assert {recipe.n_epochs(n) for n in (10, 10_000, 10_000_000)} == {max_epochs}


@pytest.mark.parametrize("recipe", [RECIPES["batches"], RECIPES["paper"]])
def test_no_epochs_need_a_start_that_was_not_drawn(recipe):
    with pytest.raises(ValueError, match="max_epochs=0 is the start alone, which needs start='ridge_cca'; pass max_ep"):
        replace(recipe, max_epochs=0)


def test_closed_form_needs_a_linear_path():
    with pytest.raises(ValueError, match=r"'ridge_cca' is where a linear path begins; pass .*, or start='random'"):
        replace(RECIPES["default"], linear_path=False)
    assert not replace(RECIPES["default"], linear_path=False, start="random").linear_path


def test_is_frozen():
    with pytest.raises(FrozenInstanceError):
        RECIPES["default"].lr = 1.0


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("similarity", ["dot"]),
        ("loss", ["hinge", "loss"]),
        ("start", ["cca", "zero"]),
        ("optimizer", ["sgd"]),
        ("max_epochs", [-1]),
        ("batch_size", [0, 1, -5]),
        ("width", [0]),
        ("n_hidden", [-1]),
        ("lr", [0.0, -1.0, math.nan, math.inf]),
        ("linear_rate", [0.0, -0.3, math.nan]),
        ("min_temperature", [0.0]),
        ("temperature_rate", [-4.0]),
        ("initial_temperature", [1e-4, 0.0, math.nan]),
        ("input_noise", [-1.0, math.nan, math.inf]),
        ("weight_decay", [-1.0, math.nan]),
        ("norm_fraction", [-0.1, 1.0, math.nan]),
        ("precision", ["float16"]),
    ],
)
def test_settings_out_of_range(name, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} must be .*, got {value!r}"):
            replace(RECIPES["default"], **{name: value})


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe)])
def test_settings_of_another_type(name):
    """No setting takes a list; a word, a number and a flag are told apart."""
    default = getattr(RECIPES["default"], name)
    wrong = [[], {}, *([] if name == "max_epochs" else [None])]
    wrong += [] if isinstance(default, bool) else [True]
    wrong += [1, 0.5] if isinstance(default, bool | str) else ["3"]
    wrong += [2.5] if name in ("max_epochs", "batch_size", "width", "n_hidden") else []
    for value in wrong:
        with pytest.raises(TypeError, match=f"^{name} must be .*, got {re.escape(repr(value))}"):
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
    # of a version that had it
    assert Recipe.from_stored({**settings, "cuda_graph": True}) == Recipe.from_stored(settings)
    with pytest.raises(ValueError, match=r"the settings \['dropout', 'heads'\], which this version .*fit again with"):
        Recipe.from_stored({**settings, "dropout": 0.1, "heads": 4})
    with pytest.raises(ValueError, match="width must be an integer of at least 1"):
        Recipe.from_stored({**settings, "width": 0})


def test_recipes_of_versions_without_a_start_were_drawn_at_random():
    settings = {
        name: value for name, value in asdict(Recipe()).items() if name not in ("start", "linear_rate", "shrink")
    }
    stored = Recipe.from_stored(settings)
    assert (stored.start, stored.linear_rate, stored.shrink) == ("random", 1.0, False)
    assert replace(stored, start="ridge_cca", linear_rate=0.3, shrink=True) == Recipe()
    # as they were without a linear path
    assert Recipe.from_stored({**settings, "linear_path": False}).start == "random"


@pytest.mark.parametrize("recipe", [*RECIPES.values(), replace(RECIPES["default"], n_hidden=0, width=7)])
@pytest.mark.parametrize(("n_features", "out_dim"), [(5, 3), (1, 1)])
def test_shapes_are_those_of_the_encoder(recipe, n_features, out_dim):
    arrays = Encoder(n_features, out_dim, recipe).to_arrays()
    assert dict(recipe.encoder_shapes(n_features, out_dim)) == {name: array.shape for name, array in arrays.items()}


def test_shapes_of_absurdly_many_layers_come_one_by_one():
    shapes = Recipe(n_hidden=10**12, width=10**12).encoder_shapes(5, 3)
    first = dict(next(shapes) for _ in range(6))
    assert first["layers.0.weight"] == (10**12, 5)
