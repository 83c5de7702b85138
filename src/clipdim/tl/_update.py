"""``tl.update``: go on training a reference with a new sample, within a bound on how far its cells move."""

from dataclasses import replace
from typing import Any

import torch
from mudata import MuData

from clipdim import _check, _keys, _mudata
from clipdim._renamed import renamed
from clipdim._warn import warn
from clipdim.contrast import Recipe
from clipdim.fitting.devices import resolve_device
from clipdim.fitting.replay import read_new_sample, replay
from clipdim.fitting.restoring import refuse_changed, stored_inputs, stored_model
from clipdim.fitting.run import run
from clipdim.fitting.settings import Settings, check_holdout, check_key_added
from clipdim.fitting.sharing import with_sharing
from clipdim.fitting.shift import Shift

# the whole rate of the fit moves old cells twice as far and matches new ones no better
SHARE_OF_LR = 0.25


@renamed(mdata="query")
def update(
    query: MuData,
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

    The result is a fit of its own, in the query's MuData; ``reference`` stays as it is. To have both in one
    embedding, call ``clipdim.tl.embed(reference, query, key=key_added)``.

    Parameters
    ----------
    query
        The new sample, preprocessed with the reference (``clipdim.pp.citeseq(query, reference=reference)``), with two
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
        Return a copy with the updated fit and leave ``query`` as it is; refused for a MuData on disk.

    Returns
    -------
    None, or the copy. Written are, with ``key`` for ``key_added``:

    ``query.obsm["X_{key}"]``, ``query[mod].obsm["X_{key}"]`` : float32 (cells x out_dim)
        Joint embedding of the new cells and that of each modality.
    ``query[mod].obs["{key}_norm"]`` : float32
        Norm of the encoder's output over its mean.
    ``query.obs["{key}_split"]`` : categorical
        ``train`` or ``held-out``; missing for cells with less than two modalities.
    ``query.uns[key]`` : dict
        What :func:`clipdim.tl.fit` writes, measured on the new sample; ``history`` is that of the training before the
        weights were taken back. ``params`` also has ``updated_from``, a fingerprint of the reference's encoders,
        ``max_shift``, ``n_reference_cells``, how many were trained on, and ``interpolation``, how far the weights stay
        from the reference's: 1 is all that was trained. ``shift`` is a DataFrame with the ``mean`` and the 95 %
        quantile ``q95`` of the shift of the reference's ``n_cells`` of each ``modality``.

    Raises
    ------
    TypeError
        If ``query`` or ``reference`` is not a MuData, or an argument is of a wrong type.
    KeyError
        If the reference holds no fit of that name, a representation is missing, or the column of the fit's
        ``batch_key``.
    ValueError
        If ``max_shift`` is out of range, ``query`` is the reference, ``key_added`` is ``key``, fewer than two
        modalities are shared, the new sample's features do not fit (see :func:`clipdim.tl.embed`), or a representation
        of the reference has changed since the fit.
    FloatingPointError
        If the loss becomes NaN or infinite. ``query`` is unchanged in all these cases.

    Warns
    -----
    UserWarning
        If ``max_shift`` leaves no room to learn.

    Notes
    -----
    What an update gains over :func:`clipdim.tl.embed`, and a new fit over both, is measured by
    ``benchmarks/atlas/update.py``: new cells are matched better; labels are transferred nearly as well without it.

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
    query = _mudata.require_mudata(query, copy=copy)
    holdout, seed = check_holdout(holdout), _check.seed(random_state)
    fit = _mudata.read_fit(reference, key)
    max_shift = _check_max_shift(max_shift, fit.params.recipe)
    if query is reference:
        msg = "the query is the reference itself; pass the new cells alone, or fit all anew with clipdim.tl.fit(mdata)"
        raise ValueError(msg)
    if check_key_added(key_added, fit.params.use_rep) == key:
        msg = f"key_added={key_added!r} is the name of the reference's fit; pass another, to keep both apart"
        raise ValueError(msg)
    names = _shared_modalities(query, fit)
    settings = Settings(device=resolve_device(device), random_state=seed, progress=progress)
    old = stored_inputs(reference, fit, _mudata.read_embeddings(reference, fit, key), names)
    new = read_new_sample(query, reference, fit, names, holdout=holdout, random_state=seed)
    both = replay(old, new, random_state=seed)
    recipe = _choose_recipe(fit, max_epochs, len(both.train))
    # inputs keep the scaling of the reference: old and new weights could not be interpolated otherwise
    slower = replace(recipe, standardize=False, lr=SHARE_OF_LR * recipe.lr)
    model = stored_model(fit, slower, names).to(settings.device)
    refuse_changed(reference, model, old, key)
    shift = Shift(model, old, max_shift)
    result = run(new, model, settings, train_on=both, afterwards=shift.bound)
    if shift.share == 0:
        msg = f"max_shift={max_shift:g} leaves no room to learn: the encoders stay as they are; pass a larger one"
        warn(msg)
    result = result.after(
        fit.params,
        use_rep=fit.params.use_rep,
        recipe=recipe,  # with the fit's rate, of which the next update takes a part
        updated_from=fit.fingerprint,
        max_shift=max_shift,
        interpolation=shift.share,
        n_reference_cells=len(both.train) - len(new.train),
    )
    # encoders of modalities that the new sample lacks stay as they are
    encoders = {**fit.encoders, **result.fit.encoders}
    result = replace(result, fit=replace(result.fit, encoders=encoders, shift=shift.table()))
    return with_sharing(result).write(query, key_added, copy=copy)


def _shared_modalities(query: MuData, fit: _mudata.Fit) -> list[str]:
    """Names of the modalities of the fit that the new sample has, two or more."""
    known = fit.params.modalities
    names = [name for name in known if name in query.mod]
    if len(names) < 2:
        msg = (
            f"the MuData has the modalities {list(query.mod)}, the reference was fitted on {known}: at least two must "
            "be the same to train on; run clipdim.tl.embed(query, reference) for new cells with one of them"
        )
        raise ValueError(msg)
    return names


def _choose_recipe(fit: _mudata.Fit, max_epochs: int | None, n_cells: int) -> Recipe:
    """Return the recipe of the fit, for as many epochs as it took and at least those that so many cells need."""
    if max_epochs is not None:
        _check.integer("max_epochs", max_epochs, least=1)
    else:
        by_recipe = replace(fit.params.recipe, max_epochs=None).n_epochs(n_cells)
        max_epochs = max(fit.params.n_epochs, by_recipe)
    return replace(fit.params.recipe, max_epochs=max_epochs)


def _check_max_shift(max_shift: Any, recipe: Recipe) -> float:
    most = 2.0 if recipe.similarity == "cosine" else None
    hint = "0.05 is usual; clipdim.tl.embed(query, reference) moves no cell"
    return _check.number("max_shift", max_shift, above=0, most=most, hint=hint)
