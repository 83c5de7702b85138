"""One way to read a column of labels or batches, which may lie in ``mdata.obs`` or in a modality's ``.obs``."""

import pandas as pd
from mudata import MuData

from clipdim._warn import warn


def has_column(mdata: MuData, name: str) -> bool:
    """Whether ``obs_column`` finds the column."""
    return name in mdata.obs or any(name in adata.obs for adata in mdata.mod.values())


def obs_column(mdata: MuData, name: str, *, modality: str | None = None) -> pd.Series:
    """Column ``name`` of ``mdata.obs``, else of the modalities' ``.obs``, in the order of ``mdata.obs_names``.

    With ``modality``, in the order of its cells, and its own column comes before that of ``mdata.obs``. Where columns
    of several modalities are put together, the first modality counts, with a warning if others say something else.
    """
    if not isinstance(name, str):
        msg = f"the name of a column of .obs must be a string, got {name!r}"
        raise TypeError(msg)
    if modality is None:
        return mdata.obs[name] if name in mdata.obs else _of_modalities(mdata, name)
    cells = mdata[modality]
    if name in cells.obs:
        return cells.obs[name]
    column = mdata.obs[name] if name in mdata.obs else _of_modalities(mdata, name)
    if not (column.index.is_unique and cells.obs_names.is_unique):
        msg = f"cell names of modality {modality!r} are not unique, so the column {name!r} cannot be matched to them"
        raise ValueError(msg)
    return column.reindex(cells.obs_names)


def _of_modalities(mdata: MuData, name: str) -> pd.Series:
    found = {modality: adata.obs[name] for modality, adata in mdata.mod.items() if name in adata.obs}
    if not found:
        columns = list(mdata.obs.columns)
        of_modalities = {modality: list(adata.obs.columns) for modality, adata in mdata.mod.items()}
        msg = f"no column {name!r} in mdata.obs, which has {columns}, nor in the modalities' .obs: {of_modalities}"
        raise KeyError(msg)
    (first, column), *others = ((key, part.astype(object).reindex(mdata.obs_names)) for key, part in found.items())
    for other, values in others:
        n_both, n_differ = _compare(column, values)
        if n_differ:
            msg = (
                f"the column {name!r} of modality {other!r} differs from that of {first!r} in {n_differ} of {n_both} "
                f"cells; {first!r} is taken where it has one: write the labels that are meant to mdata.obs[{name!r}]"
            )
            warn(msg)
        column = column.where(column.notna(), values)
    categorical = all(isinstance(part.dtype, pd.CategoricalDtype) for part in found.values())
    return column.astype("category") if categorical else column.infer_objects()


def _compare(column: pd.Series, other: pd.Series) -> tuple[int, int]:
    """Count the cells that have both, and those of them that differ."""
    both = (column.notna() & other.notna()).to_numpy()
    return int(both.sum()), int((column[both] != other[both]).sum())
