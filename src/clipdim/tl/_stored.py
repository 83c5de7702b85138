"""A fit as it is stored, made ready to train on: its inputs with their split, its encoders with their temperatures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim.contrast import ContrastiveModel, Recipe


def stored_inputs(
    mdata: MuData, fit: _keys.Fit, stored: _mudata.Embeddings, modalities: Sequence[str], *, with_batches: bool = True
) -> _mudata.Inputs:
    """
    Return the inputs of the fit with its split, from the representations as they are now.

    Cells that have one of the given modalities, or none, have no split. Batches are for those who train on.
    """
    names, batch_key = list(modalities), fit["params"]["batch_key"]
    rows = _mudata.pair(mdata, names)
    paired = (rows >= 0).sum(axis=1) > 1
    parts = (_keys.TRAIN, _keys.HELD_OUT, _keys.NORM_SET)
    train, held_out, norm_set = (np.flatnonzero(stored.of_split(part) & paired) for part in parts)
    if len(train) < 2:
        msg = f"the MuData has {len(train)} of the cells that the fit was trained on; pass the whole one"
        raise ValueError(msg)
    batches = None
    if batch_key is not None and with_batches:
        batches = _mudata.batch_codes(mdata, batch_key, np.sort(np.concatenate([train, held_out, norm_set])))[0]
    use_rep = {name: str(fit["params"]["use_rep"][name]) for name in names}
    values = {name: _mudata.matched_representation(mdata, mdata, name, fit) for name in names}
    return _mudata.Inputs(use_rep, values, rows, train, held_out, norm_set, batches)


def stored_model(fit: _keys.Fit, settings: Recipe, modalities: Sequence[str]) -> ContrastiveModel:
    """Return the encoders of some of the modalities of a fit, with the temperatures of their pairs."""
    model = ContrastiveModel.from_arrays({name: fit["encoders"][name] for name in modalities}, settings)
    # fits of older versions have one temperature and no table of pairs; a pair that shares no cell has none either
    known: dict[tuple[str, str], float] = {}
    if "pairs" in fit:
        table = fit["pairs"]
        known = dict(zip(zip(table["first"], table["second"], strict=True), table["temperature"], strict=True))
    of_pairs = pd.Series([known.get(pair, np.nan) for pair in model.pairs], dtype=np.float64)
    model.set_temperature(of_pairs.fillna(fit["temperature"]).tolist())
    return model


def refuse_changed(mdata: MuData, model: ContrastiveModel, data: _mudata.Inputs, key: str) -> None:
    """Refuse representations from which the encoders do not give the embedding that is stored."""
    for name, values in data.values.items():
        found = model.embed(name, torch.from_numpy(values))[0]
        known = np.asarray(mdata[name].obsm[_keys.embedding(key)])
        same = found.shape == known.shape and np.isclose(found, known, atol=1e-2).all(axis=1)
        other = ~np.broadcast_to(same, len(found))
        if other.any():
            msg = (
                f"{data.use_rep[name]!r} of modality {name!r} has changed since the fit: {other.sum()} of {len(other)} "
                f"cells would have another embedding; run clipdim.tl.fit(mdata, key_added={key!r}) again"
            )
            raise ValueError(msg)
