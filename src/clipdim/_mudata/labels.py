"""Labels of cells that are classes, as cell types."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim._mudata.columns import obs_column


def class_labels(mdata: MuData, label_key: str) -> pd.Series:
    """Label of each cell as a string, missing where there is none.

    Whole numbers that are stored as floats, as pandas makes them of a column with gaps, are read as integers.
    """
    column = obs_column(mdata, label_key)
    if pd.api.types.is_float_dtype(column.dtype):
        if (column.dropna() % 1 != 0).any():
            msg = f"{label_key!r} holds fractions, not classes; bin it first, pandas.cut(mdata.obs[{label_key!r}], 5)"
            raise ValueError(msg)
        column = column.astype("Int64")
    missing = column.isna()
    return column.astype(object).map(str).mask(missing)


def class_names(mdata: MuData, label_key: str, labels: pd.Series) -> list[str]:
    """Names of the classes that occur among the labels, in the order of a categorical column, else sorted."""
    present, column = sorted(labels.dropna().unique()), obs_column(mdata, label_key)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return present
    return [name for name in map(str, column.cat.categories) if name in present]


def columns_of_classes(mdata: MuData, cells: np.ndarray) -> dict[str, pd.Series]:
    """Each column of ``mdata.obs`` that holds categories or texts, for the cells of these numbers."""
    columns = {str(name): mdata.obs[name].iloc[cells] for name in mdata.obs}
    return {
        name: column
        for name, column in columns.items()
        if isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(column.dtype)
    }


def class_colors(mdata: MuData, label_key: str) -> Iterator[dict[str, str]]:
    """Colour of each class as each ``.uns["{label_key}_colors"]`` has it, of the MuData and of the modalities."""
    modality, _, column = label_key.partition(":")
    holders = [(mdata, label_key), *((adata, label_key) for adata in mdata.mod.values())]
    if modality in mdata.mod:
        holders.append((mdata[modality], column))  # muon lists a modality's column as "modality:column"
    for holder, name in holders:
        colors = holder.uns.get(f"{name}_colors")
        if colors is None:
            continue
        labels = holder.obs[name] if name in holder.obs else obs_column(mdata, name)
        classes = labels.astype("category").cat.categories.astype(str)
        if len(colors) >= len(classes):
            yield dict(zip(classes, map(str, colors), strict=False))
