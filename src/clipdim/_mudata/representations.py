"""The numbers that the encoders read: one validated float32 matrix for each modality."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from clipdim import _keys
from clipdim._mudata.reading import in_memory, is_sparse, to_float32
from clipdim._warn import warn

MAX_FEATURES_OF_X = 500


def resolve_use_rep(
    mdata: MuData, modalities: Sequence[str], use_rep: str | Mapping[str, str] | None
) -> dict[str, str]:
    """Name of the representation of each modality: a key of ``.obsm``, or ``"X"``."""
    if use_rep is None:
        chosen = {}
    elif isinstance(use_rep, str):
        modality, _, name = use_rep.partition(":")
        chosen = {modality: name} if name else dict.fromkeys(modalities, use_rep)
    elif isinstance(use_rep, Mapping) and all(isinstance(name, str) for name in use_rep.values()):
        chosen = {modality: name.removeprefix(f"{modality}:") for modality, name in use_rep.items()}
    else:
        msg = f"use_rep must be a string, or strings by modality such as {{'rna': 'X_pca'}}, got {use_rep!r}"
        raise TypeError(msg)
    unknown = [modality for modality in chosen if modality not in modalities]
    if unknown:
        msg = f"use_rep names {unknown}, which are not among the modalities {list(modalities)}"
        raise KeyError(msg)
    return {name: chosen.get(name) or _default_rep(mdata[name], name) for name in modalities}


def _default_rep(adata: AnnData, modality: str) -> str:
    if _keys.X_PCA in adata.obsm:
        return _keys.X_PCA
    if adata.n_vars <= MAX_FEATURES_OF_X:
        return "X"
    msg = (
        f"modality {modality!r} has {adata.n_vars} features and no .obsm[{_keys.X_PCA!r}]; run "
        f"clipdim.pp.citeseq(mdata), or name one of {list(adata.obsm)}: use_rep={{{modality!r}: ...}}"
    )
    raise ValueError(msg)


def representation(
    mdata: MuData, modality: str, use_rep: str | None = None, *, columns: np.ndarray | None = None
) -> np.ndarray:
    """Representation of the cells of one modality as finite float32, (cells of the modality x features).

    ``columns`` chooses features by number. Nothing but the representation is read, in blocks if it lies on disk.
    """
    adata = mdata[modality]
    use_rep = use_rep or _default_rep(adata, modality)
    if use_rep != "X" and use_rep not in adata.obsm:
        mend = " run clipdim.pp.citeseq(mdata) to make it" if use_rep == _keys.X_PCA else " compute it first"
        msg = f"modality {modality!r} has no .obsm[{use_rep!r}], only {['X', *adata.obsm]};{mend}"
        raise KeyError(msg)
    values = adata.X if use_rep == "X" else adata.obsm[use_rep]
    where = f"{use_rep!r} of modality {modality!r}"
    if values is None:
        msg = f"{where} is empty; name another representation with use_rep={{{modality!r}: ...}}"
        raise ValueError(msg)
    if isinstance(values, pd.DataFrame):
        values = values.to_numpy()
    if len(values.shape) != 2 or values.shape[1] == 0:
        msg = f"{where} has shape {values.shape}, expected (cells x features) with at least one feature"
        raise ValueError(msg)
    if values.dtype != bool and not (
        np.issubdtype(values.dtype, np.integer) or np.issubdtype(values.dtype, np.floating)
    ):
        msg = f"{where} has dtype {values.dtype}, expected real numbers"
        raise TypeError(msg)
    n_features = values.shape[1] if columns is None else len(columns)
    state = "sparse" if is_sparse(values) else "on disk" if use_rep == "X" and not in_memory(values) else None
    if state and n_features > MAX_FEATURES_OF_X:
        first = "" if in_memory(values) else "read the MuData into memory, "
        msg = (
            f"{where} is {state} with {n_features} features, at most {MAX_FEATURES_OF_X} are made dense; {first}"
            "run clipdim.pp.citeseq(mdata) and use its X_pca, or sc.pp.pca"
        )
        raise ValueError(msg)
    matrix = to_float32(values, columns)
    check_values(matrix, where)
    if use_rep == "X" and looks_like_counts(matrix):
        msg = (
            f"{where} holds non-negative integers, which look like raw counts; run clipdim.pp.citeseq(mdata) first "
            "unless they are meant"
        )
        warn(msg)
    return matrix


def check_values(matrix: np.ndarray, where: str) -> None:
    finite = np.isfinite(matrix)
    if not finite.all():
        cells = np.flatnonzero(~finite.all(axis=1))
        msg = (
            f"{where} has NaN or infinite values in {len(cells)} of {len(matrix)} cells (first in row {cells[0]}); "
            "remove those cells, or compute the representation anew"
        )
        raise ValueError(msg)
    if len(matrix) == 0:
        msg = f"{where} has no cells"
        raise ValueError(msg)


def check_varies(matrix: np.ndarray, where: str) -> None:
    """Refuse training cells whose features are all constant, warn of some constant ones."""
    constant = np.ptp(matrix, axis=0) == 0
    if constant.all():
        msg = f"every feature of {where} is constant over the training cells (all zero?), so there is nothing to learn"
        raise ValueError(msg)
    if constant.any():
        msg = f"{constant.sum()} of {len(constant)} features of {where} are constant over the training cells"
        warn(msg)


def looks_like_counts(matrix: np.ndarray) -> bool:
    sample = matrix[:1000]
    return bool(sample.min() >= 0 and sample.max() > 20 and np.array_equal(sample, np.rint(sample)))


def basis_points(mdata: MuData, basis: str) -> np.ndarray:
    """First two columns of an embedding, (cells x 2)."""
    name = basis if basis in mdata.obsm else f"X_{basis}"
    if name not in mdata.obsm:
        made = [slot for slot in mdata.obsm if slot not in mdata.mod]
        msg = (
            f'no "{basis}" in mdata.obsm, which has {", ".join(made)}; run scanpy.pp.neighbors(mdata, '
            'use_rep="X_clipdim") and scanpy.tl.umap(mdata), then pass basis="X_umap"'
        )
        raise KeyError(msg)
    points = np.asarray(mdata.obsm[name], dtype=float)
    if points.ndim != 2 or points.shape[1] < 2:
        msg = f"mdata.obsm[{name!r}] has shape {points.shape}; a map needs two columns"
        raise ValueError(msg)
    return points[:, :2]
