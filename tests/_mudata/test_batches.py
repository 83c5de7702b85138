import mudata
import numpy as np
import pandas as pd
import pytest

from clipdim._mudata import batch_codes, batch_columns, batch_labels


@pytest.fixture
def make(adata):
    """Return a function that makes a MuData of cells with the given columns of ``.obs``."""

    def mdata(**columns):
        cells = [f"c{i}" for i in range(len(next(iter(columns.values()))))]
        made = mudata.MuData({name: adata(cells, prefix=name) for name in ("rna", "prot")})
        for name, values in columns.items():
            made.obs[name] = values
        return made

    return mdata


def codes_of(mdata, batch_key):
    return batch_codes(mdata, batch_key, np.arange(mdata.n_obs))


def test_columns():
    assert batch_columns(None) == []
    assert batch_columns("donor") == ["donor"]
    assert batch_columns(("donor", "lane")) == ["donor", "lane"]
    assert batch_columns(np.array(["donor"], dtype=object)) == ["donor"]


@pytest.mark.parametrize("batch_key", [3, ["donor", 3]])
def test_wrong_type(batch_key):
    with pytest.raises(TypeError, match=r"a column of \.obs, or a list of names, got"):
        batch_columns(batch_key)


def test_no_column():
    with pytest.raises(ValueError, match=r"a column of \.obs, or a list of names, got \[\]"):
        batch_columns([])


def test_several_columns_make_one(make):
    mdata = make(donor=["a", "a", "b", "b"], lane=[1, 2, 1, None])
    labels = batch_labels(mdata, ["donor", "lane"])
    assert labels.iloc[:3].nunique() == 3
    assert labels.isna().tolist() == [False, False, False, True]


def test_codes_are_those_of_the_column(make):
    donor = np.repeat(["a", "b", "c"], 20)
    codes, names = codes_of(make(donor=donor), "donor")
    assert names[codes].tolist() == donor.tolist()


def test_small_batches_are_joined(make):
    donor = np.repeat(["a", "b", "c", "d"], [40, 30, 5, 3])
    with pytest.warns(UserWarning, match=r"2 batches have fewer than 16 paired cells .*'c' \(5\), 'd' \(3\)"):
        codes, names = codes_of(make(donor=donor), "donor")
    assert len(set(codes[70:])) == 1
    assert names[codes[-1]] == "small batches"
    assert names[codes[:70]].tolist() == donor[:70].tolist()


def test_batches_are_as_large_as_their_cells_to_train_on(make):
    donor = np.repeat(["a", "b", "c"], [40, 30, 30])
    cells = np.r_[:40, 40:50, 70:80]
    with pytest.warns(UserWarning, match=r"2 batches have fewer than 16 paired cells .*'b' \(10\), 'c' \(10\)"):
        codes, names = batch_codes(make(donor=donor), "donor", cells)
    assert names[codes].tolist() == ["a"] * 40 + ["small batches"] * 60


def test_a_batch_of_just_enough_cells_is_not_small(make):
    donor = np.repeat(["a", "b", "c"], [40, 16, 15])
    with pytest.warns(UserWarning, match="batch 'c' has 15 paired cells"):
        codes, names = codes_of(make(donor=donor), "donor")
    assert names[codes].tolist() == donor.tolist()


def test_one_small_batch_stays(make):
    donor = np.repeat(["a", "b"], [40, 5])
    with pytest.warns(UserWarning, match="batch 'b' has 5 paired cells: .* join it"):
        codes, _ = codes_of(make(donor=donor), "donor")
    assert len(set(codes)) == 2


def test_constant(make):
    with pytest.warns(UserWarning, match="batch_key='donor' has one value, 'a', for all paired cells: no effect"):
        codes, _ = codes_of(make(donor=["a"] * 20), "donor")
    assert set(codes) == {0}


def test_missing_values_name_the_column(make):
    mdata = make(donor=["a", "b"] * 10, lane=pd.Series([1.0] * 19 + [None]).to_numpy())
    with pytest.raises(ValueError, match="batch_key='lane' is missing for 1 of 20 paired cells; fill it"):
        codes_of(mdata, ["donor", "lane"])


def test_a_batch_for_each_cell(make):
    with pytest.raises(ValueError, match="a value of its own for every cell"):
        codes_of(make(barcode=[f"b{i}" for i in range(20)]), "barcode")


def test_no_such_column(make):
    with pytest.raises(KeyError, match="no column 'site'"):
        codes_of(make(donor=["a", "b"] * 10), "site")
