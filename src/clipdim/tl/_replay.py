"""The cells of an update: a new sample, and those of the reference that are trained on with it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim.contrast import Recipe

REPLAYED = 3


def read_new_sample(
    mdata: MuData,
    reference: MuData,
    fit: _keys.Fit,
    modalities: Sequence[str],
    recipe: Recipe,
    *,
    holdout: float,
    random_state: int,
) -> _mudata.Inputs:
    """Read new cells as the reference was read, with a split and with batches of their own."""
    batch_key, batches = fit["params"]["batch_key"], None
    for name in _mudata.batch_columns(batch_key):
        if name not in mdata.obs and all(name not in adata.obs for adata in mdata.mod.values()):
            msg = (
                f"the reference was fitted with batch_key={batch_key!r}, and the new sample has no column {name!r} in "
                f".obs; add it: mdata.obs[{name!r}] = 'name of the sample'"
            )
            raise KeyError(msg)
    values = {name: _mudata.matched_representation(mdata, reference, name, fit) for name in modalities}
    data = _mudata.read_inputs(
        mdata,
        modalities=modalities,
        use_rep={name: str(fit["params"]["use_rep"][name]) for name in modalities},
        batch_key=None,
        holdout=holdout,
        norm_fraction=recipe.norm_fraction if recipe.similarity == "inner" else 0.0,
        random_state=random_state,
    )
    if batch_key is not None:
        cells = np.sort(np.concatenate([data.train, data.held_out, data.norm_set]))
        labels = _mudata.batch_labels(mdata, batch_key).iloc[cells]
        # most new samples are one batch, of which batch_codes would warn
        one = labels.notna().all() and labels.nunique() == 1
        batches = np.zeros(len(data.rows), dtype=np.int64) if one else _mudata.batch_codes(mdata, batch_key, cells)[0]
    return replace(data, values=values, batches=batches)


def replay(old: _mudata.Inputs, new: _mudata.Inputs, *, random_state: int) -> _mudata.Inputs:
    """
    Join the inputs, new cells after old ones, to train on new cells with some old ones: up to three for each of them.

    Held out are new cells only. Old and new cells are of different batches, so never negatives of each other.
    """
    n_old, sizes = len(old.rows), np.array([len(x) for x in old.values.values()])
    drawn = np.random.default_rng(random_state).permutation(old.train)[: REPLAYED * len(new.train)]
    of_old = np.zeros(n_old, dtype=np.int64) if old.batches is None else old.batches
    of_new = np.zeros(len(new.rows), dtype=np.int64) if new.batches is None else new.batches
    return _mudata.Inputs(
        new.use_rep,
        {name: np.concatenate([x, new.values[name]]) for name, x in old.values.items()},
        np.concatenate([old.rows, np.where(new.rows >= 0, new.rows + sizes, -1)]),
        np.concatenate([np.sort(drawn), new.train + n_old]),
        new.held_out + n_old,
        np.concatenate([old.norm_set, new.norm_set + n_old]),
        np.concatenate([of_old, of_new + of_old.max() + 1]),
    )
