"""Tables of cell-type accuracy, and the colours that scanpy gave to the classes."""

from typing import Literal

import pandas as pd
from matplotlib.colors import is_color_like
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import obs_column, read_fit
from clipdim.pl._cells import NONE_HELD_OUT

JOINT = "joint k-NN"


def classification(
    mdata: MuData, table: Literal["classify", "confusion"], *, key: str, label_key: str | None, method: str
) -> tuple[pd.DataFrame, str]:
    """Rows of one label and one method of a table that ``tl.classify`` stored, and the name of the label."""
    fit = read_fit(mdata, key)
    # double quotes only: the text of a KeyError is shown with a backslash before each single quote otherwise
    of_key = "" if key == _keys.KEY else f', key="{key}"'
    if table not in fit:
        call = f'clipdim.tl.classify(mdata, "{label_key or "cell_type"}"{of_key})'
        msg = f'no cell-type accuracy in mdata.uns["{key}"]["{table}"]; run {call}'
        raise KeyError(msg)
    stored = fit[table]
    # a file gives back strings as categories or as another type
    stored = stored.astype(dict.fromkeys(stored.select_dtypes(exclude="number"), str))
    labels = stored["label_key"].unique().tolist()
    if label_key is None:
        if len(labels) > 1:
            msg = f'accuracy is stored for {", ".join(labels)}; choose one, for instance label_key="{labels[0]}"'
            raise ValueError(msg)
        label_key = labels[0]
    if label_key not in labels:
        call = f'clipdim.tl.classify(mdata, "{label_key}"{of_key})'
        msg = f'no accuracy of label_key="{label_key}", only of {", ".join(labels)}; run {call}'
        raise KeyError(msg)
    rows = stored[stored["label_key"] == label_key]
    methods = rows["method"].unique().tolist()
    if method not in methods:
        msg = f'no accuracy by method="{method}", only by {", ".join(methods)}'
        raise KeyError(msg)
    return rows[rows["method"] == method], label_key


def main_split(rows: pd.DataFrame) -> tuple[str, str]:
    """Split to show first, and its name for the title: held-out cells, or training cells where none were held out."""
    if (rows["split"] == _keys.HELD_OUT).any():
        return _keys.HELD_OUT, f"{_keys.HELD_OUT} cells"
    return _keys.TRAIN, NONE_HELD_OUT


def class_colors(mdata: MuData, label_key: str) -> dict[str, str]:
    """Colour of each class from ``.uns["{label_key}_colors"]`` of the MuData or of a modality; empty if none has it."""
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
        if len(colors) >= len(classes) and all(is_color_like(color) for color in colors):
            return dict(zip(classes, map(str, colors), strict=False))
    return {}
