"""The numbers of new cells that the encoders of a reference read."""

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from clipdim import _keys
from clipdim._mudata.features import unique_names
from clipdim._mudata.fits import Fit
from clipdim._mudata.representations import representation
from clipdim._warn import warn

# share of the features that the reference uses; what they cost is measured by benchmarks/atlas/missing_features.py
MAX_MISSING = 0.2
# root mean square of the inputs in the reference's units: about 1 in another run, up to 3.5 in cells of a type that the
# reference lacks, 6 to 1,000 in raw counts (benchmarks/atlas/normalisation.py)
WARN_SPREAD = 2.5
MAX_SPREAD = 5.0
CELLS_OF_CHECK = 10_000


def match_features(wanted: pd.Index, names: pd.Index, modality: str, *, means_known: bool = True) -> np.ndarray:
    """Position in ``names`` of each feature that the reference uses, -1 for those that are missing.

    A few missing ones give a warning, because they are to count as the reference's mean; more of them an error.
    """
    rows = unique_names(names, modality).get_indexer(wanted)
    missing = wanted[rows < 0]
    what = (
        f"{len(missing)} of the {len(wanted)} features that the reference uses are missing from modality {modality!r}: "
        f"{missing[:5].tolist()}{' ...' if len(missing) > 5 else ''}"
    )
    if len(missing) > (MAX_MISSING * len(wanted) if means_known else 0):
        accepted = f"at most {MAX_MISSING:.0%} may be"
        if not means_known:
            accepted = "none may be, because a recipe with standardize=False keeps no means to stand in"
        elif len(missing) == len(wanted):
            accepted = f"that is all of them, and {accepted}"
        msg = (
            f"{what}; {accepted}. The names here are {names[:3].tolist()} ...: rename them as in the reference "
            "(symbols or Ensembl identifiers?), or make the reference anew with only the features that both have"
        )
        raise ValueError(msg)
    if len(missing):
        warn(f"{what}; they count as the reference's mean")
    return rows


def matched_representation(mdata: MuData, reference: MuData, modality: str, fit: Fit) -> np.ndarray:
    """Representation of new cells with the features of the fitted reference in the reference's order, float32."""
    use_rep = fit.params.use_rep[modality]
    query, mean, scale = mdata[modality], *(fit.encoders[modality][name] for name in ("mean", "scale"))
    standardized = bool((scale != 1).any())
    own, mend = mdata is reference, "run clipdim.pp.citeseq(query, reference=reference) on the raw counts"
    if own:
        mend = "it has changed since the fit: compute it as it was, or run clipdim.tl.fit again"
    rows = None
    if use_rep == "X" and modality in fit.features:
        wanted = pd.Index(fit.features[modality])
        rows = match_features(wanted, query.var_names, modality, means_known=standardized)
    elif use_rep == _keys.X_PCA and modality in reference.mod and not own:
        _check_same_basis(query, reference[modality], modality, mend)
    values = representation(mdata, modality, use_rep, columns=None if rows is None else rows[rows >= 0])
    if rows is not None and (rows < 0).any():
        known, values = values, np.tile(mean, (len(values), 1))
        values[:, rows >= 0] = known
    if values.shape[1] != len(mean):
        msg = (
            f"{use_rep!r} of modality {modality!r} has {values.shape[1]} features, the reference was fitted on "
            f"{len(mean)}; {mend}"
        )
        raise ValueError(msg)
    if standardized:
        some = values[:: 1 + len(values) // CELLS_OF_CHECK]
        _check_normalisation((some - mean) / scale, f"{use_rep!r} of modality {modality!r}", mend)
    return values


def _check_normalisation(inputs: np.ndarray, where: str, mend: str) -> None:
    """Refuse inputs, scaled as the encoder does it, that are too large to be of the kind it was trained on."""
    spread = float(np.sqrt(np.mean(np.square(inputs, dtype=np.float64))))
    if spread <= WARN_SPREAD:
        return
    what = (
        f"the values in {where} are {spread:.3g} times as far from the reference's mean as the reference's own cells "
        "are (root mean square)"
    )
    if spread > MAX_SPREAD:
        msg = f"{what}, at most {MAX_SPREAD:.3g} is accepted: it looks like another normalisation (raw counts?); {mend}"
        raise ValueError(msg)
    msg = f"{what}: these are cells that the reference has none of, or it is another normalisation; then {mend}"
    warn(msg)


def _check_same_basis(query: AnnData, reference: AnnData, modality: str, mend: str) -> None:
    """Refuse principal components that were learned on the new cells: their axes mean something else."""
    if _keys.X_PCA not in query.obsm:
        msg = f"modality {modality!r} of the query has no .obsm[{_keys.X_PCA!r}]; {mend}"
        raise KeyError(msg)
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
            warn(msg)
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
