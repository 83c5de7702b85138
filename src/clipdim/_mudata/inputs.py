"""What a fit reads: the representations of paired cells, their batches, and which of them are held out."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _keys
from clipdim._mudata.pairing import modality_names, obs_column, pair
from clipdim._mudata.representations import check_varies, representation, resolve_use_rep

MIN_CELLS = 10


@dataclass(frozen=True)
class Inputs:
    """Validated inputs of a fit. Cells are numbered as in ``mdata.obs_names``."""

    use_rep: dict[str, str]
    """Representation of each modality."""
    values: dict[str, np.ndarray]
    """(cells of the modality x features) float32 for each modality."""
    rows: np.ndarray
    """(cells x modalities) row of each cell in each modality, -1 where absent."""
    train: np.ndarray
    held_out: np.ndarray
    norm_set: np.ndarray
    batches: np.ndarray | None
    """(cells,) code of each cell's batch."""

    def of(self, cells: np.ndarray) -> dict[str, np.ndarray]:
        """Representations of paired cells, row i the same cell in all modalities."""
        return {name: values[self.rows[cells, column]] for column, (name, values) in enumerate(self.values.items())}

    def split(self) -> pd.Categorical:
        """Split of each cell, missing for those that lack a modality."""
        names = np.full(len(self.rows), None, dtype=object)
        names[self.train], names[self.held_out], names[self.norm_set] = _keys.TRAIN, _keys.HELD_OUT, _keys.NORM_SET
        categories = [_keys.TRAIN, _keys.HELD_OUT] + ([_keys.NORM_SET] if len(self.norm_set) else [])
        return pd.Categorical(names, categories=categories)


def read_inputs(
    mdata: MuData,
    *,
    modalities: Sequence[str] | None,
    use_rep: str | Mapping[str, str] | None,
    batch_key: str | None,
    holdout: float,
    norm_fraction: float,
    random_state: int,
) -> Inputs:
    """Read and check all that a fit needs; ``norm_fraction`` is a share of the cells that are not held out."""
    names = modality_names(mdata, modalities, at_least=2)
    reps = resolve_use_rep(mdata, names, use_rep)
    if _keys.JOINT in names:
        msg = f"a modality is named {_keys.JOINT!r}, which results use for the joint embedding; give it another name"
        raise ValueError(msg)
    rows = pair(mdata, names)
    n_absent = int((rows < 0).all(axis=1).sum())
    if n_absent:
        msg = (
            f"{n_absent} cells have none of the modalities {names} and get an embedding of NaN; leave them out with "
            f"mdata = mdata[mdata[{names[0]!r}].obs_names].copy()"
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    paired = np.flatnonzero((rows >= 0).all(axis=1))
    if len(paired) == 0:
        examples = {name: mdata[name].obs_names[:2].tolist() for name in names}
        msg = (
            f"the modalities have no cell name in common, for instance {examples}; give a cell the same name in all: "
            "mdata[mod].obs_names = ..., then mdata = mudata.MuData(mdata.mod)"
        )
        raise ValueError(msg)
    batches = None if batch_key is None else _batch_codes(mdata, batch_key, paired)

    order = np.random.default_rng(random_state).permutation(paired)
    n_held_out = round(holdout * len(order))
    n_norm = round(norm_fraction * (len(order) - n_held_out)) or int(norm_fraction > 0)
    held_out, norm_set, train = np.split(order, [n_held_out, n_held_out + n_norm])
    if len(train) < MIN_CELLS:
        msg = (
            f"{len(train)} cells are left for training ({len(paired)} have all of {names}, {n_held_out} are held out), "
            f"at least {MIN_CELLS} are needed; pass more cells or a smaller holdout"
        )
        raise ValueError(msg)
    values = {name: representation(mdata, name, rep) for name, rep in reps.items()}
    inputs = Inputs(reps, values, rows, np.sort(train), np.sort(held_out), np.sort(norm_set), batches)
    for column, (name, matrix) in enumerate(values.items()):  # one copy of the training cells at a time
        check_varies(matrix[rows[inputs.train, column]], f"{reps[name]!r} of modality {name!r}")
    return inputs


def _batch_codes(mdata: MuData, batch_key: str, paired: np.ndarray) -> np.ndarray:
    column = obs_column(mdata, batch_key)
    n_missing = int(column.iloc[paired].isna().sum())
    if n_missing:
        msg = (
            f"batch_key={batch_key!r} is missing for {n_missing} of {len(paired)} paired cells; fill it, for instance "
            f"mdata.obs[{batch_key!r}] = mdata.obs[{batch_key!r}].astype(object).fillna('unknown').astype('category')"
        )
        raise ValueError(msg)
    codes = pd.factorize(column)[0]
    if np.bincount(codes[paired]).max() < 2:
        msg = f"batch_key={batch_key!r} has a value of its own for every cell, so no cell has a negative"
        raise ValueError(msg)
    return codes
