"""``obs_column``: whose column it is, in which order, and what is said where columns disagree."""

import warnings

import numpy as np
import pandas as pd
import pytest
from mudata import MuData

from clipdim._mudata import has_column, obs_column


def test_column_of_the_mudata_comes_first(mdata):
    mdata["rna"].obs["donor"] = "other"
    mdata.obs["donor"] = list("vwxyz")
    assert obs_column(mdata, "donor").tolist() == list("vwxyz")


def test_column_of_the_modalities_is_aligned_and_filled(mdata):
    mdata["rna"].obs["donor"] = [None, "C", "B", "A"]  # of d, c, b, a
    mdata["prot"].obs["donor"] = ["not b", "E", "not c", "not a"]  # of b, e, c, a
    with pytest.warns(UserWarning, match=r"'donor' of modality 'prot' differs from that of 'rna' in 3 of 3 cells"):
        column = obs_column(mdata, "donor")
    assert column.index.equals(mdata.obs_names)
    assert column.loc[list("abce")].tolist() == ["A", "B", "C", "E"]
    assert pd.isna(column["d"])


@pytest.mark.parametrize("values", [pd.Categorical(list("ppqq")), [1, 1, 2, 2], [0.5, 1.0, 1.0, np.nan]])
def test_column_keeps_its_kind(mdata, values):
    mdata["rna"].obs["site"] = values
    column = obs_column(mdata, "site")
    assert isinstance(column.dtype, pd.CategoricalDtype) == isinstance(values, pd.Categorical)
    expected = pd.Series(values, index=mdata["rna"].obs_names).astype(object).reindex(mdata.obs_names)
    pd.testing.assert_series_equal(column.astype(object), expected, check_names=False)


def test_unknown_column(mdata):
    mdata.obs["donor"] = 1
    mdata["prot"].obs["lane"] = 2
    with pytest.raises(KeyError, match=r"no column 'batch' in mdata.obs.*donor.*'prot': .*lane"):
        obs_column(mdata, "batch")
    with pytest.raises(TypeError, match=r"must be a string, got \['donor'\]"):
        obs_column(mdata, ["donor"])
    assert [has_column(mdata, name) for name in ("donor", "lane", "batch")] == [True, True, False]


def test_columns_of_modalities_that_agree_are_put_together_without_a_word(mdata):
    mdata["rna"].obs["site"] = pd.Categorical(["d", "c", "b", "a"])
    mdata["prot"].obs["site"] = pd.Categorical(["b", "e", "c", "a"], categories=list("ecba"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert obs_column(mdata, "site").tolist() == mdata.obs_names.tolist()


class TestOfOneModality:
    """Its own column, then that of the MuData, then those of others, in the order of its cells."""

    def test_own_first(self, mdata):
        mdata["rna"].obs["donor"], mdata.obs["donor"] = "rna's", "mdata's"
        mdata["prot"].obs["donor"] = pd.Categorical(["w", "x", "y", "z"])
        column = obs_column(mdata, "donor", modality="prot")
        assert column.tolist() == ["w", "x", "y", "z"]
        assert column.index.equals(mdata["prot"].obs_names)
        assert isinstance(column.dtype, pd.CategoricalDtype)

    def test_of_the_mudata_next(self, mdata):
        mdata["rna"].obs["donor"] = "rna's"
        mdata.obs["donor"] = pd.Categorical(mdata.obs_names)
        column = obs_column(mdata, "donor", modality="prot")
        assert column.tolist() == mdata["prot"].obs_names.tolist()
        assert isinstance(column.dtype, pd.CategoricalDtype)

    def test_of_another_modality_last(self, mdata):
        mdata["rna"].obs["donor"] = mdata["rna"].obs_names.to_numpy()
        column = obs_column(mdata, "donor", modality="prot")
        assert [name if known == name else "lacks it" for name, known in column.items()] == ["b", "lacks it", "c", "a"]
        with pytest.raises(KeyError, match="no column 'lane'"):
            obs_column(mdata, "lane", modality="prot")

    @pytest.mark.filterwarnings("ignore:Duplicated obs_names", "ignore:.* not unique")
    def test_repeated_cell_names(self, adata):
        mdata = MuData({"rna": adata("aab")})
        mdata["rna"].obs["own"] = [1, 2, 3]
        mdata.obs["donor"] = 1
        assert obs_column(mdata, "own", modality="rna").tolist() == [1, 2, 3]
        with pytest.raises(ValueError, match="cell names of modality 'rna' are not unique"):
            obs_column(mdata, "donor", modality="rna")
