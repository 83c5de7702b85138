"""How many dimensions the cells of an embedding fill."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import obs_column, pair, require_mudata
from clipdim.dimension import Estimate, TooFewPointsError, estimate
from clipdim.tl._monitor import default_anchors

_CELLS = ("auto", _keys.HELD_OUT, _keys.TRAIN, "all")


@dataclass(frozen=True)
class _Source:
    """A representation, the place of its rows in ``data.obs``, and where they lie."""

    name: str
    values: np.ndarray
    cells: np.ndarray
    owner: AnnData | MuData
    rows: np.ndarray


def intrinsic_dimension(
    data: MuData | AnnData,
    *,
    use_rep: str = "X_clipdim",
    estimator: str = "mle",
    n_neighbors: int = 20,
    aggregation: str = "harmonic",
    groupby: str | None = None,
    cells: Literal["auto", "held-out", "train", "all"] = "auto",
    n_anchors: int | Literal["auto"] | None = "auto",
    key_added: str | None = None,
    random_state: int = 0,
) -> pd.DataFrame:
    """Estimate the intrinsic dimension of an embedding, with a 95 % interval.

    Cells at the same place, exactly or to within the rounding of the dtype, count once. The interval accounts for the
    neighbours that cells share; it says how far the estimate would move with other cells, not how far it is biased
    (maximum likelihood reads 10 dimensions as 8 to 9 with 500 to 2,000 cells).

    Parameters
    ----------
    data
        A MuData, of which every modality that has the representation is measured, and the joint one in
        `mdata.obsm` when it is there; or an AnnData.
    use_rep
        Name in `.obsm`.
    estimator
        `"mle"` (Levina and Bickel), `"twonn"` (Facco and others; 2 neighbours, no aggregation) or `"lpca"` (local
        principal components; takes about 1 ms for each cell, and `n_neighbors` several times the expected dimension).
    n_neighbors
        Neighbours of each cell.
    aggregation
        `"harmonic"` or `"arithmetic"` mean over cells. The paper's authors take the arithmetic one, 5-7 % above.
    groupby
        Column of `.obs`, of a modality too: an estimate for each group, with neighbours from within. Cells without one
        are left out.
    cells
        `"held-out"`, `"train"`, `"all"`, or `"auto"`: all, except that a representation of clipdim's is measured on
        held-out cells, or on training cells where those are too few.
    n_anchors
        Estimate around so many random cells only, with neighbours from all: faster, with a wider interval. `None`: all.
        `"auto"`: around 10,000 of more than 20,000 cells, unless `key_added` asks for the values around all.
    key_added
        Write the results under this name.
    random_state
        Seed of the draw of anchors.

    Returns
    -------
    One row for each representation and group: `representation` (modality, `"joint"`, or `use_rep` for an AnnData),
    `group` (`"all"` without `groupby`), `estimate`, `low`, `high`, `n_cells` (repeated ones included), `cells`,
    `estimator`, `aggregation` (`"none"` for `"twonn"`), `n_neighbors`, `n_anchors` (distinct cells estimated around),
    `exact` (False where the neighbours of over 200,000 are approximate). NaN where a group has too few distinct cells.

    With `key_added`, writes the table to `.uns[key_added]` and the estimate around each cell, float64, to
    `.obs[key_added]` (of the MuData for the joint embedding, of each modality for its own), NaN for cells that were
    not used. `"twonn"` has no estimate around a cell and writes the table only.

    Raises
    ------
    TypeError
        If `data` is neither a MuData nor an AnnData.
    KeyError
        If the representation or the column is missing.
    ValueError
        If `data` is a view, an argument is not accepted, the representation is not finite, no such cells exist, a
        column named `key_added` would be lost, all cells lack a group, or distinct cells are too few without groups.

    Warns
    -----
    UserWarning
        If a group has too few distinct cells.

    References
    ----------
    Levina and Bickel, NeurIPS 2004; Facco and others, Scientific Reports 7, 2017; used in Gui, Ma and Ma, NeurIPS 2025,
    section 4.

    Examples
    --------
    >>> import anndata, numpy, clipdim
    >>> rng = numpy.random.default_rng(0)
    >>> adata = anndata.AnnData(obsm={"X_flat": rng.normal(size=(500, 3)) @ rng.normal(size=(3, 10))}, shape=(500, 0))
    >>> table = clipdim.tl.intrinsic_dimension(adata, use_rep="X_flat")
    >>> round(table["estimate"].item()), table["cells"].item()
    (3, 'all')
    """
    sources = _sources(data, use_rep)
    if cells not in _CELLS:
        msg = f"cells={cells!r} is not known; choose one of {', '.join(_CELLS)}"
        raise ValueError(msg)
    used_cells, wanted = _wanted_cells(data, use_rep, cells, n_neighbors)
    groups = _groups(data, groupby)
    if key_added is not None:
        _check_writable(data, key_added, [source.owner for source in sources])
    rows: list[dict[str, Any]] = []
    too_few: dict[str, str] = {}
    local = {source.name: np.full(source.owner.n_obs, np.nan) for source in sources}
    for source in sources:
        for group, members in groups.items():
            used = (wanted & members)[source.cells]
            auto = default_anchors(int(used.sum())) if key_added is None else None
            chosen = auto if n_anchors == "auto" else n_anchors
            try:
                found = estimate(
                    source.values[used],
                    estimator=estimator,
                    n_neighbors=n_neighbors,
                    aggregation=aggregation,
                    n_anchors=chosen,
                    random_state=random_state,
                )
            except TooFewPointsError as error:
                if groupby is None and used_cells == "all":
                    raise
                if groupby is None:
                    msg = f"{error}, or cells='all' (these are the {used_cells} cells of {source.name!r})"
                    raise TooFewPointsError(msg) from error
                where = f"group {group!r} of {groupby!r} has no estimate for {source.name!r}"
                too_few.setdefault(group, f"{where}: {error}")
                none, n = (aggregation, n_neighbors) if estimator != "twonn" else ("none", 2)
                found = Estimate(np.nan, np.nan, np.nan, None, estimator, none, n, 0)
            if found.pointwise is not None:
                local[source.name][source.rows[used]] = found.pointwise
            rows.append(
                {
                    "representation": source.name,
                    "group": group,
                    "estimate": found.estimate,
                    "low": found.low,
                    "high": found.high,
                    "n_cells": int(used.sum()),
                    "cells": used_cells,
                    "estimator": estimator,
                    "aggregation": found.aggregation,
                    "n_neighbors": found.n_neighbors,
                    "n_anchors": min(found.n_points, chosen or found.n_points),
                    "exact": found.exact,
                }
            )
    if too_few:
        first, *others = too_few
        warnings.warn(too_few[first] + (f"; nor have {others}" if others else ""), UserWarning, stacklevel=2)
    table = pd.DataFrame(rows)
    if key_added is not None:
        data.uns[key_added] = table.copy()
        for source in sources:
            if estimator != "twonn":
                source.owner.obs[key_added] = local[source.name]
    return table


def _sources(data: MuData | AnnData, use_rep: str) -> list[_Source]:
    if isinstance(data, AnnData):
        every = np.arange(data.n_obs)
        found = [_Source(use_rep, np.asarray(data.obsm[use_rep]), every, data, every)] if use_rep in data.obsm else []
        available: Any = list(data.obsm)
    else:
        mdata = require_mudata(data)
        found = []
        for column, name in zip(pair(mdata, list(mdata.mod)).T, mdata.mod, strict=True):
            if use_rep in mdata[name].obsm:
                rows = column[column >= 0]
                values = np.asarray(mdata[name].obsm[use_rep])[rows]
                found.append(_Source(name, values, np.flatnonzero(column >= 0), mdata[name], rows))
        if use_rep in mdata.obsm:
            values = np.asarray(mdata.obsm[use_rep])
            # a cell that lacks every fitted modality has no joint embedding
            rows = np.flatnonzero(~np.isnan(values).all(axis=-1))
            found.append(_Source("joint", values[rows], rows, mdata, rows))
        available = {name: list(adata.obsm) for name, adata in mdata.mod.items()}
    if not found:
        msg = f"no {use_rep!r} in .obsm, which has {available}; run clipdim.tl.fit(mdata), or name another use_rep"
        raise KeyError(msg)
    return found


def _wanted_cells(data: MuData | AnnData, use_rep: str, cells: str, n_neighbors: int) -> tuple[str, np.ndarray]:
    column = _keys.split(use_rep.removeprefix("X_"))
    split = data.obs[column].astype(object).to_numpy() if column in data.obs else np.full(data.n_obs, None)
    if cells == "auto":
        # as in tl.fit: too few held-out cells give way to the training cells
        usable = [name for name in (_keys.HELD_OUT, _keys.TRAIN) if (split == name).sum() > n_neighbors + 1]
        cells = usable[0] if usable else "all"
    wanted = np.ones(data.n_obs, dtype=bool) if cells == "all" else split == cells
    if not wanted.any():
        msg = f"no {cells} cells: .obs[{column!r}] has none; pass cells='all'"
        raise ValueError(msg)
    return cells, wanted


def _groups(data: MuData | AnnData, groupby: str | None) -> dict[str, np.ndarray]:
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


def _check_writable(data: MuData | AnnData, key_added: str, owners: list[MuData | AnnData]) -> None:
    if data.is_view:
        msg = "the data is a view of another object and cannot be written to; call data = data.copy() first"
        raise ValueError(msg)
    if isinstance(data.uns.get(key_added), Mapping):
        msg = f".uns[{key_added!r}] is taken, perhaps by a fit; pass another key_added, as 'intrinsic_dimension'"
        raise ValueError(msg)
    # an earlier result of this function, which left its table too, may be replaced, but not the user's column
    if key_added not in data.uns and any(key_added in owner.obs for owner in owners):
        msg = f".obs[{key_added!r}] exists and would be lost; pass another key_added, as 'intrinsic_dimension'"
        raise ValueError(msg)
