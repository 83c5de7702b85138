"""The batch of each cell: one column of ``.obs`` or several, with the smallest batches joined."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim._mudata.columns import obs_column
from clipdim._warn import warn

MIN_CELLS_OF_BATCH = 16
JOINED = "small batches"


def batch_columns(batch_key: str | Sequence[str] | None) -> list[str]:
    """Names of the columns of ``.obs`` that tell the batches apart."""
    if batch_key is None:
        return []
    names = [batch_key] if isinstance(batch_key, str) or not isinstance(batch_key, Iterable) else list(batch_key)
    if not names or not all(isinstance(name, str) for name in names):
        msg = f"batch_key must be the name of a column of .obs, or a list of names, got {batch_key!r}"
        raise TypeError(msg) if names else ValueError(msg)
    return [str(name) for name in names]


def batch_labels(mdata: MuData, batch_key: str | Sequence[str]) -> pd.Series:
    """Batch of each cell, categorical, missing where a column is; several columns make one, ``"a, b"``."""
    columns = [obs_column(mdata, name) for name in batch_columns(batch_key)]
    labels = columns[0].astype(object).map(str)
    for column in columns[1:]:
        labels = labels + ", " + column.astype(object).map(str)
    missing = np.any([column.isna() for column in columns], axis=0)
    return labels.mask(missing).astype("category")


def batch_codes(mdata: MuData, batch_key: str | Sequence[str], cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code of each cell's batch, (cells,), and the names of the codes.

    ``cells`` are the numbers of those that are to be trained on. Batches with fewer than 16 of them are joined, since
    the negatives of a cell come from its own batch; cells without a batch have the code -1.
    """
    labels = batch_labels(mdata, batch_key)
    n_missing = int(labels.iloc[cells].isna().sum())
    if n_missing:
        column = next(name for name in batch_columns(batch_key) if obs_column(mdata, name).iloc[cells].isna().any())
        msg = (
            f"batch_key={column!r} is missing for {n_missing} of {len(cells)} paired cells; fill it, for instance "
            f"mdata.obs[{column!r}] = mdata.obs[{column!r}].astype(object).fillna('unknown').astype('category')"
        )
        raise ValueError(msg)
    names, codes = labels.cat.categories.to_numpy(dtype=object), labels.cat.codes.to_numpy().astype(np.int64)
    counts = np.bincount(codes[cells], minlength=len(names))
    if counts.max() < 2:
        msg = f"batch_key={batch_key!r} has a value of its own for every cell, so no cell has a negative"
        raise ValueError(msg)
    if (counts > 0).sum() == 1:
        msg = f"batch_key={batch_key!r} has one value, {names[counts.argmax()]!r}, for all paired cells: no effect"
        warn(msg)
        return codes, names
    small = np.flatnonzero((counts > 0) & (counts < MIN_CELLS_OF_BATCH))
    if len(small) > 1:
        msg = (
            f"{len(small)} batches have fewer than {MIN_CELLS_OF_BATCH} paired cells and are treated as one batch: "
            f"{', '.join(f'{names[code]!r} ({counts[code]})' for code in small[:5])}" + " ..." * (len(small) > 5)
        )
        warn(msg)
        codes = np.where(np.isin(codes, small), len(names), codes)
        names = np.append(names, JOINED)
    elif len(small):
        msg = (
            f"batch {names[small[0]]!r} has {counts[small[0]]} paired cells: with so few negatives little is learned "
            "from them; join it with another batch"
        )
        warn(msg)
    return codes, names
