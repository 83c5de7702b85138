"""Which cells the pilot fits see that choose the input noise."""

import numpy as np
import pandas as pd
import pytest

from clipdim.fitting import noise
from clipdim.tl import fit


@pytest.fixture
def seen(monkeypatch):
    """Inputs and groups that the pilots were given."""
    found = []

    def adapt_noise(recipe, inputs, *, random_state, groups):
        found.append((inputs, groups))
        return recipe

    monkeypatch.setattr(noise, "adapt_noise", adapt_noise)
    return found


def test_pilots_see_training_cells_and_their_batches_only(make_mdata, seen):
    mdata = make_mdata(300)
    donor = pd.Series(np.arange(300) % 3, index=[f"cell{i}" for i in range(300)])
    mdata.obs["donor"] = pd.Categorical(donor.reindex(mdata.obs_names))
    fit(mdata, 4, batch_key="donor", holdout=0.4, max_epochs=1, progress=False, device="cpu")
    ((inputs, groups),) = seen
    rows = {values.tobytes(): cell for values, cell in zip(mdata["rna"].X, mdata["rna"].obs_names, strict=True)}
    cells = [rows[values.tobytes()] for values in inputs["rna"].numpy()]
    assert len(set(cells)) == len(cells) == 180
    assert set(mdata.obs.loc[cells, "clipdim_split"]) == {"train"}
    assert groups.tolist() == donor[cells].tolist()
    proteins = pd.DataFrame(mdata["prot"].X, index=mdata["prot"].obs_names)
    np.testing.assert_array_equal(inputs["prot"].numpy(), proteins.loc[cells])


def test_pilots_see_the_commonest_modalities_and_not_too_many_cells(make_mdata, seen, monkeypatch):
    monkeypatch.setattr(noise, "PILOT_CELLS", 50)
    fit(make_mdata(300, lacking=30, names=("rna", "prot", "atac")), 4, max_epochs=1, progress=False, device="cpu")
    ((inputs, groups),) = seen
    assert {name: len(x) for name, x in inputs.items()} == dict.fromkeys(("rna", "prot", "atac"), 50)
    assert groups is None
