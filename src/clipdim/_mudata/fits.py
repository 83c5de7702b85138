"""The record of a fit, ``mdata.uns[key]``: its entries, what files and older versions make of them, if it is whole."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from packaging.version import InvalidVersion, Version

from clipdim import _keys
from clipdim._mudata.dimensions import Dimension
from clipdim._mudata.params import Params
from clipdim._mudata.private import Private
from clipdim._mudata.records import Record
from clipdim._mudata.snapshots import Snapshots

# what is added to a fit later, each a table with at least these columns
TABLES: dict[str, tuple[str, ...]] = {
    "learning": ("share", "input_noise", "hidden_by_noise", "loss", "n_cells", "chosen"),
    "shared_dimension": ("first", "second", "group", "estimate", "low", "high", "at_least", "at_most", "reading"),
    "shared_spectrum": ("first", "second", "group", "direction", "information", "chance", "low", "high", "counted"),
    "shift": ("modality", "mean", "q95", "n_cells"),
    "private_variance": ("modality", "shared", "private", "left"),
    "match": ("split", "query", "target", "top_alpha", "foscttm"),
    "classify": ("label_key", "split", "method", "kind", "label", "accuracy", "n_cells"),
    "confusion": ("label_key", "split", "method", "label", "predicted", "n_cells"),
    "diagnose": ("check", "value", "threshold", "verdict", "reading"),
    "loadings": ("modality", "feature", "direction", "loading", "agreement"),
    "private_loadings": ("modality", "feature", "direction", "loading", "agreement"),
}
_MADE_BY = {
    "learning": "fit",
    "shared_spectrum": "shared_dimension",
    "shift": "update",
    "private_variance": "private",
    "confusion": "classify",
    "private_loadings": "loadings",
}
# they keep their categories: of 20,000 genes in 10 directions, texts would take long to make
_CATEGORICAL = ("loadings", "private_loadings")


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a fit leaves in ``mdata.uns[key]``; tables that measures add to it later are None until then."""

    params: Params
    history: pd.DataFrame
    """One row for each epoch."""
    temperature: float
    pairs: pd.DataFrame
    """One row for each pair of modalities: temperature, similarities, the dimension that the two share."""
    intrinsic_dimension: dict[str, Dimension]
    """Of each modality and, as ``"joint"``, of the joint embedding."""
    encoders: dict[str, dict[str, np.ndarray]]
    """Weights and input scaling of each modality."""
    features: dict[str, np.ndarray]
    """Names of the features of each modality that was read from ``X``."""
    version: str = field(default_factory=lambda: version("clipdim"))
    learning: pd.DataFrame | None = None
    """Validation loss of each share of what was learned beyond the start, and which one was kept."""
    shared_dimension: pd.DataFrame | None = None
    """What each pair of modalities shares: number of dimensions with an interval, information."""
    shared_spectrum: pd.DataFrame | None = None
    """Information of each direction that they share."""
    snapshots: Snapshots | None = None
    shift: pd.DataFrame | None = None
    private: Private | None = None
    private_variance: pd.DataFrame | None = None
    match: pd.DataFrame | None = None
    classify: pd.DataFrame | None = None
    confusion: pd.DataFrame | None = None
    diagnose: pd.DataFrame | None = None
    loadings: pd.DataFrame | None = None
    directions: np.ndarray | None = None
    """(out_dim x directions) unit vectors that the loadings belong to."""
    private_loadings: pd.DataFrame | None = None
    others: dict[str, Any] = field(default_factory=dict)
    """Entries that this version does not know; they are kept."""

    @property
    def fingerprint(self) -> str:
        """Name of a fit that no other one has, made of the weights of its encoders."""
        return fingerprint(self.encoders)

    def temperature_of(self, first: str, second: str) -> float:
        """Temperature of a pair of modalities; that of the fit for a pair that shares no training cell."""
        rows = (self.pairs["first"] == first) & (self.pairs["second"] == second)
        value = float(self.pairs["temperature"][rows].iloc[0]) if rows.any() else np.nan
        return self.temperature if np.isnan(value) else value

    def with_results_of(self, later: "Fit") -> "Fit":
        """Return the same fit with the tables that were added to it since."""
        names = [entry.name for entry in fields(self) if getattr(later, entry.name) is not None]
        found = replace(self, **{name: getattr(later, name) for name in names})
        # loadings of other private dimensions would mislead
        return replace(found, private_loadings=later.private_loadings) if later.private is not None else found

    def to_uns(self) -> dict[str, Any]:
        """Return nested dicts of arrays, tables, numbers and texts, as files can hold them."""
        written: dict[str, Any] = {"version": self.version}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name in ("version", "others") or value is None:
                continue
            if entry.name == "intrinsic_dimension":
                value = {name: asdict(one) for name, one in value.items()}
            written[entry.name] = value.to_uns() if hasattr(value, "to_uns") else value
        return written | self.others

    @classmethod
    def from_uns(cls, values: Mapping[str, Any], key: str) -> "Fit":
        """Read and check what :meth:`to_uns` gave, perhaps in an older version and through a file."""
        mend = f"read the file again, or run clipdim.tl.fit(mdata, key_added={key!r})"
        record = Record(values, f"mdata.uns[{key!r}]", mend)
        params = Params.from_uns(record.within("params"))
        temperature, dimensions = record.number("temperature"), record.within("intrinsic_dimension")
        encoders = _encoders(record.within("encoders"), params)
        named = {
            "params": params,
            "history": record.table("history", ["loss", "temperature", "held_out_loss"], texts=False),
            "temperature": temperature,
            "pairs": _pairs(record, params.modalities, temperature),
            "intrinsic_dimension": {
                name: Dimension.from_uns(dimensions.within(name)) for name in (*params.modalities, _keys.JOINT)
            },
            "encoders": encoders,
            "features": _features(record.within("features"), encoders),
            "version": record.text("version"),
            "snapshots": Snapshots.from_uns(record.within("snapshots")) if "snapshots" in record else None,
            "private": Private.from_uns(record.within("private"), params.out_dim) if "private" in record else None,
            "directions": record.array("directions", (params.out_dim, None)) if "directions" in record else None,
        }
        for name in (name for name in TABLES if name in record):
            function = _MADE_BY.get(name, name)
            anew = f"run clipdim.tl.{function} again, after del mdata.uns[{key!r}][{name!r}]"
            table = Record(values, record.where, anew).table(name, TABLES[name], texts=name not in _CATEGORICAL)
            named[name] = table
        known = {entry.name for entry in fields(cls)}
        return cls(**named, others={name: value for name, value in values.items() if name not in known})


def _pairs(record: Record, modalities: list[str], temperature: float) -> pd.DataFrame:
    """Table of the pairs, which versions before 0.1 did not write: two modalities had the temperature of the fit."""
    if "pairs" in record:
        return record.table("pairs", ["first", "second", "temperature", "intrinsic_dimension"])
    only = {"first": modalities[:1], "second": modalities[1:2], "temperature": temperature, "n_cells": 0}
    unknown = ("positive_similarity", "negative_similarity", "intrinsic_dimension", "low", "high")
    return pd.DataFrame({**only, **dict.fromkeys(unknown, np.nan)})


def _encoders(record: Record, params: Params) -> dict[str, dict[str, np.ndarray]]:
    """Arrays of each encoder, which must be those that the recipe makes, in the order of the modalities."""
    names = [*params.modalities, *(name for name in record.values if name not in params.modalities)]
    found = {}
    for name in names:
        own = record.within(name)
        n_features = len(own.array("mean", (None,)))
        shapes = params.recipe.encoder_shapes(n_features, params.out_dim)
        found[name] = {entry: own.array(entry, shape) for entry, shape in shapes}
        if unknown := [entry for entry in own.values if entry not in found[name]]:
            own.refuse(unknown[0], f"only {', '.join(found[name])}, as params['recipe'] has them")
    return found


def _features(record: Record, encoders: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Names of the features, of each encoder that reads them by name as many as it takes."""
    found = {name: np.array(record.texts(name), dtype=object) for name in record.values}
    for name, names in found.items():
        if name in encoders and len(names) != len(encoders[name]["mean"]):
            record.refuse(name, f"{len(encoders[name]['mean'])} names, as the encoder has features")
    return found


def is_fit(values: Any) -> bool:
    """Whether the record of a fit, whole or not, lies here."""
    return isinstance(values, Mapping) and "encoders" in values and "version" in values


def read_fit(mdata: MuData, key: str = _keys.KEY) -> Fit:
    """Return the fit in ``mdata.uns[key]`` if this version understands it and it is whole."""
    if not isinstance(mdata, MuData):
        msg = f"expected a MuData after clipdim.tl.fit, got {type(mdata).__name__}"
        raise TypeError(msg)
    found = mdata.uns.get(key)
    if found is None and _keys.embedding(key) in mdata.obsm:
        msg = (
            f"mdata.obsm[{_keys.embedding(key)!r}] came from the encoders of another MuData (clipdim.tl.embed); "
            f"there is no fit in mdata.uns[{key!r}]; call this on the MuData that clipdim.tl.fit was called on"
        )
        raise KeyError(msg)
    if not is_fit(found):
        fitted = [name for name, value in mdata.uns.items() if is_fit(value)]
        mend = f"pass key={fitted[0]!r}" if fitted else "there is none under another name either"
        where = f"there are fits named {fitted}: {mend}" if fitted else mend
        msg = f"no fit in mdata.uns[{key!r}] ({where}); run clipdim.tl.fit(mdata, key_added={key!r})"
        raise KeyError(msg)
    _refuse_newer(str(found["version"]), key)
    return Fit.from_uns(found, key)


def _refuse_newer(written: str, key: str) -> None:
    installed = version("clipdim")
    try:
        newer = Version(written).release[:2] > Version(installed).release[:2]
    except InvalidVersion:
        msg = f"mdata.uns[{key!r}]['version'] is {written!r}, not a version; fit again with clipdim.tl.fit(mdata)"
        raise ValueError(msg) from None
    if newer:
        msg = (
            f"the fit in mdata.uns[{key!r}] was written by clipdim {written}, newer than the installed "
            f"{installed}; update it: pip install --upgrade clipdim"
        )
        raise ValueError(msg)


def write_fit(mdata: MuData, fit: Fit, *, key: str) -> None:
    """Write the record of a fit."""
    mdata.uns[key] = fit.to_uns()


def holds_fit(mdata: MuData, fit: Fit, key: str, *, otherwise: bool = False) -> bool:
    """Whether this fit lies under the name; ``otherwise`` where nothing lies there."""
    own = mdata.uns.get(key)
    return otherwise if own is None else made_by(own) == fit.fingerprint


def refuse_other_fit(mdata: MuData, fit: Fit, key: str) -> None:
    """Refuse a MuData that holds a fit of its own, which embeddings by another one would not belong to."""
    if not holds_fit(mdata, fit, key, otherwise=True):
        msg = (
            f"mdata.uns[{key!r}] holds another fit than the reference's, to which the new embedding would not belong; "
            f"del mdata.uns[{key!r}], or fit the reference under another key_added"
        )
        raise ValueError(msg)


def made_by(values: Any) -> str | None:
    """Fingerprint of the fit whose record lies here, None where none does."""
    return fingerprint(values["encoders"]) if is_fit(values) else None


def fingerprint(encoders: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Hash of the weights of encoders."""
    digest = hashlib.sha256()
    for modality, arrays in sorted(encoders.items()):
        for name, values in sorted(arrays.items()):
            digest.update(f"{modality} {name}".encode())
            digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())
    return digest.hexdigest()[:16]
