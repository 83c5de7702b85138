"""``tl.reduce``: the second stage, from a large embedding to one of its intrinsic dimension."""

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from mudata import MuData

from clipdim import _check, _keys, _mudata
from clipdim._renamed import renamed
from clipdim.contrast import ContrastiveModel, Recipe
from clipdim.contrast.distillation import Distillation, principal_axes
from clipdim.fitting.devices import resolve_device
from clipdim.fitting.restoring import refuse_changed, stored_inputs, stored_model
from clipdim.fitting.run import run
from clipdim.fitting.settings import Settings, check_key_added, warn_of_one_dimension

MAX_BATCH = 4096
# without it bmcite keeps .949 of the matching
SPARE_DIMENSIONS = 1
METHODS = ("distill", "refit", "pca")


@renamed(n_dims="out_dim")
def reduce(
    mdata: MuData,
    out_dim: int | Literal["auto"] = "auto",
    *,
    key: str = _keys.KEY,
    key_added: str = "clipdim_reduced",
    method: Literal["distill", "refit", "pca"] = "distill",
    max_epochs: int | None = None,
    device: str | torch.device = "auto",
    random_state: int = 0,
    progress: bool = True,
    copy: bool = False,
) -> MuData | None:
    """
    Second stage: reduce a fitted embedding to its intrinsic dimension.

    The encoders' outputs are projected on the first principal axes of the joint embedding of the training cells, the
    same for all modalities; the projection becomes part of the last layers, so new cells are embedded by
    ``clipdim.tl.embed(query, mdata, key=key_added)`` as by any fit. Training goes on from there, by default to imitate
    the similarities of the large embedding.

    Parameters
    ----------
    mdata
        MuData after :func:`clipdim.tl.fit`, with the representations that it was fitted on.
    out_dim
        Dimensions of the reduced embedding, at most those of the fit. ``"auto"`` takes the most dimensions that two of
        the modalities share (``at_most`` of :func:`clipdim.tl.shared_dimension`) and adds one to spare, and another
        where the similarity is the cosine: cells then lie on a sphere, which needs one dimension more than it has.
        With three modalities and more, or where shared dimensions were not counted, the upper end of the joint
        intrinsic dimension's interval counts if that is more.
    key
        Name of the fit.
    key_added
        Name under which the reduced fit is stored; another one than ``key``.
    method
        ``"distill"``: project, then learn the similarities that the large encoders give to training cells with noise.
        ``"refit"``: project, then train as the fit did. ``"pca"``: project only, in no time.
    max_epochs
        Epochs of the training; by default as many as the fit took.
    device
        ``"auto"`` (CUDA, else MPS, else CPU) or the name of a torch device.
    random_state
        Seed of batches and noise. Global random state is not touched.
    progress
        Show a progress bar.
    copy
        Return a copy with the reduced fit and leave ``mdata`` as it is; refused for a MuData on disk.

    Returns
    -------
    None, or the copy. Written are, with ``key`` for ``key_added``:

    ``mdata.obsm["X_{key}"]``, ``mdata[mod].obsm["X_{key}"]`` : float32 (cells x out_dim)
        Joint embedding and that of each modality.
    ``mdata[mod].obs["{key}_norm"]`` : float32
        Norm of the encoder's output over its mean.
    ``mdata.obs["{key}_split"]`` : categorical
        The split of the fit.
    ``mdata.uns[key]`` : dict
        What :func:`clipdim.tl.fit` writes, what modalities share as the fit ``key`` has it; ``params`` also has
        ``reduced_from`` and ``method``. The ``loss`` in
        ``history`` is that of the training, for ``"distill"`` the cross-entropy; ``"pca"`` leaves one row without.

    Raises
    ------
    TypeError
        If ``mdata`` is not a MuData, or ``out_dim`` neither an integer nor ``"auto"``.
    KeyError
        If there is no fit of that name, or a representation is missing.
    ValueError
        If ``out_dim`` is below 1 or above the fit's, is ``"auto"`` and the fit has no dimension or one above its
        ``out_dim``; if ``key_added`` is ``key``; if a representation has changed since the fit.
    FloatingPointError
        If the loss becomes NaN or infinite. ``mdata`` is unchanged in all these cases.

    Notes
    -----
    Of 32 dimensions' top-0.5 % matching of held-out cells (``benchmarks/dimension/reduction.py``), 8 keep .97 on
    pbmc10k, 9 .96 on bmcite by ``"distill"``, .85 and .87 by ``"pca"``; 15-NN accuracy .99 to 1. Only size
    shrinks, not the time to embed.

    References
    ----------
    Gui, Ma and Ma (NeurIPS 2025), conclusion: two-stage fitting; Hinton, Vinyals and Dean, arXiv 1503.02531.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> clipdim.tl.reduce(mdata, out_dim=3, progress=False)
    >>> mdata.obsm["X_clipdim_reduced"].shape
    (300, 3)
    """
    mdata = _mudata.require_mudata(mdata, copy=copy)
    seed = _check.seed(random_state)
    _check.choice("method", method, METHODS)
    fit = _mudata.read_fit(mdata, key)
    if check_key_added(key_added, fit.params.use_rep) == key:
        msg = f"key_added={key_added!r} would overwrite the fit that is reduced; pass another name"
        raise ValueError(msg)
    n_columns = _choose_out_dim(out_dim, fit, key)
    recipe = _choose_recipe(fit, method, max_epochs)
    warn_of_one_dimension(n_columns, recipe, "pass a larger out_dim")
    settings = Settings(device=resolve_device(device), random_state=seed, progress=progress)
    stored = _mudata.read_embeddings(mdata, fit, key)
    data = stored_inputs(mdata, fit, stored, stored.modalities)
    large = stored_model(fit, recipe, stored.modalities).to(settings.device)
    refuse_changed(mdata, large, data, key)
    axes = principal_axes(stored.joint[data.train], n_columns)
    model = large.project(torch.from_numpy(axes).to(settings.device))
    if method != "pca":
        _warm_up(model, recipe)
    objective = Distillation(large) if method == "distill" else None
    result = run(data, model, settings, objective=objective, trained=method != "pca")
    # what modalities share is not changed by fewer columns
    kept = replace(result.fit, shared_dimension=fit.shared_dimension, shared_spectrum=fit.shared_spectrum)
    result = replace(result, fit=kept)
    return result.after(fit.params, reduced_from=key, method=method).write(mdata, key_added, copy=copy)


def _choose_recipe(fit: _mudata.Fit, method: str, max_epochs: int | None) -> Recipe:
    """Return the recipe of the fit for as many epochs as it took."""
    if max_epochs is not None:
        _check.integer("max_epochs", max_epochs, least=1)
    # a linear start, or a fit that was itself reduced by "pca", took none
    recipe = replace(fit.params.recipe, max_epochs=max_epochs or fit.params.n_epochs or None)
    # the similarities of a minibatch are in memory at once
    return replace(recipe, batch_size=min(recipe.batch_size, MAX_BATCH)) if method == "distill" else recipe


def _warm_up(model: ContrastiveModel, recipe: Recipe) -> None:
    """Let no temperature begin below that of an untrained model."""
    model.set_temperature([max(recipe.initial_temperature, value) for value in model.temperatures().tolist()])


def _choose_out_dim(out_dim: Any, fit: _mudata.Fit, key: str) -> int:
    """Check the number of dimensions, or take it from the fit."""
    most = fit.params.out_dim
    if not (isinstance(out_dim, str) and out_dim == "auto"):
        return _check.integer(
            "out_dim", out_dim, least=1, most=most, hint=f"the fit {key!r} has {most}, 'auto' chooses"
        )
    found = _largest_dimension(fit)
    if math.isnan(found):
        msg = (
            f"the cells of the fit {key!r} are too few for a dimension; run clipdim.tl.shared_dimension(mdata, "
            f"key={key!r}), or pass out_dim as an integer"
        )
        raise ValueError(msg)
    chosen = math.ceil(found) + SPARE_DIMENSIONS + (fit.params.recipe.similarity == "cosine")
    if chosen > most:
        msg = (
            f"the modalities of the fit {key!r} share up to {found:.3g} dimensions, which takes {chosen}, and the fit "
            f"has {most}; fit with a larger out_dim, or pass out_dim"
        )
        raise ValueError(msg)
    return max(1, chosen)


def _largest_dimension(fit: _mudata.Fit) -> float:
    """Return the upper bound of what is shared; NaN where nothing was counted."""
    table, joint = fit.shared_dimension, fit.intrinsic_dimension[_keys.JOINT].high
    shared = math.nan if table is None else float(table.query("group == 'all'")["at_most"].max())
    if len(fit.params.modalities) > 2 or math.isnan(shared):  # what others share is not in a pair
        return float(np.fmax(shared, joint))
    return shared
