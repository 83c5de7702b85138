"""``tl.private``: what each modality knows that the other does not, beside the shared embedding."""

from dataclasses import replace

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _check, _keys, _mudata
from clipdim._warn import warn
from clipdim.evaluation.private import PrivateMap
from clipdim.fitting.monitor import MIN_CELLS
from clipdim.fitting.restoring import refuse_changed, stored_inputs, stored_model

NO_SIGNAL = 0.01


def private(mdata: MuData, n_dims: int = 20, *, weight: float = 0.7, key: str = _keys.KEY) -> pd.DataFrame:
    """
    Add private dimensions: what each modality knows that the shared embedding does not tell.

    The shared embedding holds what the modalities have in common; a cell type that one of them alone sees is lost from
    it. Here the linear prediction of a modality's representation from the joint embedding is taken away, and the first
    principal components of what is left are its private dimensions. Shared and private dimensions side by side are the
    complete embedding.

    Afterwards :func:`clipdim.tl.embed` gives new cells private dimensions too.

    Parameters
    ----------
    mdata
        MuData after :func:`clipdim.tl.fit`, with the representations that it was fitted on.
    n_dims
        Private dimensions of each modality; fewer where its representation has fewer features.
    weight
        Length of the private dimensions in the complete embedding over their length in the data. Below 1, since more of
        their variance is noise; with 0.7 cell types were kept well on all data of
        ``benchmarks/interpretation/private.py``.
    key
        Name of the fit.

    Returns
    -------
    Table with one row for each ``modality``: the shares of its representation's variance that the joint embedding tells
    (``shared``), that the private dimensions have (``private``) and that is left (``left``), measured on ``n_cells``
    ``cells``: held-out ones, or training ones where a modality has too few. Written are

    ``mdata[mod].obsm["X_{key}_private"]`` : float32 (cells x private dimensions)
        Private dimensions, in units of the root of the representation's total variance.
    ``mdata.obsm["X_{key}_complete"]`` : float32 (cells x out_dim and all private dimensions)
        The shared embedding, centred and as long as the variance that it tells of the modalities, then each modality's
        private dimensions times ``weight``; 0, their mean, for a modality that a cell lacks. Shared ones are NaN for a
        cell that has no modality.
    ``mdata.uns[key]["private"]``, ``mdata.uns[key]["private_variance"]``
        The maps, for new cells, and the table. Loadings of earlier private dimensions are removed.

    Raises
    ------
    TypeError
        If ``mdata`` is not a MuData, ``n_dims`` not an integer, or ``weight`` not a number.
    KeyError
        If there is no fit of that name, or a representation is missing.
    ValueError
        If ``n_dims`` or ``weight`` is not positive, or a representation has changed since the fit. ``mdata``
        is unchanged in all these cases.

    Warns
    -----
    UserWarning
        If less than 1 % of a modality's variance is outside the shared embedding: it has no private signal.

    Notes
    -----
    The prediction is a ridge regression, which reads little from the axes along which the joint embedding hardly
    varies, where there is more of what one modality alone tells than of what they share. Private dimensions are
    therefore uncorrelated with each other over the training cells but not quite with those axes, and ``shared`` is a
    little less than an ordinary regression would find.

    Noise of a modality is private too, and so are differences between batches that the modality alone shows. For cells
    that lack the other modalities the joint embedding is the modality's own, which tells more of it, so their private
    dimensions are shorter.

    References
    ----------
    Rao, The use and interpretation of principal component analysis in applied research, Sankhya A 1964 (components of
    residuals); Lock et al., Annals of Applied Statistics 2013 (joint and individual variation).

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=4, progress=False)
    >>> table = clipdim.tl.private(mdata, n_dims=3)
    >>> table["modality"].tolist(), mdata.obsm["X_clipdim_complete"].shape
    (['rna', 'prot'], (300, 14))
    """
    mdata = _mudata.require_mudata(mdata)
    n_dims = _check.integer("n_dims", n_dims, least=1, hint="20 is usual")
    weight = _check.number("weight", weight, above=0, hint="0.7 is usual")
    fit = _mudata.read_fit(mdata, key)
    stored = _mudata.read_embeddings(mdata, fit, key)
    data = stored_inputs(mdata, fit, stored, stored.modalities, with_batches=False)
    refuse_changed(mdata, stored_model(fit, fit.params.recipe, stored.modalities), data, key)

    joint = stored.mean(stored.modalities)  # that of .obsm may be older than the modalities' cells
    maps, table, shared = {}, [], 0.0
    for column, (name, values) in enumerate(data.values.items()):
        own = data.rows[:, column]
        train = data.train[own[data.train] >= 0]
        if len(train) < 2:
            msg = f"the MuData has {len(train)} cells with {name!r} that the fit was trained on; pass the whole one"
            raise ValueError(msg)
        measured, split = stored.measured(MIN_CELLS, name)
        maps[name] = learned = PrivateMap.learn(values[own[train]], joint[train], n_dims=n_dims)
        residual = learned.residual(values[own[train]], joint[train])
        shared += max(0.0, 1 - float(residual.var(axis=0, dtype=np.float64).sum()))
        shares = _shares(learned, values[own[measured]], joint[measured])
        table.append({"modality": name, **shares, "n_cells": len(measured), "cells": split})
        if 1 - shares["shared"] < NO_SIGNAL:
            msg = (
                f"modality {name!r} has no private signal: {1 - shares['shared']:.1%} of its variance is outside "
                "the shared embedding, so its private dimensions are noise"
            )
            warn(msg)
    of_train = joint[data.train]
    record = _mudata.Private(
        maps=maps,
        weight=weight,
        joint_mean=of_train.mean(axis=0, dtype=np.float64).astype(np.float32),
        joint_scale=float(np.sqrt(shared / of_train.var(axis=0, dtype=np.float64).sum())),
    )
    _mudata.write_private(mdata, *record.of_cells(data.values, joint, data.rows), key=key)
    variance = pd.DataFrame(table)
    # loadings of earlier private dimensions would mislead
    fit = replace(fit, private=record, private_variance=variance, private_loadings=None)
    _mudata.write_fit(mdata, fit, key=key)
    return variance.copy()


def _shares(learned: PrivateMap, values: np.ndarray, joint: np.ndarray) -> dict[str, float]:
    """Shares of the variance that the joint embedding tells, that private dimensions have, and the rest."""
    total = (values / np.float32(learned.spread)).var(axis=0, dtype=np.float64).sum()
    residual = learned.residual(values, joint)
    outside = residual.var(axis=0, dtype=np.float64).sum() / total
    own = (residual @ learned.axes).var(axis=0, dtype=np.float64).sum() / total
    return {"shared": float(1 - outside), "private": float(own), "left": float(outside - own)}
