"""Labels that came from a reference: a column of ``.obs``, their confidence, and the record of how they came."""

from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _check, _keys
from clipdim._mudata.records import Record


def check_transfer(query: MuData, key_added: str) -> None:
    """Refuse a name that files cannot hold, or under which a column of the user's lies."""
    _check.slot("key_added", key_added)
    # what was transferred before may be replaced, but not the user's column
    taken = [name for name in (key_added, _keys.confidence(key_added)) if name in query.obs]
    if taken and _keys.transferred(key_added) not in query.uns:
        msg = f"query.obs has {taken[0]!r} already, which would be lost; pass key_added={key_added + '_transferred'!r}"
        raise ValueError(msg)


def write_transfer(
    query: MuData,
    key_added: str,
    labels: pd.Categorical,
    confidence: np.ndarray,
    *,
    fit: str,
    params: dict[str, Any],
    calibration: pd.DataFrame,
) -> None:
    """Write labels, the chance that each is right, and how they came from the fit of this fingerprint."""
    query.obs[key_added] = labels
    query.obs[_keys.confidence(key_added)] = confidence
    record = {"version": version("clipdim"), "fit": fit, "params": params, "calibration": calibration}
    query.uns[_keys.transferred(key_added)] = record


def find_transfer(mdata: MuData, key_added: str | None) -> str:
    """Return the name of the labels that were transferred, of the only ones if none is given."""
    if not isinstance(mdata, MuData):
        msg = f"expected a MuData after clipdim.tl.transfer_labels, got {type(mdata).__name__}"
        raise TypeError(msg)
    ending = _keys.transferred("")
    there = [name.removesuffix(ending) for name in mdata.uns if name.endswith(ending)]
    if key_added in there:
        return str(key_added)
    # double quotes only: the text of a KeyError is shown with a backslash before each single quote otherwise
    if key_added is not None or not there:
        given = "" if key_added is None else f' as "{key_added}"'
        msg = (
            f"no labels were transferred{given}, only {', '.join(there) or 'none'}; "
            "run clipdim.tl.transfer_labels(query, reference, label_key)"
        )
        raise KeyError(msg)
    if len(there) > 1:
        msg = f"labels were transferred as {there}; choose one, for instance key_added={there[0]!r}"
        raise ValueError(msg)
    return there[0]


def read_confidence(mdata: MuData, key_added: str) -> tuple[np.ndarray, float]:
    """Confidence of each cell, and the least one with which a label was given."""
    record = Record(
        mdata.uns[_keys.transferred(key_added)],
        f"mdata.uns[{_keys.transferred(key_added)!r}]",
        "run clipdim.tl.transfer_labels again",
    )
    return mdata.obs[_keys.confidence(key_added)].to_numpy(), record.within("params").number("min_confidence")
