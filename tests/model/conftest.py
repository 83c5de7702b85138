"""Trained models."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from clipdim.contrast import RECIPES
from clipdim.model import ContrastiveEncoders


@pytest.fixture
def trained(make_mdata):
    """A trained model with batches, cells that lack a modality, and settings of its own."""
    mdata = make_mdata(lacking=20)
    mdata.obs["donor"] = pd.Categorical(np.where(np.arange(mdata.n_obs) % 3, "a", "b"))
    ContrastiveEncoders.setup_mudata(mdata, modalities=["prot", "rna"], batch_key=["donor"])
    recipe = replace(RECIPES["default"], width=16, adaptive_noise=False)
    model = ContrastiveEncoders(mdata, 4, recipe=recipe, similarity="inner", key_added="mine")
    model.train(max_epochs=2, progress=False, accelerator="cpu")
    return model
