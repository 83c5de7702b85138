"""The result of ``tl.sweep``, ``mdata.uns[key]``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from mudata import MuData

from clipdim import _keys
from clipdim._mudata.records import Record


@dataclass(frozen=True)
class Sweep:
    """Measures of many fits."""

    settings: dict[str, Any]
    table: pd.DataFrame
    """One row for each measure of a fit."""
    failures: pd.DataFrame
    """One row for each fit that failed."""


def is_sweep(values: Any) -> bool:
    """Whether the result of a sweep lies here."""
    return isinstance(values, Mapping) and {"table", "failures"} <= set(values)


def refuse_taken(mdata: MuData, key_added: str) -> None:
    """Refuse to overwrite what is not a sweep."""
    if mdata.uns.get(key_added) is not None and not is_sweep(mdata.uns[key_added]):
        msg = f".uns[{key_added!r}] is taken, perhaps by a fit; pass another key_added, as {_keys.SWEEP!r}"
        raise ValueError(msg)


def write_sweep(mdata: MuData, result: Sweep, *, key: str) -> None:
    """Write the result of a sweep."""
    mdata.uns[key] = {"settings": result.settings, "table": result.table, "failures": result.failures}


def read_sweep(mdata: MuData, key: str) -> Sweep:
    """Return the result of a sweep."""
    if not isinstance(mdata, MuData):
        msg = f"expected a MuData after clipdim.tl.sweep, got {type(mdata).__name__}"
        raise TypeError(msg)
    found = mdata.uns.get(key)
    if not is_sweep(found):
        swept = [name for name, value in mdata.uns.items() if is_sweep(value)]
        # double quotes only: the text of a KeyError is shown with a backslash before each single quote otherwise
        mend = f'pass key="{swept[0]}"' if swept else f'run clipdim.tl.sweep(mdata, [2, 8, 32], key_added="{key}")'
        msg = f'no sweep in mdata.uns["{key}"]; {mend}'
        raise KeyError(msg)
    record = Record(found, f"mdata.uns[{key!r}]", "run clipdim.tl.sweep again")
    table = record.table("table", ["out_dim", "measure", "modality", "label_key", "split", "value"])
    return Sweep(record.within("settings").values, table, record.table("failures", ["out_dim", "error"]))
