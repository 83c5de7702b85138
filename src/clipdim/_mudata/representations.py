"""The numbers that the encoders read: one validated float32 matrix for each modality."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from clipdim import _keys
from clipdim._mudata.reading import in_memory, is_sparse, to_float32

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
    """
    Representation of the cells of one modality as finite float32, (cells of the modality x features).

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
    _check_values(matrix, where)
    if use_rep == "X" and _looks_like_counts(matrix):
        msg = (
            f"{where} holds non-negative integers, which look like raw counts; run clipdim.pp.citeseq(mdata) first "
            "unless they are meant"
        )
        warnings.warn(msg, UserWarning, stacklevel=4)
    return matrix


def _check_values(matrix: np.ndarray, where: str) -> None:
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
        warnings.warn(msg, UserWarning, stacklevel=4)


def _looks_like_counts(matrix: np.ndarray) -> bool:
    sample = matrix[:1000]
    return bool(sample.min() >= 0 and sample.max() > 20 and np.array_equal(sample, np.rint(sample)))


def matched_representation(mdata: MuData, reference: MuData, modality: str, fit: _keys.Fit) -> np.ndarray:
    """Representation of new cells with the features of the fitted reference in the reference's order, float32."""
    use_rep = fit["params"]["use_rep"][modality]
    query = mdata[modality]
    n_features = fit["encoders"][modality]["mean"].shape[0]
    if use_rep == "X" and modality in fit["features"]:
        wanted = pd.Index(fit["features"][modality])
        rows = query.var_names.get_indexer(wanted) if query.var_names.is_unique else None
        if rows is None or (rows < 0).any():
            missing = wanted if rows is None else wanted[rows < 0]
            reason = "its feature names are not unique" if rows is None else f"{missing[:3].tolist()} ..."
            msg = (
                f"modality {modality!r} lacks {len(missing)} of the reference's {len(wanted)} features ({reason}); "
                f"it has {query.var_names[:3].tolist()} ...; rename them as in the reference"
            )
            raise ValueError(msg)
        return representation(mdata, modality, use_rep, columns=rows)
    if use_rep == _keys.X_PCA:
        _check_same_basis(query, reference[modality], modality)
    values = representation(mdata, modality, use_rep)
    if values.shape[1] != n_features:
        msg = (
            f"{use_rep!r} of modality {modality!r} has {values.shape[1]} features, the reference was fitted on "
            f"{n_features}; run clipdim.pp.citeseq(query, reference=reference)"
        )
        raise ValueError(msg)
    return values


def _check_same_basis(query: AnnData, reference: AnnData, modality: str) -> None:
    """Refuse principal components that were learned on the new cells: their axes mean something else."""
    mend = "run clipdim.pp.citeseq(query, reference=reference) on the raw counts"
    if _keys.X_PCA not in query.obsm:
        msg = f"modality {modality!r} of the query has no .obsm[{_keys.X_PCA!r}]; {mend}"
        raise ValueError(msg)
    theirs, ours = query.uns.get(_keys.PREPROCESSING), reference.uns.get(_keys.PREPROCESSING)
    if theirs is not None and ours is not None:
        same = str(theirs["basis"]) == str(ours["basis"])
    elif _keys.LOADINGS in query.varm and _keys.LOADINGS in reference.varm:
        same = _same_loadings(query, reference)
    elif ours is not None:
        same = False
    else:
        same = True
        if _keys.LOADINGS in reference.varm:
            msg = (
                f"modality {modality!r} has no .varm[{_keys.LOADINGS!r}], so its components are matched to the "
                "reference's by number; make sure that they were projected with the reference's loadings"
            )
            warnings.warn(msg, UserWarning, stacklevel=4)
    if not same:
        msg = (
            f".obsm[{_keys.X_PCA!r}] of modality {modality!r} was computed with other loadings than the reference's, "
            f"so its components cannot be matched; {mend}"
        )
        raise ValueError(msg)


def _same_loadings(query: AnnData, reference: AnnData) -> bool:
    ours = pd.DataFrame(np.asarray(reference.varm[_keys.LOADINGS]), index=reference.var_names)
    theirs = pd.DataFrame(np.asarray(query.varm[_keys.LOADINGS]), index=query.var_names)
    used = ours.index[(ours != 0).any(axis=1)]
    if ours.shape[1] != theirs.shape[1] or not theirs.index.is_unique or not used.isin(theirs.index).all():
        return False
    return bool(np.allclose(ours.loc[used], theirs.loc[used], atol=1e-6))
