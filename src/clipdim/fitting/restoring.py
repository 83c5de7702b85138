"""A fit as it is stored, made ready to train on: its inputs with their split, its encoders with their temperatures."""

from collections.abc import Sequence

import numpy as np
import torch
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim.contrast import ContrastiveModel, Recipe


def stored_inputs(
    mdata: MuData,
    fit: _mudata.Fit,
    stored: _mudata.Embeddings,
    modalities: Sequence[str],
    *,
    with_batches: bool = True,
) -> _mudata.Inputs:
    """Return the inputs of the fit with its split, from the representations as they are now.

    Cells that have one of the given modalities, or none, have no split. Batches are for those who train on.
    """
    names, params = list(modalities), fit.params
    rows = _mudata.cell_rows(mdata, names)
    paired = (rows >= 0).sum(axis=1) > 1
    parts = {"train": _keys.TRAIN, "held_out": _keys.HELD_OUT, "norm_set": _keys.NORM_SET}
    cells = {part: np.flatnonzero(stored.of_split(split) & paired) for part, split in parts.items()}
    if len(cells["train"]) < 2:
        msg = f"the MuData has {len(cells['train'])} of the cells that the fit was trained on; pass the whole one"
        raise ValueError(msg)
    batches = None
    if params.batch_key is not None and with_batches:
        batches = _mudata.batch_codes(mdata, params.batch_key, np.sort(np.concatenate(list(cells.values()))))[0]
    return _mudata.Inputs(
        cells=mdata.obs_names,
        use_rep={name: params.use_rep[name] for name in names},
        batch_key=params.batch_key,
        values={name: _mudata.matched_representation(mdata, mdata, name, fit) for name in names},
        features=fit.features,
        rows=rows,
        batches=batches,
        holdout=params.holdout,
        **cells,
    )


def stored_model(fit: _mudata.Fit, recipe: Recipe, modalities: Sequence[str]) -> ContrastiveModel:
    """Return the encoders of some of the modalities of a fit, with the temperatures of their pairs."""
    model = ContrastiveModel.from_arrays({name: fit.encoders[name] for name in modalities}, recipe)
    model.set_temperature([fit.temperature_of(*names) for names in model.pairs])
    return model


def refuse_changed(mdata: MuData, model: ContrastiveModel, data: _mudata.Inputs, key: str) -> None:
    """Refuse representations from which the encoders do not give the embedding that is stored."""
    for name, known in _mudata.embeddings_of(mdata, list(data.values), key).items():
        found = model.embed(name, torch.from_numpy(data.values[name]))[0]
        same = found.shape == known.shape and np.isclose(found, known, atol=1e-2).all(axis=1)
        other = ~np.broadcast_to(same, len(found))
        if other.any():
            msg = (
                f"{data.use_rep[name]!r} of modality {name!r} has changed since the fit: {other.sum()} of {len(other)} "
                f"cells would have another embedding; run clipdim.tl.fit(mdata, key_added={key!r}) again"
            )
            raise ValueError(msg)
