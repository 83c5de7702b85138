"""What lies in the folder of a saved model after it was written again, or could not be."""

import mudata
import numpy as np
import pytest

from clipdim.model import ContrastiveEncoders
from clipdim.tl import embed, loadings, private

QUICK = {"max_epochs": 2, "progress": False, "accelerator": "cpu"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_overwrite(trained, tmp_path):
    folder = tmp_path / "model"
    trained.save(folder, save_mudata=True)
    before = contents(folder)
    with pytest.raises(FileExistsError, match=r"'.*model' exists already; pass overwrite=True"):
        trained.save(folder)
    assert contents(folder) == before
    trained.train(**QUICK, random_state=1)
    trained.save(folder, overwrite=True, save_mudata=True)
    latent = trained.get_latent_representation()
    np.testing.assert_array_equal(ContrastiveEncoders.load(folder).get_latent_representation(), latent)


def test_overwriting_removes_cells_of_the_earlier_model(trained, tmp_path):
    trained.save(tmp_path, overwrite=True, save_mudata=True)
    trained.train(**QUICK, random_state=1)
    trained.save(tmp_path, overwrite=True)
    assert list(contents(tmp_path)) == ["model.h5mu"]
    assert ContrastiveEncoders.load(tmp_path).mdata is None


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_cannot_be_written_leaves_the_folder_as_it_was(trained, tmp_path, overwrite):
    folder = tmp_path / "model"
    if overwrite:
        trained.save(folder, save_mudata=True)
        before = contents(folder)
    trained.mdata.obs["mixed"] = [1, "a", None] * 100
    message = r"^mdata.h5mu cannot be written \(TypeError.*nothing was saved; .*leave out save_mudata=True"
    with pytest.raises(ValueError, match=message):
        trained.save(folder, overwrite=overwrite, save_mudata=True)
    assert folder.exists() == overwrite
    if overwrite:
        assert contents(folder) == before
    trained.save(folder, overwrite=overwrite)


def test_a_folder_that_cannot_be_written_in(trained, tmp_path, monkeypatch):
    def full(*_):
        msg = "No space left on device"
        raise OSError(msg)

    monkeypatch.setattr(mudata, "write_h5mu", full)
    with pytest.raises(OSError, match=r"^model.h5mu cannot be written \(OSError: No space left"):
        trained.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("name", "mend"),
    [("model.h5mu", "save the model again"), ("mdata.h5mu", r"pass the cells: ContrastiveEncoders.load\(dir_path")],
)
def test_damaged_files(trained, tmp_path, name, mend):
    trained.save(tmp_path, overwrite=True, save_mudata=True)
    whole = (tmp_path / name).read_bytes()
    for damaged in (b"", b"no h5mu", whole[: len(whole) // 2]):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{name}' cannot be read.*{mend}"):
            ContrastiveEncoders.load(tmp_path)
    if name == "mdata.h5mu":
        ContrastiveEncoders.load(tmp_path, trained.mdata)


def test_nothing_that_the_model_knows_is_lost(trained, make_mdata, tmp_path):
    """Also when its cells know less, because they were written earlier."""
    early = trained.mdata.copy()
    private(trained.mdata, n_dims=3, key="mine")
    loadings(trained.mdata, dimensions="private", key="mine")
    trained.save(tmp_path / "model")
    loadings(early, key="mine")
    loaded = ContrastiveEncoders.load(tmp_path / "model", early)
    loaded.save(tmp_path / "second")
    stored = mudata.read_h5mu(tmp_path / "second" / "model.h5mu").uns["mine"]
    assert set(stored) == set(trained.mdata.uns["mine"]) | {"loadings", "directions"}
    query = make_mdata(50, seed=5)
    embed(query, mudata.read_h5mu(tmp_path / "second" / "model.h5mu"), key="mine")
    assert query.obsm["X_mine_complete"].shape == (50, 4 + 6)


def test_loadings_go_with_the_private_dimensions_they_are_of(trained, tmp_path):
    private(trained.mdata, n_dims=3, key="mine")
    loadings(trained.mdata, dimensions="private", key="mine")
    trained.save(tmp_path / "model")
    private(trained.mdata, n_dims=2, key="mine")
    trained.save(tmp_path / "model", overwrite=True)
    stored = mudata.read_h5mu(tmp_path / "model" / "model.h5mu").uns["mine"]
    assert "private_loadings" not in stored
    assert stored["private"]["maps"]["rna"]["axes"].shape[1] == 2


def test_view(trained, tmp_path):
    trained.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"is a view .*mdata = mdata.copy\(\)"):
        ContrastiveEncoders.load(tmp_path / "model", trained.mdata[:100])


def test_cells_on_disk_stay_with_their_file(trained, tmp_path):
    trained.mdata.write_h5mu(tmp_path / "cells.h5mu")
    trained.save(tmp_path / "model")
    backed = mudata.read_h5mu(tmp_path / "cells.h5mu", backed="r")
    model = ContrastiveEncoders.load(tmp_path / "model", backed)
    model.save(tmp_path / "second", save_mudata=True)
    assert str(backed.filename) == str(tmp_path / "cells.h5mu")
    latent = trained.get_latent_representation()
    np.testing.assert_allclose(model.get_latent_representation(), latent, atol=1e-6)
    loaded = ContrastiveEncoders.load(tmp_path / "second")
    assert not loaded.mdata.isbacked
    np.testing.assert_allclose(loaded.get_latent_representation(), latent, atol=1e-6)


def test_cells_that_lie_in_the_folder_are_not_removed(trained, tmp_path):
    trained.save(tmp_path / "model", save_mudata=True)
    model = ContrastiveEncoders.load(
        tmp_path / "model", mudata.read_h5mu(tmp_path / "model" / "mdata.h5mu", backed="r")
    )
    with pytest.raises(ValueError, match=r"mdata.h5mu', which would be removed; pass save_mudata=True"):
        model.save(tmp_path / "model", overwrite=True)
    assert set(contents(tmp_path / "model")) == {"model.h5mu", "mdata.h5mu"}
    model.save(tmp_path / "model", overwrite=True, save_mudata=True)
    latent = ContrastiveEncoders.load(tmp_path / "model").get_latent_representation()
    np.testing.assert_allclose(latent, trained.get_latent_representation(), atol=1e-6)


def test_new_cells_are_saved_with_the_model(trained, make_mdata, tmp_path):
    trained.save(tmp_path / "model")
    loaded = ContrastiveEncoders.load(tmp_path / "model", make_mdata(50, seed=1))
    loaded.save(tmp_path / "new", save_mudata=True)
    latent = ContrastiveEncoders.load(tmp_path / "new").get_latent_representation()
    np.testing.assert_allclose(latent, loaded.get_latent_representation(), atol=1e-6)


def test_cells_of_another_model(trained, tmp_path):
    trained.save(tmp_path / "model")
    first = ContrastiveEncoders.load(tmp_path / "model", trained.mdata)
    trained.train(**QUICK, random_state=1)
    message = r"fit in .uns\['mine'\] of the cells is another model's; .*leave out save_mudata=True"
    with pytest.raises(ValueError, match=message):
        first.save(tmp_path / "model", overwrite=True, save_mudata=True)
    first.save(tmp_path / "model", overwrite=True)
    trained.mdata.write_h5mu(tmp_path / "model" / "mdata.h5mu")
    with pytest.raises(ValueError, match=r"of '.*mdata.h5mu' is another model's; pass the cells"):
        ContrastiveEncoders.load(tmp_path / "model")
