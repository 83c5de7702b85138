"""How many dimensions an embedding has."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from clipdim import _check, _mudata
from clipdim._warn import warn
from clipdim.dimension import TooFewPointsError
from clipdim.dimension.estimation import Estimate, estimate
from clipdim.dimension.estimators import ESTIMATORS
from clipdim.dimension.parts import estimate_in_parts
from clipdim.fitting.dimensions import default_anchors


def intrinsic_dimension(
    data: MuData | AnnData,
    *,
    use_rep: str = "X_clipdim",
    estimator: str = "mle",
    n_neighbors: int = 20,
    aggregation: str = "harmonic",
    groupby: str | None = None,
    n_per_group: int | Literal["equal"] | None = None,
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
    n_per_group
        Estimate each group from so many of its cells at a time, so that groups of different size can be compared: the
        more cells, the higher the estimate. A larger group is dealt into parts of that size and the mean over them is
        taken, so its interval is narrower. `"equal"`: as many as the smallest group has, of those of at least 5 times
        `n_neighbors` cells, the same for all representations. `None`: all cells of each group at once.
    cells
        `"held-out"`, `"train"`, `"all"`, or `"auto"`: all, except that a representation of clipdim's is measured on
        held-out cells, or on training cells where those are too few.
    n_anchors
        Estimate around so many random cells only, with neighbours from all: faster, with a wider interval. `None`: all.
        `"auto"`: around 10,000 of more than 20,000 cells, unless `key_added` asks for the values around all. With
        `n_per_group`: of so many cells in all parts.
    key_added
        Write the results under this name.
    random_state
        Seed of the draw of anchors, and of the parts.

    Returns
    -------
    One row for each representation and group: `representation` (modality, `"joint"`, or `use_rep` for an AnnData),
    `group` (`"all"` without `groupby`), `estimate`, `low`, `high`, `n_cells` (repeated ones included), `cells`,
    `estimator`, `aggregation` (`"none"` for `"twonn"`), `n_neighbors`, `n_anchors` (distinct cells estimated around),
    `exact` (False where the neighbours of over 200,000 are approximate). With `groupby` also that column as `groupby`,
    and `n_at_a_time`, the cells that each estimate is from: `n_per_group`, or all of the group. NaN where a group has
    too few distinct cells.

    With `key_added`, writes the table to `.uns[key_added]` and the estimate around each cell, float64, to
    `.obs[key_added]` (of the MuData for the joint embedding, of each modality for its own), NaN for cells that were
    not used. `"twonn"` has no estimate around a cell and writes the table only.

    Raises
    ------
    TypeError
        If `data` is neither a MuData nor an AnnData, or an argument is of a wrong type.
    KeyError
        If the representation or the column is missing.
    ValueError
        If `data` is a view, an argument is not accepted, the representation is not finite, no such cells exist, a
        column named `key_added` would be lost, all cells lack a group, no group is large enough for
        `n_per_group="equal"`, or distinct cells are too few without groups. `data` is unchanged then.

    Warns
    -----
    UserWarning
        If a group has too few distinct cells, or fewer than `n_per_group`; once for all of them.

    Notes
    -----
    Neighbours from within a group, and as many cells of each, make the estimate a property of the group: it does not
    depend on how common the group is, nor on which others were measured. The mean over a group of the values around
    its cells without `groupby` (those that `key_added` leaves in `.obs`) depends on both, as neighbours are closer
    where cells are many, and belong to the next group at the border. They are meant for a map.

    A group that shares little reads high, not low: where its cells do not find their partners among each other, what
    the neighbours show is noise. Look at the matching within the group beside its dimension.

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
    sources = _mudata.sources_of(data, use_rep)
    n_neighbors = _check.integer("n_neighbors", n_neighbors, least=2)
    settings = {"estimator": estimator, "n_neighbors": n_neighbors, "aggregation": aggregation}
    settings["random_state"] = _check.seed(random_state)
    used_cells, wanted = _mudata.wanted_cells(data, use_rep, cells, n_neighbors)
    groups = _mudata.groups_of(data, groupby)
    if key_added is not None:
        _mudata.check_writable(data, key_added, [source.owner for source in sources])
    used_of = {
        (source.name, group): (wanted & members)[source.cells]
        for source in sources
        for group, members in groups.items()
    }
    sizes = [int(used.sum()) for used in used_of.values()]
    at_a_time = _mudata.cells_at_a_time(n_per_group, groupby, sizes, n_neighbors)
    rows: list[dict[str, Any]] = []
    too_few: dict[str, str] = {}
    local = {source.name: np.full(source.owner.n_obs, np.nan) for source in sources}
    for source in sources:
        for group in groups:
            used = used_of[source.name, group]
            auto = default_anchors(int(used.sum())) if key_added is None else None
            chosen = auto if n_anchors == "auto" else n_anchors
            try:
                found = _estimate(source.values[used], at_a_time, settings | {"n_anchors": chosen})
            except TooFewPointsError as error:
                if groupby is None and used_cells == "all":
                    raise
                if groupby is None:
                    msg = f"{error}, or cells='all' (these are the {used_cells} cells of {source.name!r})"
                    raise TooFewPointsError(msg) from error
                where = f"group {group!r} of {groupby!r} has no estimate for {source.name!r}"
                too_few.setdefault(group, f"{where}: {error}")
                found = _no_estimate(settings)
            if found.pointwise is not None:
                local[source.name][source.rows[used]] = found.pointwise
            row = {"representation": source.name, "group": group, **_row(found, int(used.sum()), used_cells, chosen)}
            if groupby is not None:
                row |= {"groupby": groupby, "n_at_a_time": at_a_time or int(used.sum())}
            rows.append(row)
    if too_few:
        first, *others = too_few
        warn(too_few[first] + (f"; nor have {others}" if others else ""))
    table = pd.DataFrame(rows)
    if key_added is not None:
        pointwise = ESTIMATORS[estimator].pointwise is not None
        around = [(source, local[source.name]) for source in sources] if pointwise else []
        _mudata.write_dimensions(data, key_added, table.copy(), around)
    return table


def _estimate(points: np.ndarray, at_a_time: int | None, settings: Mapping[str, Any]) -> Estimate:
    """Estimate from all points at once, or from so many at a time."""
    return estimate(points, **settings) if at_a_time is None else estimate_in_parts(points, at_a_time, **settings)


def _no_estimate(settings: Mapping[str, Any]) -> Estimate:
    """Return what stands for the estimate of a group of too few cells."""
    estimator = settings["estimator"]
    n, aggregation = ESTIMATORS[estimator].settle(settings["n_neighbors"], settings["aggregation"])
    return Estimate(np.nan, np.nan, np.nan, None, estimator, aggregation, n, 0)


def _row(found: Estimate, n_cells: int, cells: str, n_anchors: int | None) -> dict[str, Any]:
    """Row of the table, without the names."""
    return {
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "n_cells": n_cells,
        "cells": cells,
        "estimator": found.estimator,
        "aggregation": found.aggregation,
        "n_neighbors": found.n_neighbors,
        "n_anchors": min(found.n_points, n_anchors or found.n_points),
        "exact": found.exact,
    }
