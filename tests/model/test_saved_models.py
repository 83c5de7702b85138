"""Models of ``ContrastiveEncoders`` in folders."""

import mudata
import numpy as np
import pandas as pd
import pytest

from clipdim import pp
from clipdim.datasets import simulate_citeseq
from clipdim.model import ContrastiveEncoders
from clipdim.tl import embed, private

QUICK = {"max_epochs": 2, "progress": False, "accelerator": "cpu"}


def assert_same_model(found, expected):
    np.testing.assert_allclose(found.get_latent_representation(), expected.get_latent_representation(), atol=1e-6)
    for name in ("rna", "prot"):
        latents = [model.get_latent_representation(modality=name) for model in (found, expected)]
        np.testing.assert_allclose(*latents, atol=1e-6)
    np.testing.assert_array_equal(found.train_indices, expected.train_indices)
    np.testing.assert_array_equal(found.validation_indices, expected.validation_indices)
    assert repr(found) == repr(expected)
    assert found.is_trained
    for name, table in expected.history.items():
        pd.testing.assert_frame_equal(found.history[name], table)


def test_with_the_same_cells(trained, tmp_path, unchanged):
    trained.save(tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["model.h5mu"]
    with unchanged(trained.mdata):
        loaded = ContrastiveEncoders.load(tmp_path / "model", trained.mdata)
        assert_same_model(loaded, trained)
    assert loaded.mdata is trained.mdata


def test_with_cells_that_were_never_fitted(trained, make_mdata, tmp_path, unchanged):
    trained.save(str(tmp_path / "model"))
    mdata = make_mdata(lacking=20)
    with unchanged(mdata):
        assert_same_model(ContrastiveEncoders.load(str(tmp_path / "model"), mdata), trained)


def test_with_saved_cells(trained, tmp_path):
    trained.save(tmp_path / "model", save_mudata=True)
    loaded = ContrastiveEncoders.load(tmp_path / "model", accelerator="cpu", devices=1)
    assert_same_model(loaded, trained)
    np.testing.assert_array_equal(loaded.get_latent_representation(), trained.get_latent_representation())


def test_without_cells(trained, make_mdata, tmp_path):
    trained.save(tmp_path / "model")
    loaded = ContrastiveEncoders.load(tmp_path / "model")
    assert loaded.mdata is None
    np.testing.assert_array_equal(loaded.train_indices, trained.train_indices)
    new = make_mdata(50, seed=1)
    np.testing.assert_array_equal(loaded.get_latent_representation(new), trained.get_latent_representation(new))
    for call in (
        loaded.get_latent_representation,
        loaded.train,
        lambda: loaded.save(tmp_path / "other", save_mudata=True),
    ):
        with pytest.raises(RuntimeError, match="loaded without cells"):
            call()
    assert not (tmp_path / "other").exists()
    loaded.save(tmp_path / "other")
    assert repr(ContrastiveEncoders.load(tmp_path / "other")) == repr(trained)


def test_indices_are_by_name(trained, tmp_path):
    trained.save(tmp_path / "model")
    mdata = trained.mdata
    order = np.random.default_rng(0).permutation(mdata.n_obs)[:200]
    part = mdata[mdata.obs_names[order]].copy()
    loaded = ContrastiveEncoders.load(tmp_path / "model", part)
    for name in ("train_indices", "validation_indices"):
        expected = set(mdata.obs_names[getattr(trained, name)]) & set(part.obs_names)
        assert set(part.obs_names[getattr(loaded, name)]) == expected


def test_loaded_model_trains_as_the_first_time(trained, make_mdata, tmp_path):
    trained.save(tmp_path / "model")
    mdata = make_mdata(lacking=20)
    mdata.obs["donor"] = trained.mdata.obs["donor"]
    loaded = ContrastiveEncoders.load(tmp_path / "model", mdata)
    loaded.train(**QUICK)
    np.testing.assert_array_equal(loaded.get_latent_representation(), trained.get_latent_representation())
    assert "clipdim_setup" not in mdata.uns


def test_saved_model_is_a_reference_of_the_tools(tmp_path):
    """Preprocessing and embedding of new cells need nothing else."""
    mdata = simulate_citeseq(n_cells=150, n_genes=100)
    query = mdata[:40].copy()
    pp.citeseq(mdata, n_comps_rna=10)
    ContrastiveEncoders.setup_mudata(mdata)
    model = ContrastiveEncoders(mdata, 4, recipe="paper")
    model.train(**QUICK)
    model.save(tmp_path / "model")
    reference = mudata.read_h5mu(tmp_path / "model" / "model.h5mu")
    assert reference.n_obs == 0
    raw = query.copy()
    pp.citeseq(query, reference=reference)
    embed(query, reference)
    np.testing.assert_allclose(query.obsm["X_clipdim"], mdata.obsm["X_clipdim"][:40], atol=1e-5)
    loaded = ContrastiveEncoders.load(tmp_path / "model", query)
    np.testing.assert_array_equal(loaded.get_latent_representation(), query.obsm["X_clipdim"])
    pp.citeseq(raw, n_comps_rna=10)
    with pytest.raises(ValueError, match="other loadings than the reference's"):
        ContrastiveEncoders.load(tmp_path / "model", raw)


def test_private_dimensions_of_after_the_training_are_saved(trained, make_mdata, tmp_path):
    private(trained.mdata, n_dims=3, key="mine")
    trained.save(tmp_path / "model")
    query = make_mdata(50, seed=5)
    embed(query, mudata.read_h5mu(tmp_path / "model" / "model.h5mu"), key="mine")
    expected = make_mdata(50, seed=5)
    embed(expected, trained.mdata, key="mine")
    np.testing.assert_allclose(query.obsm["X_mine_complete"], expected.obsm["X_mine_complete"], atol=1e-5)


def test_bad_folders(trained, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        with pytest.raises(FileNotFoundError, match=rf"no model.h5mu in '.*{folder}'; name the folder that model.save"):
            ContrastiveEncoders.load(tmp_path / folder)
    trained.mdata.write_h5mu(tmp_path / "empty" / "model.h5mu")
    with pytest.raises(ValueError, match=r"no .uns\['clipdim_model'\], so it was not written by model.save"):
        ContrastiveEncoders.load(tmp_path / "empty")
    trained.save(tmp_path / "newer")
    saved = mudata.read_h5mu(tmp_path / "newer" / "model.h5mu")
    saved.uns["mine"]["version"] = "99.0.0"
    saved.write_h5mu(tmp_path / "newer" / "model.h5mu")
    with pytest.raises(ValueError, match=r"written by clipdim 99.0.0.*pip install --upgrade clipdim"):
        ContrastiveEncoders.load(tmp_path / "newer")


def test_cells_that_do_not_fit(trained, make_mdata, tmp_path, unchanged):
    trained.save(tmp_path / "model")
    other = make_mdata(100, names=("atac", "hto"))
    fewer = mudata.MuData({"rna": make_mdata()["rna"][:, :5].copy(), "prot": make_mdata()["prot"].copy()})
    for bad, message in ((other, "the reference was fitted on"), (fewer, r"7 of the 12 features .* at most 20%")):
        with unchanged(bad), pytest.raises(ValueError, match=message):
            ContrastiveEncoders.load(tmp_path / "model", bad)
    with pytest.raises(TypeError, match=r"expected a MuData, got AnnData"):
        ContrastiveEncoders.load(tmp_path / "model", make_mdata()["rna"])
    with pytest.raises(ValueError, match=r"accelerator must be one of .* got 'abacus'"):
        ContrastiveEncoders.load(tmp_path / "model", accelerator="abacus")
