"""Tables of cell-type accuracy, and the colours that scanpy gave to the classes."""

from typing import Literal

import pandas as pd
from matplotlib.colors import is_color_like
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim.pl._cells import main_cells


def classification(
    mdata: MuData, table: Literal["classify", "confusion"], *, key: str, label_key: str | None, method: str
) -> tuple[pd.DataFrame, str]:
    """Rows of one label and one method of a table that ``tl.classify`` stored, and the name of the label."""
    stored = getattr(_mudata.read_fit(mdata, key), table)
    # double quotes only: the text of a KeyError is shown with a backslash before each single quote otherwise
    of_key = "" if key == _keys.KEY else f', key="{key}"'
    if stored is None:
        call = f'clipdim.tl.classify(mdata, "{label_key or "cell_type"}"{of_key})'
        msg = f'no cell-type accuracy in mdata.uns["{key}"]["{table}"]; run {call}'
        raise KeyError(msg)
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
    """Split to show first, and its name for the title."""
    splits = set(rows["split"])
    return _keys.HELD_OUT if _keys.HELD_OUT in splits else _keys.TRAIN, main_cells(splits)


def class_colors(mdata: MuData, label_key: str) -> dict[str, str]:
    """Colour of each class from ``.uns["{label_key}_colors"]`` of the MuData or of a modality; empty if none has it."""
    stored = _mudata.class_colors(mdata, label_key)
    return next((colors for colors in stored if all(map(is_color_like, colors.values()))), {})
