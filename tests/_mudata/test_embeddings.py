import numpy as np
import pandas as pd
import pytest

from clipdim._mudata import embeddings as rooms
from clipdim._mudata import read_embeddings, read_fit, write_embeddings, write_fit, write_private, write_split


@pytest.fixture
def fitted(mdata, make_fit):
    """The MuData of five cells with embeddings of two dimensions, unlike in every entry."""
    embeddings = {"rna": np.arange(8.0).reshape(4, 2), "prot": np.arange(8.0).reshape(4, 2) * 10 + 100}
    write_embeddings(mdata, embeddings, {"rna": np.arange(4.0), "prot": np.arange(4.0) + 1}, key="clipdim")
    split = pd.Categorical(np.where(mdata.obs_names.isin(list("bc")), "train", "held-out"))
    write_split(mdata, split, key="clipdim")
    write_fit(mdata, make_fit({"rna": 3, "prot": 2}, 2), key="clipdim")
    return mdata


def table(mdata, slot="X_clipdim"):
    return pd.DataFrame(mdata.obsm[slot], index=mdata.obs_names)


def test_joint_is_the_mean_over_the_modalities_of_a_cell(fitted):
    joint, rna, prot = table(fitted), table(fitted["rna"]), table(fitted["prot"])
    assert joint.to_numpy().dtype == rna.to_numpy().dtype == np.float32
    for cell in "abc":
        np.testing.assert_array_equal(joint.loc[cell], (rna.loc[cell] + prot.loc[cell]) / 2)
    np.testing.assert_array_equal(joint.loc["d"], rna.loc["d"])
    np.testing.assert_array_equal(joint.loc["e"], prot.loc["e"])
    assert fitted["prot"].obs["clipdim_norm"].tolist() == [1, 2, 3, 4]
    assert fitted["prot"].obs["clipdim_norm"].dtype == np.float32


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_size_of_a_block_changes_nothing(mdata, monkeypatch, size):
    rng = np.random.default_rng(0)
    embeddings = {name: rng.normal(size=(4, 3)) for name in ("rna", "prot")}
    norms = dict.fromkeys(embeddings, np.ones(4))
    write_embeddings(mdata, embeddings, norms, key="whole")
    monkeypatch.setattr(rooms, "CELLS_PER_BLOCK", size)
    write_embeddings(mdata, embeddings, norms, key="blocks")
    np.testing.assert_array_equal(mdata.obsm["X_blocks"], mdata.obsm["X_whole"])


def test_cell_without_any_of_the_modalities(mdata):
    write_embeddings(mdata, {"rna": np.ones((4, 2))}, {"rna": np.ones(4)}, key="other")
    joint = table(mdata, "X_other")
    assert joint.loc["e"].isna().all()
    assert joint.drop(index="e").eq(1).all(axis=None)
    assert "X_other" not in mdata["prot"].obsm


def test_read_embeddings(fitted):
    found = read_embeddings(fitted, read_fit(fitted), "clipdim")
    assert found.modalities == ["rna", "prot"]
    both = found.having("rna", "prot")
    assert dict(zip(fitted.obs_names, both, strict=True)) == dict(zip("abcde", [1, 1, 1, 0, 0], strict=True))
    assert fitted.obs_names[found.has[:, 0]].tolist() == [cell for cell in fitted.obs_names if cell in "abcd"]
    for name in found.modalities:
        expected = table(fitted[name]).reindex(fitted.obs_names)
        np.testing.assert_array_equal(found.by_modality[name], expected)
    split = dict(zip(fitted.obs_names, found.split, strict=True))
    assert [split[cell] for cell in "abcde"] == ["held-out", "train", "train", "held-out", "held-out"]


def test_a_cell_that_lost_a_modality_is_of_no_split(fitted):
    assert fitted.obs_names[read_embeddings(fitted, read_fit(fitted), "clipdim").of_split("train")].tolist() == sorted(
        "bc", key=fitted.obs_names.get_loc
    )
    fitted.mod["prot"] = fitted["prot"][fitted["prot"].obs_names != "b"].copy()
    fitted.update()
    found = read_embeddings(fitted, read_fit(fitted), "clipdim")
    assert fitted.obs_names[found.of_split("train")].tolist() == ["c"]
    assert found.split[fitted.obs_names.get_loc("b")] == "train"


def test_a_new_embedding_takes_away_what_belongs_to_the_old_one(fitted):
    own = {name: np.zeros((4, 3)) for name in ("rna", "prot")}
    for key in ("clipdim", "other"):
        write_private(fitted, own, np.zeros((5, 8)), key=key)
    write_embeddings(fitted, {"rna": np.ones((4, 2))}, {"rna": np.ones(4)}, key="clipdim")
    assert "X_clipdim_complete" not in fitted.obsm
    assert "X_clipdim_private" not in fitted["rna"].obsm
    assert "X_other_complete" in fitted.obsm
    assert {"X_clipdim_private", "X_other_private"} <= set(fitted["prot"].obsm)  # it has no new embedding


def test_missing_embedding(fitted):
    del fitted["prot"].obsm["X_clipdim"]
    with pytest.raises(KeyError, match=r"'X_clipdim' is missing from \['prot'\]; run clipdim.tl.fit"):
        read_embeddings(fitted, read_fit(fitted), "clipdim")


def test_cells_of_a_measure(fitted):
    """Held-out cells with two modalities, or training cells where those are too few."""
    found = read_embeddings(fitted, read_fit(fitted), "clipdim")
    names = fitted.obs_names.to_numpy()
    cells, split = found.measured(1)
    assert (set(names[cells]), split) == ({"a"}, "held-out")
    cells, split = found.measured(2)
    assert (set(names[cells]), split) == ({"b", "c"}, "train")


def test_mean_over_some_modalities(fitted):
    found = read_embeddings(fitted, read_fit(fitted), "clipdim")
    rna, prot = found.by_modality["rna"], found.by_modality["prot"]
    np.testing.assert_array_equal(found.mean(["rna"]), rna)
    both = found.having("rna", "prot")
    np.testing.assert_array_equal(found.mean(["rna", "prot"], both), ((rna + prot) / 2)[both])
    np.testing.assert_array_equal(found.mean(["rna", "prot"]), found.joint)


def test_a_split_that_no_fit_wrote(fitted):
    fitted.obs["clipdim_split"] = "x"
    with pytest.raises(ValueError, match=r"obs\['clipdim_split'\] holds \['x'\], expected \['train', 'held-out'"):
        read_embeddings(fitted, read_fit(fitted), "clipdim")


def test_an_embedding_of_other_cells(fitted):
    fitted["rna"].obsm["X_clipdim"] = np.ones((4, 3), np.float32)
    with pytest.raises(
        ValueError, match=r"mdata\['rna'\].obsm\['X_clipdim'\] has shape \(4, 3\), expected .* in 2 columns as the fit"
    ):
        read_embeddings(fitted, read_fit(fitted), "clipdim")
