"""How features of cells go along with their positions in a space."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

NUMBERS_PER_BLOCK = 2**24
# below this share of its mean square the variance of a feature is rounding
CONSTANT = 1e-12


def correlations(X: Any, positions: ArrayLike) -> np.ndarray:
    """Pearson correlation of each feature with each coordinate of the positions, (features, d), NaN for constants.

    ``X`` is (cells, features): an array, a sparse matrix, or anything of which ``X[start:stop]`` is one, in memory or
    not (h5py, zarr, dask, backed AnnData). It is read a block of rows at a time, and no sparse matrix is made dense.
    Cells with NaN positions are left out.
    """
    Z = np.asarray(positions, dtype=np.float64)
    if len(X.shape) != 2 or Z.ndim != 2 or len(Z) != X.shape[0]:
        msg = f"X and positions must be (cells, features) and (cells, d) of the same cells, got {X.shape} and {Z.shape}"
        raise ValueError(msg)
    used = np.asarray(~np.isnan(Z).any(axis=1))
    n = int(used.sum())
    if n < 3 or np.isinf(Z).any():
        msg = f"at least 3 cells with a finite position are needed, got {n} of {len(Z)} that are not NaN"
        raise ValueError(msg)
    Z = Z - Z[used].mean(axis=0)
    if issparse(X) and X.format != "csr":
        X = X.tocsr()  # rows of another format are slow to take
    n_features = X.shape[1]
    total, squares, products = np.zeros(n_features), np.zeros(n_features), np.zeros((n_features, Z.shape[1]))
    step = max(1, NUMBERS_PER_BLOCK // max(1, n_features))
    for start in range(0, len(Z), step):
        rows = slice(start, start + step)
        if not used[rows].any():
            continue
        block: Any = X[rows].compute() if hasattr(X, "compute") else X[rows]
        block = (block if issparse(block) else np.asarray(block))[used[rows]].astype(np.float64)
        values = block.data if issparse(block) else block
        if not np.isfinite(values).all():
            msg = f"X has NaN or infinite values in rows {start} to {start + len(used[rows]) - 1}"
            raise ValueError(msg)
        total += np.asarray(block.sum(axis=0)).ravel()
        squares += np.asarray(block.power(2).sum(axis=0)).ravel() if issparse(block) else np.square(block).sum(axis=0)
        # the positions are centred, so the mean of a feature drops out
        products += block.T @ Z[rows][used[rows]]
    spread = squares - total**2 / n
    spread[spread <= CONSTANT * squares] = np.nan
    spread_of_Z = np.square(Z[used]).sum(axis=0)
    spread_of_Z[spread_of_Z <= CONSTANT * np.square(np.asarray(positions)[used]).sum(axis=0)] = np.nan
    return products / np.sqrt(spread[:, None] * spread_of_Z)
