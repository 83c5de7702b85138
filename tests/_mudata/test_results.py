import numpy as np
import pandas as pd
import pytest

import clipdim
from clipdim._mudata import (
    paired_embeddings,
    read_fit,
    results,
    write_embeddings,
    write_fit,
    write_private,
    write_tables,
)


@pytest.fixture
def fitted(mdata):
    """The MuData of five cells with embeddings of two dimensions, unlike in every entry."""
    embeddings = {"rna": np.arange(8.0).reshape(4, 2), "prot": np.arange(8.0).reshape(4, 2) * 10 + 100}
    write_embeddings(mdata, embeddings, {"rna": np.arange(4.0), "prot": np.arange(4.0) + 1}, key="clipdim")
    fit = {
        "version": clipdim.__version__,
        "params": {"modalities": np.array(["rna", "prot"], dtype=object)},
        "encoders": {},
    }
    split = pd.Categorical(np.where(mdata.obs_names.isin(list("bc")), "train", "held-out"))
    write_fit(mdata, fit, split, key="clipdim")
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
    monkeypatch.setattr(results, "CELLS_PER_BLOCK", size)
    write_embeddings(mdata, embeddings, norms, key="blocks")
    np.testing.assert_array_equal(mdata.obsm["X_blocks"], mdata.obsm["X_whole"])


def test_cell_without_any_of_the_modalities(mdata):
    write_embeddings(mdata, {"rna": np.ones((4, 2))}, {"rna": np.ones(4)}, key="other")
    joint = table(mdata, "X_other")
    assert joint.loc["e"].isna().all()
    assert joint.drop(index="e").eq(1).all(axis=None)
    assert "X_other" not in mdata["prot"].obsm


def test_paired_embeddings(fitted):
    found = paired_embeddings(fitted)
    assert found.modalities == ["rna", "prot"]
    both = found.having("rna", "prot")
    assert dict(zip(fitted.obs_names, both, strict=True)) == dict(zip("abcde", [1, 1, 1, 0, 0], strict=True))
    assert fitted.obs_names[found.has[:, 0]].tolist() == [cell for cell in fitted.obs_names if cell in "abcd"]
    for name in found.modalities:
        expected = table(fitted[name]).reindex(fitted.obs_names)
        np.testing.assert_array_equal(found.by_modality[name], expected)
    assert found.split.loc[list("bc")].tolist() == ["train"] * 2


def test_a_cell_that_lost_a_modality_is_of_no_split(fitted):
    assert fitted.obs_names[paired_embeddings(fitted).of_split("train")].tolist() == sorted(
        "bc", key=fitted.obs_names.get_loc
    )
    fitted.mod["prot"] = fitted["prot"][fitted["prot"].obs_names != "b"].copy()
    fitted.update()
    found = paired_embeddings(fitted)
    assert fitted.obs_names[found.of_split("train")].tolist() == ["c"]
    assert found.split["b"] == "train"


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
        paired_embeddings(fitted)


def test_tables_lie_beside_the_fit(fitted):
    before = dict(fitted.uns["clipdim"])
    write_tables(fitted, {"match": pd.DataFrame({"a": [1]})}, key="clipdim")
    assert list(fitted.uns["clipdim"]) == [*before, "match"]
    assert read_fit(fitted)["match"]["a"].tolist() == [1]


def test_no_fit(fitted):
    with pytest.raises(
        KeyError,
        match=r"no fit in mdata.uns\['other'\] \(there are fits named \['clipdim'\]: pass key='clipdim'\); run",
    ):
        read_fit(fitted, "other")
    fitted.uns["clipdim"] = "something else"
    with pytest.raises(KeyError, match=r"no fit in mdata.uns\['clipdim'\] \(there is none under another name"):
        read_fit(fitted)


@pytest.mark.parametrize("version", ["99.0.0", "99.0.0rc1"])
def test_newer_version(fitted, version):
    fitted.uns["clipdim"]["version"] = version
    with pytest.raises(ValueError, match=f"written by clipdim {version}, newer than .*pip install --upgrade clipdim"):
        read_fit(fitted)


@pytest.mark.parametrize("version", [clipdim.__version__, "0.0.1"])
def test_known_versions(fitted, version):
    fitted.uns["clipdim"]["version"] = version
    assert read_fit(fitted)["version"] == version


@pytest.mark.parametrize("version", ["", "newest", None])
def test_corrupted_version(fitted, version):
    fitted.uns["clipdim"]["version"] = version
    with pytest.raises(ValueError, match=r"not a version; fit again with clipdim.tl.fit"):
        read_fit(fitted)


def test_update_keeps_the_results(fitted):
    before = table(fitted).copy()
    fitted.update()
    pd.testing.assert_frame_equal(table(fitted), before)
    assert read_fit(fitted)["version"] == clipdim.__version__


def test_not_a_mudata(fitted):
    with pytest.raises(TypeError, match=r"expected a MuData after clipdim\.tl\.fit, got AnnData"):
        read_fit(fitted["rna"], "clipdim")
