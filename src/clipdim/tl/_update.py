"""``tl.update``: go on training a reference with a new sample, within a bound on how far its cells move."""

import math
import warnings
from dataclasses import asdict, replace
from numbers import Real

import numpy as np
import torch
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim.contrast import Recipe
from clipdim.tl._arguments import check_arguments, refuse_overwriting
from clipdim.tl._device import resolve_device
from clipdim.tl._replay import read_new_sample, replay
from clipdim.tl._shift import Shift
from clipdim.tl._stored import refuse_changed, stored_inputs, stored_model
from clipdim.tl._training import results_of, train_with_history

# the whole rate of the fit moves old cells twice as far and matches new ones no better
SHARE_OF_LR = 0.25


def update(
    mdata: MuData,
    reference: MuData,
    *,
    key: str = _keys.KEY,
    key_added: str = "clipdim_updated",
    max_shift: float = 0.05,
    max_epochs: int | None = None,
    holdout: float = 0.1,
    device: str | torch.device = "auto",
    random_state: int = 0,
    progress: bool = True,
    copy: bool = False,
) -> MuData | None:
    """
    Go on training a reference's encoders with a new sample, without moving the reference's cells more than allowed.

    Training starts from the reference's weights at a quarter of its learning rate, on the new cells and on training
    cells of the reference, three for each new one, so that what it knew is not forgotten. New and old cells are never
    negatives of each other: nothing is gained by telling the samples apart. If the reference's cells have then moved
    farther than ``max_shift`` on average, the weights are taken back towards the reference's, in a straight line, until
    they have not.

    The result is a fit of its own, in the new sample's MuData; ``reference`` stays as it is. To have both in one
    embedding, call ``clipdim.tl.embed(reference, mdata, key=key_added)``.

    Parameters
    ----------
    mdata
        The new sample, preprocessed with the reference (``clipdim.pp.citeseq(mdata, reference=reference)``), with two
        or more of its modalities.
    reference
        MuData after :func:`clipdim.tl.fit`, with the representations that it was fitted on.
    key
        Name of the reference's fit.
    key_added
        Name under which the updated fit is stored; another one than ``key``.
    max_shift
        How far the reference's cells may move on average: half of the squared distance between where a cell was and
        where it is, the largest mean of all modalities. With cosine similarity this is 1 less the cosine of the angle,
        above 0 and at most 2.
    max_epochs
        Epochs of the training; by default as many as the fit took, and at least those that its recipe chooses for so
        many cells.
    holdout
        Share of the new sample's paired cells that is kept out of training, for the measures.
    device
        ``"auto"`` (CUDA, else MPS, else CPU) or the name of a torch device.
    random_state
        Seed of split, replayed cells, batches and noise. Global random state is not touched.
    progress
        Show a progress bar.
    copy
        Return a copy with the updated fit and leave ``mdata`` as it is; refused for a MuData on disk.

    Returns
    -------
    None, or the copy. Written are, with ``key`` for ``key_added``:

    ``mdata.obsm["X_{key}"]``, ``mdata[mod].obsm["X_{key}"]`` : float32 (cells x out_dim)
        Joint embedding of the new cells and that of each modality.
    ``mdata[mod].obs["{key}_norm"]`` : float32
        Norm of the encoder's output over its mean.
    ``mdata.obs["{key}_split"]`` : categorical
        ``train`` or ``held-out``; missing for cells with less than two modalities.
    ``mdata.uns[key]`` : dict
        What :func:`clipdim.tl.fit` writes, measured on the new sample; ``history`` is that of the training before the
        weights were taken back. ``params`` also has ``updated_from``, a fingerprint of the reference's encoders,
        ``max_shift``, ``n_reference_cells``, how many were trained on, and ``interpolation``, how far the weights stay
        from the reference's: 1 is all that was trained. ``shift`` is a DataFrame with the ``mean`` and the 95 %
        quantile ``q95`` of the shift of the reference's ``n_cells`` of each ``modality``.

    Raises
    ------
    TypeError
        If ``mdata`` or ``reference`` is not a MuData.
    KeyError
        If the reference holds no fit of that name, a representation is missing, or the column of the fit's
        ``batch_key``.
    ValueError
        If ``max_shift`` is out of range, ``mdata`` is the reference, ``key_added`` is ``key``, fewer than two
        modalities are shared, the new sample's features do not fit (see :func:`clipdim.tl.embed`), or a representation
        of the reference has changed since the fit.
    FloatingPointError
        If the loss becomes NaN or infinite. ``mdata`` is unchanged in all these cases.

    Warns
    -----
    UserWarning
        If ``max_shift`` leaves no room to learn.

    Notes
    -----
    What an update gains over :func:`clipdim.tl.embed`, and a new fit over both, is measured by
    ``benchmarks/update.py``: new cells are matched better; labels are transferred nearly as well without it.

    References
    ----------
    Rolnick et al., Experience replay for continual learning, NeurIPS 2019; Wortsman et al., Robust fine-tuning of
    zero-shot models, CVPR 2022, for the interpolation of weights.

    Examples
    --------
    >>> import clipdim
    >>> cells = clipdim.datasets.simulate_citeseq(n_cells=400)
    >>> reference, new = cells[:300].copy(), cells[300:].copy()
    >>> clipdim.pp.citeseq(reference)
    >>> clipdim.tl.fit(reference, out_dim=8, max_epochs=4, progress=False)
    >>> clipdim.pp.citeseq(new, reference=reference)
    >>> clipdim.tl.update(new, reference, max_shift=0.02, max_epochs=2, progress=False)
    >>> bool((new.uns["clipdim_updated"]["shift"]["mean"] <= 0.02).all())
    True
    >>> clipdim.tl.embed(reference, new, key="clipdim_updated")
    """
    mdata = _mudata.require_mudata(mdata, copy=copy)
    check_arguments(out_dim=1, holdout=holdout, random_state=random_state, key_added=key_added)
    fit, seed = _mudata.read_fit(reference, key), int(random_state)
    recipe = Recipe.from_stored(fit["params"]["recipe"])
    _check_max_shift(max_shift, recipe)
    if mdata is reference:
        msg = "mdata is the reference itself; pass the new cells alone, or fit all anew with clipdim.tl.fit(mdata)"
        raise ValueError(msg)
    if key_added == key:
        msg = f"key_added={key_added!r} is the name of the reference's fit; pass another, to keep both apart"
        raise ValueError(msg)
    refuse_overwriting(key_added, fit["params"]["use_rep"])
    known = [str(name) for name in fit["params"]["modalities"]]
    names = [name for name in known if name in mdata.mod]
    if len(names) < 2:
        msg = (
            f"the MuData has the modalities {list(mdata.mod)}, the reference was fitted on {known}: at least two must "
            "be the same to train on; run clipdim.tl.embed(mdata, reference) for new cells with one of them"
        )
        raise ValueError(msg)
    torch_device = resolve_device(device)
    old = stored_inputs(reference, fit, _mudata.paired_embeddings(reference, key), names)
    new = read_new_sample(mdata, reference, fit, names, recipe, holdout=holdout, random_state=seed)
    both = replay(old, new, random_state=seed)
    if max_epochs is None:
        by_recipe = replace(recipe, max_epochs=None).n_epochs(len(both.train))
        max_epochs = max(int(fit["params"]["n_epochs"]), by_recipe)
    # inputs keep the scaling of the reference: old and new weights could not be interpolated otherwise
    settings = replace(recipe, standardize=False, lr=SHARE_OF_LR * recipe.lr, max_epochs=max_epochs)
    model = stored_model(fit, settings, names).to(torch_device)
    refuse_changed(reference, model, old, key)
    shift = Shift(model, old)
    history = train_with_history(model, both, group=None, random_state=seed, n_epochs=max_epochs, progress=progress)
    share = shift.bound(float(max_shift))
    if share == 0:
        msg = f"max_shift={max_shift:g} leaves no room to learn: the encoders stay as they are; pass a larger one"
        warnings.warn(msg, UserWarning, stacklevel=2)
    result, embeddings, norms = results_of(model, new, history)
    # encoders of modalities that the new sample lacks stay as they are
    result["encoders"] = {**fit["encoders"], **result["encoders"]}
    result["features"] = dict(fit["features"])
    result["shift"] = shift.table()
    result["params"] = {
        **fit["params"],
        "modalities": np.array(names, dtype=object),
        "holdout": float(holdout),
        "random_state": seed,
        "device": str(torch_device),
        "n_epochs": len(history),
        "recipe": {**asdict(recipe), "max_epochs": max_epochs},  # the fit's rate, of which the next update takes a part
        "updated_from": _mudata.fingerprint(fit),
        "max_shift": float(max_shift),
        "interpolation": share,
        "n_reference_cells": len(both.train) - len(new.train),
    }
    target = mdata.copy() if copy else mdata
    _mudata.write_embeddings(target, embeddings, norms, key=key_added)
    _mudata.write_fit(target, result, new.split(), key=key_added)
    return target if copy else None


def _check_max_shift(max_shift: float, recipe: Recipe) -> None:
    most = 2.0 if recipe.similarity == "cosine" else math.inf
    if not isinstance(max_shift, Real) or isinstance(max_shift, bool) or not 0 < float(max_shift) <= most:
        msg = (
            f"max_shift must be a number above 0 and at most {most:g}, for instance 0.05, got {max_shift!r}; "
            "clipdim.tl.embed(mdata, reference) moves no cell"
        )
        raise ValueError(msg)
