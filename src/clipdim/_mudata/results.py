"""What a fit leaves in a MuData, written and read in one place."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pandas as pd
from mudata import MuData
from packaging.version import InvalidVersion, Version

from clipdim import _keys
from clipdim._mudata.pairing import pair

CELLS_PER_BLOCK = 65_536


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of a fitted MuData with one row for each cell of ``mdata.obs_names``."""

    modalities: list[str]
    joint: np.ndarray
    """(cells x out_dim) mean over the modalities that a cell has; NaN where it has none."""
    by_modality: dict[str, np.ndarray]
    """(cells x out_dim) for each modality; rows of NaN for the cells that lack it."""
    split: pd.Series
    """``"train"``, ``"held-out"``, perhaps ``"norm set"``; missing for cells that lack a modality."""
    observed: np.ndarray
    """True for the cells that have all the modalities."""


def read_fit(mdata: MuData, key: str = _keys.KEY) -> _keys.Fit:
    """Return ``mdata.uns[key]`` if a fit that this version understands lies there."""
    if not isinstance(mdata, MuData):
        msg = f"expected a MuData after clipdim.tl.fit, got {type(mdata).__name__}"
        raise TypeError(msg)
    fit = mdata.uns.get(key)
    if fit is None and _keys.embedding(key) in mdata.obsm:
        msg = (
            f"mdata.obsm[{_keys.embedding(key)!r}] came from the encoders of another MuData (clipdim.tl.embed); "
            f"there is no fit in mdata.uns[{key!r}]; call this on the MuData that clipdim.tl.fit was called on"
        )
        raise KeyError(msg)
    if not isinstance(fit, Mapping) or "encoders" not in fit or "version" not in fit:
        fitted = [name for name, value in mdata.uns.items() if isinstance(value, Mapping) and "encoders" in value]
        mend = f"pass key={fitted[0]!r}" if fitted else "there is none under another name either"
        found = f"there are fits named {fitted}: {mend}" if fitted else mend
        msg = f"no fit in mdata.uns[{key!r}] ({found}); run clipdim.tl.fit(mdata, key_added={key!r})"
        raise KeyError(msg)
    try:
        written = Version(str(fit["version"]))
    except InvalidVersion:
        msg = (
            f"mdata.uns[{key!r}]['version'] is {fit['version']!r}, not a version; fit again with clipdim.tl.fit(mdata)"
        )
        raise ValueError(msg) from None
    installed = version("clipdim")
    if written.release[:2] > Version(installed).release[:2]:
        msg = (
            f"the fit in mdata.uns[{key!r}] was written by clipdim {written}, newer than the installed "
            f"{installed}; update it: pip install --upgrade clipdim"
        )
        raise ValueError(msg)
    return fit  # type: ignore[return-value]


def refuse_other_fit(mdata: MuData, fit: _keys.Fit, key: str) -> None:
    """Refuse a MuData that holds a fit of its own, which embeddings by another one would not belong to."""
    own = mdata.uns.get(key)
    if own is None or own is fit:
        return
    theirs = own.get("encoders", {}) if isinstance(own, Mapping) else {}
    same = theirs.keys() == fit["encoders"].keys() and all(
        np.array_equal(theirs[name]["layers.0.weight"], arrays["layers.0.weight"])
        for name, arrays in fit["encoders"].items()
    )
    if not same:
        msg = (
            f"mdata.uns[{key!r}] holds another fit than the reference's, to which the new embedding would not belong; "
            f"del mdata.uns[{key!r}], or fit the reference under another key_added"
        )
        raise ValueError(msg)


def paired_embeddings(mdata: MuData, key: str = _keys.KEY) -> Embeddings:
    """Embeddings of a fitted MuData, every one in the order of ``mdata.obs_names``."""
    modalities = [str(name) for name in read_fit(mdata, key)["params"]["modalities"]]
    slot = _keys.embedding(key)
    missing = [name for name in modalities if name not in mdata.mod or slot not in mdata[name].obsm]
    if missing or slot not in mdata.obsm or _keys.split(key) not in mdata.obs:
        msg = (
            f"the embedding {slot!r} is missing from {missing or 'mdata.obsm or mdata.obs'}; "
            f"run clipdim.tl.fit(mdata, key_added={key!r}) again"
        )
        raise KeyError(msg)
    rows = pair(mdata, modalities)
    by_modality = {}
    for column, name in enumerate(modalities):
        values = np.asarray(mdata[name].obsm[slot])
        by_modality[name] = np.full((mdata.n_obs, values.shape[1]), np.nan, dtype=np.float32)
        present = rows[:, column] >= 0
        by_modality[name][present] = values[rows[present, column]]
    return Embeddings(
        modalities=modalities,
        joint=np.asarray(mdata.obsm[slot]),
        by_modality=by_modality,
        split=mdata.obs[_keys.split(key)],
        observed=np.all(rows >= 0, axis=1),
    )


def write_embeddings(
    mdata: MuData, embeddings: Mapping[str, np.ndarray], norms: Mapping[str, np.ndarray], *, key: str
) -> None:
    """
    Write each modality's embedding and norms, and their mean over the modalities that a cell has.

    ``embeddings[mod]`` is (cells of the modality x out_dim), ``norms[mod]`` is (cells of the modality,).
    """
    modalities = list(embeddings)
    rows = pair(mdata, modalities)
    joint = np.full((mdata.n_obs, next(iter(embeddings.values())).shape[1]), np.nan, dtype=np.float32)
    for start in range(0, mdata.n_obs, CELLS_PER_BLOCK):  # sums in float64 of all cells at once would take gigabytes
        block = rows[start : start + CELLS_PER_BLOCK]
        total = np.zeros((len(block), joint.shape[1]))
        for column, name in enumerate(modalities):
            present = block[:, column] >= 0
            total[present] += embeddings[name][block[present, column]]
        n_present = (block >= 0).sum(axis=1, keepdims=True)
        np.divide(total, n_present, out=joint[start : start + len(block)], where=n_present > 0, casting="same_kind")
    for name in modalities:
        mdata[name].obsm[_keys.embedding(key)] = embeddings[name].astype(np.float32, copy=False)
        mdata[name].obs[_keys.norm(key)] = norms[name].astype(np.float32)
    mdata.obsm[_keys.embedding(key)] = joint


def write_fit(mdata: MuData, fit: _keys.Fit, split: pd.Categorical, *, key: str) -> None:
    """Write the split and the record of a fit, with the version that wrote it."""
    mdata.obs[_keys.split(key)] = split
    mdata.uns[key] = {"version": version("clipdim"), **fit}


def write_tables(mdata: MuData, tables: Mapping[str, pd.DataFrame], *, key: str) -> None:
    """Write tables of measures beside the fit they belong to."""
    mdata.uns[key] = {**mdata.uns[key], **tables}
