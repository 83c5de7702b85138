"""Measured values of features by name, for what predicts them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim._mudata.reading import to_float32
from clipdim._mudata.representations import MAX_FEATURES_OF_X, check_values, looks_like_counts
from clipdim._warn import warn

CELLS_OF_SAMPLE = 200


def feature_columns(
    mdata: MuData, modality: str, features: Sequence[str] | None, layer: str | None = None
) -> np.ndarray:
    """Column of each feature of a modality that has values, (features,); of all, if they are not too many, for None."""
    _stored(mdata, modality, layer)
    names = unique_names(mdata[modality].var_names, modality, "reference")
    if features is None:
        if len(names) > MAX_FEATURES_OF_X:
            msg = (
                f"modality {modality!r} has {len(names)} features, without a choice at most {MAX_FEATURES_OF_X} are "
                f"taken; name those that are wanted: features={names[:2].tolist()}"
            )
            raise ValueError(msg)
        return np.arange(len(names))
    if isinstance(features, str):
        msg = f"features must be a list of names, got the string {features!r}; pass features=[{features!r}]"
        raise TypeError(msg)
    wanted = list(features)
    if not wanted:
        msg = f"features is empty; name some of {names[:5].tolist()} ..., or leave it out for all"
        raise ValueError(msg)
    if len(set(wanted)) < len(wanted):
        twice = [name for name in dict.fromkeys(wanted) if wanted.count(name) > 1]
        msg = f"features has {twice[:5]} more than once; name each feature once"
        raise ValueError(msg)
    columns = names.get_indexer(wanted)
    if (columns < 0).any():
        unknown = [name for name, column in zip(wanted, columns, strict=True) if column < 0]
        msg = (
            f"modality {modality!r} of the reference has no features {unknown[:5]}{' ...' if len(unknown) > 5 else ''} "
            f"({len(unknown)} of {len(wanted)}); it has {names[:5].tolist()} ..."
        )
        raise KeyError(msg)
    return columns


def feature_values(mdata: MuData, modality: str, columns: np.ndarray, layer: str | None = None) -> np.ndarray:
    """Values of some features, finite float32 (cells of the modality x features), of ``X`` or of a layer."""
    values, where = _stored(mdata, modality, layer)
    matrix = to_float32(values, columns)
    check_values(matrix, where)
    if layer is None and looks_like_counts(matrix):
        msg = (
            f"{where} holds non-negative integers, which look like raw counts, so what is imputed is in counts; run "
            "clipdim.pp.citeseq(reference) first, unless they are meant"
        )
        warn(msg)
    return matrix


def feature_matrix(mdata: MuData, modality: str, layer: str | None = None) -> Any:
    """Values of all features as they are stored, of ``X`` or of a layer; warns where they do not look measured."""
    values, where = _stored(mdata, modality, layer)
    unique_names(mdata[modality].var_names, modality)
    if not any(np.issubdtype(values.dtype, kind) for kind in (np.bool_, np.integer, np.floating)):
        msg = f"{where} has dtype {values.dtype}, expected real numbers"
        raise TypeError(msg)
    mend = f"name a layer with normalised values: layer={{{modality!r}: ...}}"
    sample = to_float32(values[:CELLS_OF_SAMPLE])
    if looks_like_counts(sample):
        msg = (
            f"{where} holds non-negative integers, which look like raw counts, so the number of counts of a cell has a "
            f"part in every result; run clipdim.pp.citeseq(mdata) first, or {mend}"
        )
        warn(msg)
    for name, other in mdata[modality].obsm.items():
        if tuple(getattr(other, "shape", ())) != tuple(values.shape) or isinstance(other, pd.DataFrame):
            continue
        if np.array_equal(to_float32(other[:CELLS_OF_SAMPLE]), sample):
            msg = f"{where} is .obsm[{name!r}], so its features are the dimensions of that and not what was measured"
            warn(f"{msg}; {mend}")
            break
    return values


def resolve_layers(layer: str | Mapping[str, str] | None, modalities: list[str]) -> dict[str, str]:
    """Layer of each modality that does not use ``X``."""
    if layer is not None and not isinstance(layer, (str, Mapping)):
        msg = f"layer must be the name of a layer, or names by modality such as {{{modalities[0]!r}: 'lognorm'}}, got "
        msg += f"{layer!r}"
        raise TypeError(msg)
    chosen = {} if layer is None else dict.fromkeys(modalities, layer) if isinstance(layer, str) else dict(layer)
    unknown = [name for name in chosen if name not in modalities]
    if unknown:
        msg = f"layer names {unknown}, which are not among the modalities of the fit: {modalities}"
        raise KeyError(msg)
    return chosen


def unique_names(names: pd.Index, modality: str, called: str = "mdata") -> pd.Index:
    """Return the names of features if they are unique; ``called`` is what the user calls the MuData."""
    if not names.is_unique:
        twice = names[names.duplicated()].unique()[:3].tolist()
        msg = (
            f"feature names of modality {modality!r} are not unique (for instance {twice}), so features cannot be "
            f"matched by name; call {called}[{modality!r}].var_names_make_unique() and {called}.update()"
        )
        raise ValueError(msg)
    return names


def _stored(mdata: MuData, modality: str, layer: str | None) -> tuple[Any, str]:
    """``X`` or a layer as it is stored, and its name."""
    adata = mdata[modality]
    layers = [name for name in adata.layers if name is not None]  # under None anndata 0.13 has X
    if layer is not None and not isinstance(layer, str):
        msg = f"layer must be the name of a layer, got {layer!r}; modality {modality!r} has {layers}, and X by default"
        raise TypeError(msg)
    if layer is not None and layer not in layers:
        msg = f"modality {modality!r} has no layer {layer!r}, only {layers}; leave layer out for X"
        raise KeyError(msg)
    values, where = (adata.X, "X") if layer is None else (adata.layers[layer], f"layers[{layer!r}]")
    if values is None:
        msg = f"modality {modality!r} has no X; name one of its layers {layers}: layer=..."
        raise ValueError(msg)
    return values, f"{where} of modality {modality!r}"
