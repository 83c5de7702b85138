"""Arrays in memory, on disk or yet to be computed, as dense numbers: what lies on disk is read a block at a time."""

from typing import Any

import numpy as np
from scipy.sparse import issparse

NUMBERS_PER_BLOCK = 2**24


def in_memory(values: Any) -> bool:
    """Whether the numbers are there already, dense or sparse; not so for arrays of h5py, zarr, anndata and dask."""
    return isinstance(values, np.ndarray) or issparse(values)


def is_sparse(values: Any) -> bool:
    """Whether most numbers are zeros that are not stored, in memory, on disk or in the blocks of a dask array."""
    on_disk = getattr(values, "format", None) in ("csr", "csc")
    return bool(issparse(values) or on_disk or issparse(getattr(values, "_meta", None)))


def to_float32(values: Any, columns: np.ndarray | None = None) -> np.ndarray:
    """Read (cells x features), or some columns by number, as float32 that can be written to.

    An array that is float32 already is returned as it is. Infinity stands for what float32 cannot hold.
    """
    with np.errstate(over="ignore"):
        if hasattr(values, "compute"):  # dask goes through its own blocks, each once
            values, columns = (values if columns is None else values[:, columns]).compute(), None
        if not in_memory(values):
            return _read(values, columns)
        values = values if columns is None else values[:, columns]
        # torch warns of arrays that cannot be written to
        return np.require(values.toarray() if issparse(values) else values, np.float32, ["C", "W"])


def _read(values: Any, columns: np.ndarray | None) -> np.ndarray:
    n_cells, n_stored = values.shape
    columns = np.arange(n_stored) if columns is None else columns
    matrix = np.empty((n_cells, len(columns)), dtype=np.float32)
    if getattr(values, "format", None) == "csc":  # stored by column: a block of rows would be read from the whole
        step = max(1, NUMBERS_PER_BLOCK // max(1, n_cells))
        for start in range(0, len(columns), step):
            block = slice(start, start + step)
            matrix[:, block] = values[:, columns[block]].toarray()
        return matrix
    step = max(1, NUMBERS_PER_BLOCK // n_stored)
    for start in range(0, n_cells, step):
        rows = slice(start, min(start + step, n_cells))
        # all columns are read: h5py picks them slowly, and only in ascending order
        numbers = values[rows]
        numbers = numbers[:, columns] if len(columns) < n_stored or (np.diff(columns) != 1).any() else numbers
        matrix[rows] = numbers.toarray() if issparse(numbers) else numbers
    return matrix
