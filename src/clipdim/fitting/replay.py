"""The cells of an update: a new sample, and those of the reference that are trained on with it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from mudata import MuData

from clipdim import _mudata

REPLAYED = 3


def read_new_sample(
    query: MuData,
    reference: MuData,
    fit: _mudata.Fit,
    modalities: Sequence[str],
    *,
    holdout: float,
    random_state: int,
) -> _mudata.Inputs:
    """Read new cells as the reference was read, with a split and with batches of their own."""
    batch_key, batches = fit.params.batch_key, None
    for name in _mudata.batch_columns(batch_key):
        if not _mudata.has_column(query, name):
            msg = (
                f"the reference was fitted with batch_key={batch_key!r}, and the new sample has no column {name!r} in "
                f".obs; add it: query.obs[{name!r}] = 'name of the sample'"
            )
            raise KeyError(msg)
    values = {name: _mudata.matched_representation(query, reference, name, fit) for name in modalities}
    data = _mudata.read_inputs(
        query,
        modalities=modalities,
        use_rep={name: fit.params.use_rep[name] for name in modalities},
        batch_key=None,
        holdout=holdout,
        norm_fraction=fit.params.recipe.norm_share,
        random_state=random_state,
    )
    if batch_key is not None:
        cells = np.sort(np.concatenate([data.train, data.held_out, data.norm_set]))
        labels = _mudata.batch_labels(query, batch_key).iloc[cells]
        # most new samples are one batch, of which batch_codes would warn
        one = labels.notna().all() and labels.nunique() == 1
        batches = np.zeros(len(data.rows), dtype=np.int64) if one else _mudata.batch_codes(query, batch_key, cells)[0]
    return replace(data, values=values, batches=batches, batch_key=batch_key, features=fit.features)


def replay(old: _mudata.Inputs, new: _mudata.Inputs, *, random_state: int) -> _mudata.Inputs:
    """Join the inputs, new cells after old ones, to train on new cells with some old ones: up to three for each.

    Held out are new cells only. Old and new cells are of different batches, so never negatives of each other.
    """
    n_old, sizes = len(old.rows), np.array([len(x) for x in old.values.values()])
    drawn = np.random.default_rng(random_state).permutation(old.train)[: REPLAYED * len(new.train)]
    of_old = np.zeros(n_old, dtype=np.int64) if old.batches is None else old.batches
    of_new = np.zeros(len(new.rows), dtype=np.int64) if new.batches is None else new.batches
    return _mudata.Inputs(
        cells=old.cells.append(new.cells),
        use_rep=new.use_rep,
        batch_key=new.batch_key,
        values={name: np.concatenate([x, new.values[name]]) for name, x in old.values.items()},
        features=new.features,
        rows=np.concatenate([old.rows, np.where(new.rows >= 0, new.rows + sizes, -1)]),
        batches=np.concatenate([of_old, of_new + of_old.max() + 1]),
        holdout=new.holdout,
        train=np.concatenate([np.sort(drawn), new.train + n_old]),
        held_out=new.held_out + n_old,
        norm_set=np.concatenate([old.norm_set, new.norm_set + n_old]),
    )
