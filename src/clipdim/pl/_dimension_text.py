"""What figures of the intrinsic dimension say about it, and the tables that ``tl.intrinsic_dimension`` left."""

import pandas as pd
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import read_dimensions
from clipdim.dimension.estimators import ESTIMATORS


def dimension_label(estimator: str) -> str:
    """Label of an axis."""
    return f"intrinsic dimension ({ESTIMATORS[estimator].label if estimator in ESTIMATORS else estimator})"


def cells_text(cells: str) -> str:
    """Name of the cells that an estimate is from."""
    return {_keys.TRAIN: "training cells", "all": "cells"}.get(cells, f"{cells} cells")


def stored_table(mdata: MuData, key: str | None, arguments: str) -> pd.DataFrame:
    """Return the table that ``tl.intrinsic_dimension`` wrote; the error names the call with the given arguments."""
    return read_dimensions(mdata, _keys.DIMENSION if key is None else key, measure_call(key, arguments))


def measure_call(key: str | None, arguments: str) -> str:
    """Return the call that writes what is drawn."""
    return f'clipdim.tl.intrinsic_dimension(mdata, {arguments}key_added="{_keys.DIMENSION if key is None else key}")'
