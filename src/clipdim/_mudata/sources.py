"""Any representation of a MuData or an AnnData, the cells and groups to measure it on, and where the result goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from clipdim import _check, _keys
from clipdim._mudata.columns import obs_column
from clipdim._mudata.embeddings import choose_measured
from clipdim._mudata.pairing import cell_rows, require_mudata
from clipdim._mudata.records import plain_texts

CELLS = ("auto", _keys.HELD_OUT, _keys.TRAIN, "all")
# of the neighbours; fewer cells show their edges, and groups of equal size would all be so small
LEAST_GROUP = 5


@dataclass(frozen=True)
class Source:
    """A representation, the place of its rows in ``data.obs``, and where they lie."""

    name: str
    values: np.ndarray
    cells: np.ndarray
    owner: AnnData | MuData
    rows: np.ndarray


def sources_of(data: MuData | AnnData, use_rep: str) -> list[Source]:
    """Every representation of that name."""
    if isinstance(data, AnnData):
        every = np.arange(data.n_obs)
        found = [Source(use_rep, np.asarray(data.obsm[use_rep]), every, data, every)] if use_rep in data.obsm else []
        available: Any = list(data.obsm)
    else:
        mdata = require_mudata(data)
        found = []
        for column, name in zip(cell_rows(mdata, list(mdata.mod)).T, mdata.mod, strict=True):
            if use_rep in mdata[name].obsm:
                rows = column[column >= 0]
                values = np.asarray(mdata[name].obsm[use_rep])[rows]
                found.append(Source(name, values, np.flatnonzero(column >= 0), mdata[name], rows))
        if use_rep in mdata.obsm:
            values = np.asarray(mdata.obsm[use_rep])
            # a cell that lacks every fitted modality has no joint embedding
            rows = np.flatnonzero(~np.isnan(values).all(axis=-1))
            found.append(Source(_keys.JOINT, values[rows], rows, mdata, rows))
        available = {name: list(adata.obsm) for name, adata in mdata.mod.items()}
    if not found:
        msg = f"no {use_rep!r} in .obsm, which has {available}; run clipdim.tl.fit(mdata), or name another use_rep"
        raise KeyError(msg)
    return found


def wanted_cells(data: MuData | AnnData, use_rep: str, cells: str, n_neighbors: int) -> tuple[str, np.ndarray]:
    """Name of the cells to measure, and which they are, (cells,) bool."""
    _check.choice("cells", cells, CELLS)
    column = _keys.split(use_rep.removeprefix("X_"))
    split = data.obs[column].astype(object).to_numpy() if column in data.obs else np.full(data.n_obs, None)
    if cells == "auto":
        held_out, train = (np.flatnonzero(split == name) for name in (_keys.HELD_OUT, _keys.TRAIN))
        measured, cells = choose_measured(held_out, train, n_neighbors + 2)
        cells = cells if len(measured) > n_neighbors + 1 else "all"
    wanted = np.ones(data.n_obs, dtype=bool) if cells == "all" else split == cells
    if not wanted.any():
        msg = f"no {cells} cells: .obs[{column!r}] has none; pass cells='all'"
        raise ValueError(msg)
    return cells, wanted


def groups_of(data: MuData | AnnData, groupby: str | None) -> dict[str, np.ndarray]:
    """Which cells belong to each group, (cells,) bool."""
    if groupby is None:
        return {"all": np.ones(data.n_obs, dtype=bool)}
    if isinstance(data, MuData):
        column = obs_column(data, groupby)
    elif groupby in data.obs:
        column = data.obs[groupby]
    else:
        msg = f"no column {groupby!r} in .obs, which has {list(data.obs.columns)}"
        raise KeyError(msg)
    column = column.astype("category").cat.remove_unused_categories()
    codes = column.cat.codes.to_numpy()
    if not len(column.cat.categories):
        msg = f"groupby={groupby!r} is missing for all {len(column)} cells; choose a column with groups"
        raise ValueError(msg)
    return {str(name): codes == code for code, name in enumerate(column.cat.categories)}


def cells_at_a_time(n_per_group: Any, groupby: str | None, sizes: Sequence[int], n_neighbors: int) -> int | None:
    """Cells of each group to estimate from at a time, from the sizes of all groups; None is all."""
    if n_per_group is None:
        return None
    if groupby is None:
        msg = f"n_per_group={n_per_group!r} is for groups; pass groupby, a column of .obs, too"
        raise ValueError(msg)
    if not (isinstance(n_per_group, str) and n_per_group == "equal"):
        hint = f"more than n_neighbors={n_neighbors}, or 'equal', or None for all"
        return _check.integer("n_per_group", n_per_group, least=n_neighbors + 1, hint=hint)
    least = LEAST_GROUP * n_neighbors
    enough = [size for size in sizes if size >= least]
    if not enough:
        msg = (
            f"n_per_group='equal' needs a group of {least} cells or more, {LEAST_GROUP} times n_neighbors, and the "
            f"largest of {groupby!r} has {max(sizes)}; pass n_per_group as an integer, or cells='all'"
        )
        raise ValueError(msg)
    return min(enough)


def check_writable(data: MuData | AnnData, key_added: str, owners: Sequence[MuData | AnnData]) -> None:
    """Refuse a view, and a name under which something of the user's lies."""
    _check.slot("key_added", key_added)
    if data.is_view:
        msg = "the data is a view of another object and cannot be written to; call data = data.copy() first"
        raise ValueError(msg)
    if isinstance(data.uns.get(key_added), Mapping):
        msg = f".uns[{key_added!r}] is taken, perhaps by a fit; pass another key_added, as {_keys.DIMENSION!r}"
        raise ValueError(msg)
    # an earlier result of this function, which left its table too, may be replaced, but not the user's column
    if key_added not in data.uns and any(key_added in owner.obs for owner in owners):
        msg = f".obs[{key_added!r}] exists and would be lost; pass another key_added, as {_keys.DIMENSION!r}"
        raise ValueError(msg)


def write_dimensions(
    data: MuData | AnnData, key_added: str, table: pd.DataFrame, around: Sequence[tuple[Source, np.ndarray]]
) -> None:
    """Write the table of dimensions, and the dimension around each cell of each representation that has one."""
    data.uns[key_added] = table
    for source, values in around:
        source.owner.obs[key_added] = values


def read_dimensions(mdata: MuData, key: str, call: str) -> pd.DataFrame:
    """Return the table that ``tl.intrinsic_dimension`` wrote; the error names the call that writes it."""
    if not isinstance(mdata, MuData):
        msg = f"expected a MuData after clipdim.tl.intrinsic_dimension, got {type(mdata).__name__}"
        raise TypeError(msg)
    table = mdata.uns.get(key)
    if not isinstance(table, pd.DataFrame) or "representation" not in table:
        # double quotes only: the text of a KeyError is shown with a backslash before each single quote otherwise
        msg = f'no table of dimensions in mdata.uns["{key}"]; run {call}'
        raise KeyError(msg)
    return plain_texts(table)
