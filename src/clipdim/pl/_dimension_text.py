"""What figures of the intrinsic dimension say about it, and the tables that ``tl.intrinsic_dimension`` left."""

import pandas as pd
from mudata import MuData

from clipdim import _keys
from clipdim.dimension.estimators import ESTIMATORS

STORED = "intrinsic_dimension"


def dimension_label(estimator: str) -> str:
    """Label of an axis."""
    return f"intrinsic dimension ({ESTIMATORS[estimator].label if estimator in ESTIMATORS else estimator})"


def cells_text(cells: str) -> str:
    """Name of the cells that an estimate is from."""
    return {_keys.TRAIN: "training cells", "all": "cells"}.get(cells, f"{cells} cells")


def stored_table(mdata: MuData, key: str | None, arguments: str) -> pd.DataFrame:
    """Return the table that ``tl.intrinsic_dimension`` wrote; the error names the call with the given arguments."""
    key = STORED if key is None else key
    if not isinstance(mdata, MuData):
        msg = f"expected a MuData after clipdim.tl.intrinsic_dimension, got {type(mdata).__name__}"
        raise TypeError(msg)
    table = mdata.uns.get(key)
    if not isinstance(table, pd.DataFrame) or "representation" not in table:
        # double quotes only: the text of a KeyError is shown with a backslash before each single quote otherwise
        msg = f'no table of dimensions in mdata.uns["{key}"]; run {measure_call(key, arguments)}'
        raise KeyError(msg)
    # a file gives back strings as categories or as another type
    return table.astype(dict.fromkeys(table.select_dtypes(exclude=["number", "bool"]), str))


def measure_call(key: str | None, arguments: str) -> str:
    """Return the call that writes what is drawn."""
    return f'clipdim.tl.intrinsic_dimension(mdata, {arguments}key_added="{STORED if key is None else key}")'
