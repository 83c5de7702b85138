"""Arguments of ``tl.sweep``, checked."""

import os
import warnings
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import cpu_count  # type: ignore[import-untyped]
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim.tl._classify import class_labels

MAX_OUT_DIM = 4_096


def check_out_dims(out_dims: Any) -> list[int]:
    """Return the output dimensions as integers if they are in range and ascend."""
    example = "for instance out_dims=[2, 4, 8, 16, 32]"
    if isinstance(out_dims, str | Mapping) or np.ndim(out_dims) != 1:
        msg = f"out_dims must be a sequence of integers, {example}; got {out_dims!r}"
        raise TypeError(msg)
    dims = list(out_dims)
    if not dims:
        msg = f"out_dims is empty; name at least one output dimension, {example}"
        raise ValueError(msg)
    wrong = [one for one in dims if not isinstance(one, Integral) or isinstance(one, bool | np.bool_)]
    if wrong:
        msg = f"out_dims must be integers, got {wrong[:3]}; pass out_dims=sorted({{int(d) for d in out_dims}})"
        raise TypeError(msg)
    dims = [int(one) for one in dims]
    if outside := [one for one in dims if not 1 <= one <= MAX_OUT_DIM]:
        msg = f"out_dims must lie between 1 and {MAX_OUT_DIM:,}, got {outside[:3]}"
        raise ValueError(msg)
    if dims != sorted(set(dims)):
        what = "in ascending order" if len(set(dims)) == len(dims) else "different from each other"
        msg = f"out_dims must be {what}, got {dims}; pass out_dims={sorted(set(dims))}"
        raise ValueError(msg)
    return dims


def check_slot(mdata: MuData, key_added: str) -> None:
    """Refuse to overwrite what is not a sweep."""
    own = mdata.uns.get(key_added)
    if own is not None and not (isinstance(own, Mapping) and {"table", "failures"} <= set(own)):
        msg = f".uns[{key_added!r}] is taken, perhaps by a fit; pass another key_added, as {_keys.SWEEP!r}"
        raise ValueError(msg)


def choose_jobs(n_jobs: int | None, device: torch.device) -> int:
    """Return how many processes to fit in: as many as there are cores, or one on a GPU."""
    if n_jobs is None:
        return int(cpu_count()) if device.type == "cpu" else 1
    if not isinstance(n_jobs, Integral) or isinstance(n_jobs, bool) or n_jobs < 1:
        msg = f"n_jobs must be an integer of at least 1, or None for all {cpu_count()} cores, got {n_jobs!r}"
        raise ValueError(msg)
    if n_jobs > 1 and device.type != "cpu":
        msg = f"n_jobs={n_jobs}, but on {str(device)!r} fits run one after another; leave it out, or pass device='cpu'"
        raise ValueError(msg)
    return int(n_jobs)


def check_path(path: str | os.PathLike) -> Path:
    """Return the path if a file can lie there."""
    where = Path(path)
    if where.is_dir():
        msg = f"path={str(where)!r} is a folder; name a file in it, as {str(where / 'sweep.jsonl')!r}"
        raise ValueError(msg)
    if not where.parent.is_dir():
        msg = f"path={str(where)!r}: there is no folder {str(where.parent)!r}; call os.makedirs({str(where.parent)!r})"
        raise ValueError(msg)
    return where


def paired_labels(mdata: MuData, label_key: str, cells: np.ndarray) -> pd.Series:
    """Labels of the paired cells."""
    column = _mudata.obs_column(mdata, label_key).iloc[cells]
    labels = class_labels(column, label_key)
    n_missing = int(labels.isna().sum())
    if (n_classes := labels.nunique()) < 2:
        msg = (
            f"label_keys: {label_key!r} has {n_classes} classes among the {len(cells) - n_missing} cells that have "
            "one; at least 2 are needed, leave it out"
        )
        raise ValueError(msg)
    if n_missing:
        msg = (
            f"{n_missing} of {len(cells)} cells have no {label_key!r} and are left out of its classification only; "
            f"mdata.obs[{label_key!r}] names the others"
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    return labels
