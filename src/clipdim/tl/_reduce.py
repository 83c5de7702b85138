"""``tl.reduce``: the second stage, from a large embedding to one of its intrinsic dimension."""

import math
import warnings
from dataclasses import asdict, replace
from numbers import Integral
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim.contrast import ContrastiveModel, Recipe
from clipdim.contrast.distillation import Distillation, principal_axes
from clipdim.tl._arguments import check_arguments, refuse_overwriting
from clipdim.tl._device import resolve_device
from clipdim.tl._monitor import MAX_CELLS, Monitor
from clipdim.tl._stored import refuse_changed, stored_inputs, stored_model
from clipdim.tl._training import results_of, train_with_history

MAX_BATCH = 4096
# without it bmcite keeps .949 of the matching
SPARE_DIMENSIONS = 1
METHODS = ("distill", "refit", "pca")


def reduce(
    mdata: MuData,
    n_dims: int | Literal["auto"] = "auto",
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
    n_dims
        Dimensions of the reduced embedding, at most those of the fit. ``"auto"`` rounds the upper end of the joint
        intrinsic dimension's interval up and adds one to spare, and another where the similarity is the cosine: cells
        then lie on a sphere, which needs one dimension more than it has.
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

    ``mdata.obsm["X_{key}"]``, ``mdata[mod].obsm["X_{key}"]`` : float32 (cells x n_dims)
        Joint embedding and that of each modality.
    ``mdata[mod].obs["{key}_norm"]`` : float32
        Norm of the encoder's output over its mean.
    ``mdata.obs["{key}_split"]`` : categorical
        The split of the fit.
    ``mdata.uns[key]`` : dict
        What :func:`clipdim.tl.fit` writes; ``params`` also has ``reduced_from`` and ``method``. The ``loss`` in
        ``history`` is that of the training, for ``"distill"`` the cross-entropy; ``"pca"`` leaves one row without.

    Raises
    ------
    TypeError
        If ``mdata`` is not a MuData, or ``n_dims`` neither an integer nor ``"auto"``.
    KeyError
        If there is no fit of that name, or a representation is missing.
    ValueError
        If ``n_dims`` is below 1 or above the fit's, is ``"auto"`` and the fit has no joint intrinsic dimension or one
        above its ``out_dim``; if ``key_added`` is ``key``; if a representation has changed since the fit.
    FloatingPointError
        If the loss becomes NaN or infinite. ``mdata`` is unchanged in all these cases.

    Notes
    -----
    Of 32 dimensions' top-0.5 % matching of held-out cells (``benchmarks/reduction.py``) 8 keep .97 on pbmc10k, 9 .96 on
    bmcite by ``"distill"``, .85 and .87 by ``"pca"``; 15-NN accuracy .99 to 1. Only size shrinks, not embedding time.

    References
    ----------
    Gui, Ma and Ma (NeurIPS 2025), conclusion: two-stage fitting; Hinton, Vinyals and Dean, arXiv 1503.02531.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> clipdim.tl.reduce(mdata, n_dims=3, progress=False)
    >>> mdata.obsm["X_clipdim_reduced"].shape
    (300, 3)
    """
    mdata = _mudata.require_mudata(mdata, copy=copy)
    check_arguments(out_dim=1, holdout=0, random_state=random_state, key_added=key_added)
    if method not in METHODS:
        msg = f"method={method!r} is unknown; choose one of {list(METHODS)}"
        raise ValueError(msg)
    if key_added == key:
        msg = f"key_added={key_added!r} would overwrite the fit that is reduced; pass another name"
        raise ValueError(msg)
    fit, seed = _mudata.read_fit(mdata, key), int(random_state)
    out_dim = _choose_n_dims(n_dims, fit, key)
    # a fit that was itself reduced by "pca" took none
    n_epochs = max(1, int(fit["params"]["n_epochs"])) if max_epochs is None else max_epochs
    settings = replace(Recipe.from_stored(fit["params"]["recipe"]), max_epochs=n_epochs)
    if method == "distill":  # the similarities of a minibatch are in memory at once
        settings = replace(settings, batch_size=min(settings.batch_size, MAX_BATCH))
    refuse_overwriting(key_added, fit["params"]["use_rep"])
    if out_dim == 1 and settings.similarity == "cosine":
        msg = "with n_dims=1 and cosine similarity cells lie at 1 or -1; pass a larger n_dims"
        warnings.warn(msg, UserWarning, stacklevel=2)
    torch_device = resolve_device(device)
    stored = _mudata.paired_embeddings(mdata, key)
    data = stored_inputs(mdata, fit, stored, stored.modalities)
    large = stored_model(fit, settings, stored.modalities).to(torch_device)
    refuse_changed(mdata, large, data, key)
    model = large.project(torch.from_numpy(principal_axes(stored.joint[data.train], out_dim)).to(torch_device))
    if method == "pca":
        history = _measure(model, data)
    else:
        model.set_temperature([max(settings.initial_temperature, value) for value in large.temperatures().tolist()])
        history = train_with_history(
            model,
            data,
            objective=Distillation(large) if method == "distill" else None,
            group=None,
            random_state=seed,
            n_epochs=n_epochs,
            progress=progress,
        )
    result, embeddings, norms = results_of(model.eval(), data, history)
    params = {"out_dim": out_dim, "random_state": seed, "device": str(torch_device), "recipe": asdict(settings)}
    params |= {"n_epochs": 0 if method == "pca" else len(history), "reduced_from": key, "method": method}
    result["params"] = {**fit["params"], **params}
    result["features"] = dict(fit["features"])
    target = mdata.copy() if copy else mdata
    _mudata.write_embeddings(target, embeddings, norms, key=key_added)
    _mudata.write_fit(target, result, pd.Categorical(stored.split), key=key_added)
    return target if copy else None


def _choose_n_dims(n_dims: Any, fit: _keys.Fit, key: str) -> int:
    """Check the number of dimensions, or take it from the fit."""
    out_dim = int(fit["params"]["out_dim"])
    if isinstance(n_dims, str) and n_dims == "auto":
        found = fit["intrinsic_dimension"][_keys.JOINT]
        if not math.isfinite(found["high"]):
            msg = f"the joint intrinsic dimension of the fit {key!r} is {found['estimate']}; pass n_dims as an integer"
            raise ValueError(msg)
        chosen = math.ceil(found["high"]) + SPARE_DIMENSIONS + (fit["params"]["recipe"]["similarity"] == "cosine")
        if chosen > out_dim:
            msg = (
                f"the joint intrinsic dimension of the fit {key!r} is up to {found['high']:.2f}, which takes {chosen}, "
                f"and the fit has {out_dim}; fit with a larger out_dim, or pass n_dims"
            )
            raise ValueError(msg)
        return max(1, chosen)
    if not isinstance(n_dims, Integral) or isinstance(n_dims, bool):
        msg = f"n_dims must be an integer or 'auto', got {n_dims!r}"
        raise TypeError(msg)
    chosen = int(n_dims)
    if not 1 <= chosen <= out_dim:
        msg = f"n_dims must be at least 1 and at most {out_dim}, the out_dim of the fit {key!r}; got {chosen}"
        raise ValueError(msg)
    return chosen


def _measure(model: ContrastiveModel, data: _mudata.Inputs) -> pd.DataFrame:
    """Fix the mean norms and return a history of one row, for a model that is not trained."""
    device = model.temperature_parameter.device

    def tensors_of(cells: np.ndarray) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        values, rows = data.of(cells)
        tensors = {name: torch.from_numpy(x).to(device) for name, x in values.items()}
        return tensors, None if rows is None else torch.from_numpy(rows).to(device)

    model.fix_mean_norms(tensors_of(data.norm_set if len(data.norm_set) else data.train)[0])
    cells = np.random.default_rng(0).permutation(data.held_out)[:MAX_CELLS]
    groups = None if data.batches is None else torch.from_numpy(data.batches[cells]).to(device)
    inputs, rows = tensors_of(cells)
    monitor = Monitor(model, inputs, rows=rows, groups=groups)
    row = {"loss": np.nan, "temperature": model.temperature().item(), **monitor()}
    return pd.DataFrame([row], index=pd.RangeIndex(1, name="epoch"))
