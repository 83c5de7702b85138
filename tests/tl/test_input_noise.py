"""``tl.fit`` chooses the input noise by what the modalities are like."""

from dataclasses import replace

import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData

from clipdim.contrast import RECIPES
from clipdim.tl import fit

DEFAULT = RECIPES["default"].input_noise


@pytest.fixture(autouse=True)
def pilots():
    """Whole."""


def noise_of(mdata, **settings):
    fit(mdata, 4, max_epochs=1, progress=False, device="cpu", **settings)
    return mdata.uns["clipdim"]["params"]["recipe"]["input_noise"]


@pytest.fixture
def same_twice():
    """Two views of one measurement."""
    x = np.random.default_rng(0).standard_normal((2_000, 10)).astype(np.float32)
    rna, twin = AnnData(x), AnnData(x[:, :3])
    twin.var_names = [f"twin{i}" for i in range(3)]
    return MuData({"rna": rna, "twin": twin})


def test_views_of_one_measurement_are_fitted_without(same_twice):
    assert noise_of(same_twice) == 0


def test_what_is_chosen_is_what_is_trained(same_twice):
    chosen, given = same_twice, same_twice.copy()
    assert noise_of(chosen) == 0
    noise_of(given, recipe=replace(RECIPES["default"], input_noise=0.0, adaptive_noise=False))
    np.testing.assert_array_equal(chosen.obsm["X_clipdim"], given.obsm["X_clipdim"])


def test_a_recipe_may_insist(same_twice):
    assert noise_of(same_twice, recipe=replace(RECIPES["default"], adaptive_noise=False)) == DEFAULT


def test_noisy_modalities_keep_it(make_mdata):
    mdata = make_mdata(1_000, 3)
    for adata in mdata.mod.values():
        adata.X[:, 3:] = adata.X[::-1, 3:]
    assert noise_of(mdata) == DEFAULT
