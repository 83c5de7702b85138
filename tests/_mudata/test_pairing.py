import mudata
import numpy as np
import pytest
from anndata import AnnData

from clipdim._mudata import cell_rows, modality_names, require_mudata


def names_by_rows(mdata, modality, rows):
    """Cell names that the rows point to; None where absent."""
    return [None if row < 0 else mdata[modality].obs_names[row] for row in rows]


def test_pair_follows_the_names(mdata):
    rows = cell_rows(mdata, ["rna", "prot"])
    assert rows.shape == (5, 2)
    for column, modality in enumerate(("rna", "prot")):
        present = mdata.obs_names.isin(mdata[modality].obs_names)
        expected = [name if here else None for name, here in zip(mdata.obs_names, present, strict=True)]
        assert names_by_rows(mdata, modality, rows[:, column]) == expected


def test_pair_equals_obsmap(mdata):
    rows = cell_rows(mdata, ["prot", "rna"])
    for column, modality in enumerate(("prot", "rna")):
        np.testing.assert_array_equal(rows[:, column], np.asarray(mdata.obsmap[modality], dtype=int).ravel() - 1)


def test_pair_holds_after_a_modality_was_reordered_without_update(mdata):
    mdata.mod["rna"] = mdata["rna"][::-1].copy()
    rows = cell_rows(mdata, ["rna"])[:, 0]
    assert names_by_rows(mdata, "rna", rows) == [name if name != "e" else None for name in mdata.obs_names]


def test_pair_after_a_modality_lost_cells_without_update(mdata):
    mdata.mod["rna"] = mdata["rna"][:2].copy()  # d and c
    rows = cell_rows(mdata, ["rna"])[:, 0]
    assert names_by_rows(mdata, "rna", rows) == [name if name in "dc" else None for name in mdata.obs_names]


def test_replaced_modality_with_unknown_cells_needs_update(mdata, adata):
    mdata.mod["rna"] = adata("abxy")
    with pytest.raises(ValueError, match=r"'rna' has cells that the MuData does not know; call .*mudata.MuData\("):
        cell_rows(mdata, ["rna", "prot"])
    mdata = mudata.MuData(mdata.mod)
    assert (cell_rows(mdata, ["rna"]) >= 0).sum() == 4


@pytest.mark.filterwarnings("ignore:Duplicated obs_names", "ignore:.* are not unique")
def test_repeated_cell_names(adata):
    mdata = mudata.MuData({"rna": adata("aab"), "prot": adata("aab", prefix="p")})
    with pytest.raises(ValueError, match=r"'rna' are not unique .*'a'.*obs_names_make_unique\(\)"):
        cell_rows(mdata, ["rna", "prot"])
    for modality in mdata.mod.values():
        modality.obs_names_make_unique()
    mdata = mudata.MuData(mdata.mod)
    np.testing.assert_array_equal(cell_rows(mdata, ["rna", "prot"])[:, 0], cell_rows(mdata, ["rna", "prot"])[:, 1])
    assert mdata.n_obs == 3


def test_require_mudata(mdata):
    assert require_mudata(mdata) is mdata
    with pytest.raises(TypeError, match=r"expected a MuData, got AnnData; .*mudata.MuData\("):
        require_mudata(mdata["rna"])
    with pytest.raises(ValueError, match=r"is a view .* mdata = mdata.copy\(\)"):
        require_mudata(mdata[:2])
    assert require_mudata(mdata[:2].copy()).n_obs == 2
    shared_features = mudata.MuData({"one": mdata["rna"], "two": AnnData(np.ones((2, 3)))}, axis=1)
    with pytest.raises(ValueError, match="axis=0"):
        require_mudata(shared_features)


def test_modality_names(mdata):
    assert modality_names(mdata) == ["rna", "prot"]
    assert modality_names(mdata, ("prot", "rna")) == ["prot", "rna"]
    assert modality_names(mdata, "prot") == ["prot"]
    with pytest.raises(KeyError, match=r"no modality named \['atac'\]; the MuData has \['rna', 'prot'\]"):
        modality_names(mdata, ["rna", "atac"])
    with pytest.raises(ValueError, match="named twice"):
        modality_names(mdata, ["rna", "rna"])
    with pytest.raises(ValueError, match="at least 2 modalities are needed"):
        modality_names(mdata, ["rna"], at_least=2)
