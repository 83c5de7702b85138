"""A trained model after its MuData was edited: what it gives is of the cells as they are now."""

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from clipdim.model import ContrastiveEncoders
from clipdim.tl import embed


def assert_embeds_as_new_cells(model):
    """The latents of a MuData that was never fitted and holds the same modalities."""
    new = mudata.MuData({name: adata.copy() for name, adata in model.mdata.mod.items()})
    embed(new, model._model, key="mine")
    joint = pd.DataFrame(new.obsm["X_mine"], index=new.obs_names).reindex(model.mdata.obs_names)
    np.testing.assert_allclose(model.get_latent_representation(), joint, atol=1e-6)
    for name in new.mod:
        np.testing.assert_allclose(model.get_latent_representation(modality=name), new[name].obsm["X_mine"], atol=1e-6)


def rename(mdata):
    for name in mdata.mod:
        mdata[name].obs_names = "lane1_" + mdata[name].obs_names
    mdata.update()


def filter_rna(mdata):
    mdata.mod["rna"] = mdata["rna"][:200].copy()
    mdata.update()


def add_cells(mdata):
    more = mdata["rna"][:30].copy()
    more.obs_names = [f"new{i}" for i in range(30)]
    del more.obsm["X_mine"]
    merged = AnnData(
        np.concatenate([mdata["rna"].X, more.X]), obs=pd.concat([mdata["rna"].obs, more.obs]), var=mdata["rna"].var
    )
    mdata.mod["rna"] = merged
    mdata.update()


def overwrite_joint(mdata):
    mdata.obsm["X_mine"] = np.zeros((mdata.n_obs, 7))


def overwrite_modality(mdata):
    mdata["rna"].obsm["X_mine"] = np.full((mdata["rna"].n_obs, 2), np.nan)


def replace_representation(mdata):
    mdata["prot"].X = mdata["prot"].X[::-1].copy()


def remove_embeddings(mdata):
    del mdata.obsm["X_mine"], mdata["rna"].obsm["X_mine"]


@pytest.mark.parametrize(
    "edit",
    [rename, filter_rna, add_cells, overwrite_joint, overwrite_modality, replace_representation, remove_embeddings],
)
def test_latents_are_of_the_cells_as_they_are(trained, unchanged, edit):
    edit(trained.mdata)
    with unchanged(trained.mdata):
        assert_embeds_as_new_cells(trained)
    assert np.isfinite(trained.get_latent_representation()).all()


def test_stored_latents_are_found_again(trained):
    """To the bit, on the same device."""
    np.testing.assert_array_equal(trained.get_latent_representation(), trained.mdata.obsm["X_mine"])
    for name in ("rna", "prot"):
        stored = trained.mdata[name].obsm["X_mine"]
        np.testing.assert_array_equal(trained.get_latent_representation(modality=name), stored)


def test_edit_without_update(trained):
    trained.mdata["rna"].obs_names = "other_" + trained.mdata["rna"].obs_names
    with pytest.raises(ValueError, match=r"modality 'rna' has cells that the MuData does not know; call mdata.update"):
        trained.get_latent_representation()


def test_missing_representation(make_mdata, unchanged, tmp_path):
    mdata = make_mdata()
    for name in mdata.mod:
        mdata[name].obsm["X_own"] = mdata[name].X.copy()
    ContrastiveEncoders.setup_mudata(mdata, use_rep="X_own")
    model = ContrastiveEncoders(mdata, 4, recipe="paper")
    model.train(max_epochs=2, progress=False)
    model.save(tmp_path / "model")
    del mdata["prot"].obsm["X_own"]
    for call in (model.get_latent_representation, lambda: ContrastiveEncoders.load(tmp_path / "model", mdata)):
        with unchanged(mdata), pytest.raises(KeyError, match=r"modality 'prot' has no .obsm\['X_own'\]"):
            call()


def test_indices_of_cells_with_other_names(trained, make_mdata, tmp_path):
    trained.save(tmp_path / "model")
    rename(trained.mdata)
    other = make_mdata(50)
    rename(other)
    for model in (trained, ContrastiveEncoders.load(tmp_path / "model", other)):
        for name in ("train_indices", "validation_indices"):
            message = r"none of the \d+ cells of the MuData, such as \['lane1_.* such as \['cell.*mudata.MuData\("
            with pytest.raises(ValueError, match=message):
                getattr(model, name)
