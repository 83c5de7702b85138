"""Arrays on disk and of dask give the numbers that arrays in memory give, and are read in blocks."""

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

from clipdim._mudata import reading, representation
from clipdim._mudata.reading import in_memory, is_sparse, to_float32

KINDS = ["dense", "csr", "csc"]
VALUES = np.random.default_rng(0).normal(size=(23, 7)) * (np.random.default_rng(1).uniform(size=(23, 7)) < 0.5)
pytestmark = pytest.mark.filterwarnings("ignore:.*autosharding:UserWarning")


@pytest.fixture(params=["h5", "zarr"])
def store(request, tmp_path):
    """An open group of HDF5 or zarr."""
    if request.param == "h5":
        with h5py.File(tmp_path / "store.h5", "w") as file:
            yield file
    else:
        yield pytest.importorskip("zarr").open(str(tmp_path / "store.zarr"), mode="w")


def on_disk(store, values, kind):
    """Write the values and return what reads them."""
    write_elem(store, "values", values if kind == "dense" else sparse.csr_matrix(values).asformat(kind))
    return store["values"] if kind == "dense" else sparse_dataset(store["values"])


def in_slot(values, slot):
    """Return a MuData of modality ``m`` with the values in that slot."""
    n_cells, n_features = values.shape
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(n_cells)])
    if slot != "X":
        return mudata.MuData({"m": AnnData(obs=obs, obsm={slot: values})})
    return mudata.MuData({"m": AnnData(values, obs=obs, var=pd.DataFrame(index=[f"f{i}" for i in range(n_features)]))})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slot", ["X", "X_rep"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8, bool])
def test_the_same_numbers_as_in_memory(store, kind, slot, dtype, monkeypatch):
    monkeypatch.setattr(reading, "NUMBERS_PER_BLOCK", 50)
    values = VALUES.astype(dtype)
    mdata = in_slot(on_disk(store, values, kind), slot)
    found = representation(mdata, "m", slot)
    assert type(found) is np.ndarray
    assert found.dtype == np.float32
    assert found.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(found, values.astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [[5, 0, 3], [2], range(7), range(6, -1, -1)])
def test_columns_in_any_order(store, kind, columns, monkeypatch):
    monkeypatch.setattr(reading, "NUMBERS_PER_BLOCK", 50)
    columns = np.array(columns)
    found = to_float32(on_disk(store, VALUES, kind), columns)
    np.testing.assert_array_equal(found, VALUES[:, columns].astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_small(kind, tmp_path, monkeypatch):
    """No read asks for more numbers than a block holds."""
    sizes, read = [], h5py.Dataset.__getitem__

    def count(dataset, *arguments):
        found = read(dataset, *arguments)
        if dataset.name in {"/values", "/values/data"}:
            sizes.append(np.size(found))
        return found

    with h5py.File(tmp_path / "store.h5", "w") as file:
        values = on_disk(file, VALUES, kind)
        monkeypatch.setattr(reading, "NUMBERS_PER_BLOCK", 50)
        monkeypatch.setattr(h5py.Dataset, "__getitem__", count)
        to_float32(values)
    assert len(sizes) >= 4
    assert max(sizes) <= 50
    assert sum(sizes) == (VALUES.size if kind == "dense" else np.count_nonzero(VALUES))


def test_values_beyond_float32_are_refused(store):
    with pytest.raises(ValueError, match=r"'m' has NaN or infinite values in 1 of 2 cells \(first in row 1\)"):
        representation(in_slot(on_disk(store, np.array([[1.0], [1e300]]), "dense"), "X_rep"), "m", "X_rep")


@pytest.mark.parametrize(
    ("kind", "slot", "state"),
    [
        ("csr", "X", "sparse"),
        ("csc", "X", "sparse"),
        ("dense", "X", "on disk"),
        ("csr", "X_rep", "sparse"),
        ("dense", "X_rep", None),
    ],
)
def test_many_features(store, kind, slot, state):
    """Counts on disk are refused unread; a wide dense embedding is not."""
    wide = np.ones((3, 501), np.float32)
    mdata = in_slot(on_disk(store, wide, kind), slot)
    if state is None:
        assert representation(mdata, "m", slot).shape == (3, 501)
    else:
        with pytest.raises(ValueError, match=rf"is {state} with 501 features, at most 500 .* into memory, run"):
            representation(mdata, "m", slot)
    assert representation(mdata, "m", slot, columns=np.arange(3)).shape == (3, 3)


class Deferred:
    """What is used of a dask array."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __getitem__(self, rows_and_columns):
        return Deferred(self.values[rows_and_columns])

    def compute(self):
        return self.values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slot", ["X", "X_rep"])
def test_dask(kind, slot):
    array = pytest.importorskip("dask.array")
    values = array.from_array(VALUES, chunks=(10, 7))
    if kind != "dense":
        values = values.map_blocks(getattr(sparse, f"{kind}_matrix"))
    assert not in_memory(values)
    assert is_sparse(values) == (kind != "dense")
    np.testing.assert_array_equal(representation(in_slot(values, slot), "m", slot), VALUES.astype(np.float32))
    if kind != "dense":
        wide = array.ones((3, 501), chunks=2).map_blocks(getattr(sparse, f"{kind}_matrix"))
        with pytest.raises(ValueError, match="is sparse with 501 features"):
            representation(in_slot(wide, slot), "m", slot)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_computed_on_demand(convert):
    values = Deferred(convert(VALUES))
    np.testing.assert_array_equal(to_float32(values), VALUES.astype(np.float32))
    np.testing.assert_array_equal(to_float32(values, np.array([4, 1])), VALUES[:, [4, 1]].astype(np.float32))


def test_float32_in_memory_is_not_copied():
    values = VALUES.astype(np.float32)
    assert to_float32(values) is values
