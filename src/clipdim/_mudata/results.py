"""What a fit leaves in a MuData, written and read in one place."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from packaging.version import InvalidVersion, Version

from clipdim import _keys
from clipdim._mudata.pairing import pair

CELLS_PER_BLOCK = 65_536


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of a MuData with one row for each cell of ``mdata.obs_names``."""

    modalities: list[str]
    joint: np.ndarray
    """(cells x out_dim) mean over the modalities that a cell has; NaN where it has none."""
    by_modality: dict[str, np.ndarray]
    """(cells x out_dim) for each modality; rows of NaN for the cells that lack it."""
    has: np.ndarray
    """(cells x modalities) whether a cell has the modality."""
    split: pd.Series
    """``"train"``, ``"held-out"``, perhaps ``"norm set"``; missing for cells with one modality or none, and for those
    that no fit was made with."""

    def of_split(self, name: str) -> np.ndarray:
        """Which cells belong to a split and still have two modalities or more, (cells,) bool."""
        return (self.split == name).to_numpy(dtype=bool, na_value=False) & (self.has.sum(axis=1) > 1)

    def having(self, *names: str) -> np.ndarray:
        """Which cells have all of the given modalities, (cells,) bool."""
        return np.all(self.has[:, [self.modalities.index(name) for name in names]], axis=1)


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
    if not isinstance(own, Mapping) or fingerprint(own) != fingerprint(fit):
        msg = (
            f"mdata.uns[{key!r}] holds another fit than the reference's, to which the new embedding would not belong; "
            f"del mdata.uns[{key!r}], or fit the reference under another key_added"
        )
        raise ValueError(msg)


def fingerprint(fit: Mapping[str, Any]) -> str:
    """Name of a fit that no other one has, made of the weights of its encoders."""
    digest = hashlib.sha256()
    for modality, arrays in sorted(fit.get("encoders", {}).items()):
        for name, values in sorted(arrays.items()):
            digest.update(f"{modality} {name}".encode())
            digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())
    return digest.hexdigest()[:16]


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
    return _embeddings(mdata, modalities, key, mdata.obs[_keys.split(key)])


def query_embeddings(query: MuData, reference: MuData, key: str = _keys.KEY) -> Embeddings:
    """Embeddings of new cells by the encoders of a reference, of the modalities that they have."""
    fit = read_fit(reference, key)
    if not isinstance(query, MuData):
        msg = f"expected a MuData after clipdim.tl.embed, got {type(query).__name__}"
        raise TypeError(msg)
    slot = _keys.embedding(key)
    modalities = [name for name in fit["encoders"] if name in query.mod and slot in query[name].obsm]
    mend = f"run clipdim.tl.embed(query, reference, key={key!r})"
    if not modalities or slot not in query.obsm:
        msg = f"the query has no {slot!r} in .obsm of one of {list(fit['encoders'])}; {mend}"
        raise KeyError(msg)
    record = query.uns.get(_keys.embedded(key), {})
    own = query.uns.get(key)
    made_by = fingerprint(own) if isinstance(own, Mapping) and "encoders" in own else str(record.get("fit"))
    if made_by != fingerprint(fit):
        msg = f"the embedding {slot!r} of the query was not made by the encoders of this reference; {mend}"
        raise ValueError(msg)
    return _embeddings(query, modalities, key, pd.Series(np.nan, index=query.obs_names, dtype=object))


def _embeddings(mdata: MuData, modalities: Sequence[str], key: str, split: pd.Series) -> Embeddings:
    slot, rows = _keys.embedding(key), pair(mdata, modalities)
    by_modality = {}
    for column, name in enumerate(modalities):
        values = np.asarray(mdata[name].obsm[slot])
        by_modality[name] = np.full((mdata.n_obs, values.shape[1]), np.nan, dtype=np.float32)
        present = rows[:, column] >= 0
        by_modality[name][present] = values[rows[present, column]]
    return Embeddings(list(modalities), np.asarray(mdata.obsm[slot]), by_modality, rows >= 0, split)


def write_embeddings(
    mdata: MuData, embeddings: Mapping[str, np.ndarray], norms: Mapping[str, np.ndarray], *, key: str
) -> None:
    """
    Write each modality's embedding and norms, and their mean over the modalities that a cell has.

    ``embeddings[mod]`` is (cells of the modality x out_dim), ``norms[mod]`` is (cells of the modality,).
    """
    joint = mean_embedding(embeddings, pair(mdata, list(embeddings)))
    mdata.obsm.pop(_keys.complete(key), None)  # of an earlier embedding
    for name, values in embeddings.items():
        mdata[name].obsm.pop(_keys.private(key), None)
        mdata[name].obsm[_keys.embedding(key)] = values.astype(np.float32, copy=False)
        mdata[name].obs[_keys.norm(key)] = norms[name].astype(np.float32)
    mdata.obsm[_keys.embedding(key)] = joint


def write_private(mdata: MuData, private: Mapping[str, np.ndarray], complete: np.ndarray, *, key: str) -> None:
    """Write each modality's private dimensions, and shared and private ones of all cells."""
    for name, values in private.items():
        mdata[name].obsm[_keys.private(key)] = values
    mdata.obsm[_keys.complete(key)] = complete


def mean_embedding(embeddings: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """
    Mean over the modalities that a cell has, float32 (cells x out_dim), NaN where it has none.

    ``embeddings[mod]`` is (cells of the modality x out_dim); ``rows`` (cells x modalities) are those of each cell, -1
    where it lacks the modality.
    """
    joint = np.full((len(rows), next(iter(embeddings.values())).shape[1]), np.nan, dtype=np.float32)
    for start in range(0, len(rows), CELLS_PER_BLOCK):  # sums in float64 of all cells at once would take gigabytes
        block = rows[start : start + CELLS_PER_BLOCK]
        total = np.zeros((len(block), joint.shape[1]))
        for column, values in enumerate(embeddings.values()):
            present = block[:, column] >= 0
            total[present] += values[block[present, column]]
        n_present = (block >= 0).sum(axis=1, keepdims=True)
        np.divide(total, n_present, out=joint[start : start + len(block)], where=n_present > 0, casting="same_kind")
    return joint


def write_fit(mdata: MuData, fit: _keys.Fit, split: pd.Categorical, *, key: str) -> None:
    """Write the split and the record of a fit, with the version that wrote it."""
    mdata.obs[_keys.split(key)] = split
    mdata.uns.pop(_keys.embedded(key), None)  # of an earlier embedding by another fit
    mdata.uns[key] = {"version": version("clipdim"), **fit}


def write_tables(mdata: MuData, tables: Mapping[str, Any], *, outdated: Sequence[str] = (), key: str) -> None:
    """Write tables of measures, and arrays they refer to, beside the fit they belong to; remove outdated ones."""
    kept = {name: value for name, value in mdata.uns[key].items() if name not in outdated}
    mdata.uns[key] = {**kept, **tables}


def write_embedded(mdata: MuData, fit: _keys.Fit, *, key: str) -> None:
    """Write which fit the embedding of new cells comes from."""
    mdata.uns[_keys.embedded(key)] = {"version": version("clipdim"), "fit": fingerprint(fit)}
