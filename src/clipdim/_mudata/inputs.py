"""What a fit reads: the representations of paired cells, their batches, and which of them are held out."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from mudata import MuData
from scipy.sparse.csgraph import connected_components

from clipdim import _keys
from clipdim._mudata.batches import batch_codes
from clipdim._mudata.pairing import modality_names, pair
from clipdim._mudata.representations import check_varies, representation, resolve_use_rep

MIN_CELLS = 10


@dataclass(frozen=True)
class Inputs:
    """
    Validated inputs of a fit. Cells are numbered as in ``mdata.obs_names``.

    Those of ``train``, ``held_out`` and ``norm_set`` have at least two modalities.
    """

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

    def of(self, cells: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """
        Representations of cells, by modality those that have it, and the row of each cell in them.

        The rows are (cells x modalities), -1 where absent, and None where row i is the same cell in all modalities.
        """
        rows = self.rows[cells]
        present = rows >= 0
        values = {
            name: matrix[rows[present[:, column], column]] for column, (name, matrix) in enumerate(self.values.items())
        }
        return values, None if present.all() else np.where(present, present.cumsum(axis=0) - 1, -1)

    def commonest(self, cells: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Return the set of modalities that most of the cells have, two or more, and the cells that have them all."""
        patterns, counts = np.unique(self.rows[cells] >= 0, axis=0, return_counts=True)
        has = patterns[counts.argmax()]
        names = [name for name, used in zip(self.values, has, strict=True) if used]
        return names, cells[(self.rows[cells][:, has] >= 0).all(axis=1)]

    def split(self) -> pd.Categorical:
        """Split of each cell, missing for those with less than two modalities."""
        names = np.full(len(self.rows), None, dtype=object)
        names[self.train], names[self.held_out], names[self.norm_set] = _keys.TRAIN, _keys.HELD_OUT, _keys.NORM_SET
        categories = [_keys.TRAIN, _keys.HELD_OUT] + ([_keys.NORM_SET] if len(self.norm_set) else [])
        return pd.Categorical(names, categories=categories)


def read_inputs(
    mdata: MuData,
    *,
    modalities: Sequence[str] | None,
    use_rep: str | Mapping[str, str] | None,
    batch_key: str | Sequence[str] | None,
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
        having = " | ".join(f"mdata.obs_names.isin(mdata[{name!r}].obs_names)" for name in names)
        msg = (
            f"{n_absent} cells have none of the modalities {names} and get an embedding of NaN; leave them out with "
            f"mdata = mdata[{having}].copy()"
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    paired = np.flatnonzero((rows >= 0).sum(axis=1) > 1)
    _check_linked(mdata, names, rows)
    batches = None if batch_key is None else batch_codes(mdata, batch_key, paired)[0]

    order = np.random.default_rng(random_state).permutation(paired)
    n_held_out = round(holdout * len(order))
    n_norm = round(norm_fraction * (len(order) - n_held_out)) or int(norm_fraction > 0)
    held_out, norm_set, train = np.split(order, [n_held_out, n_held_out + n_norm])
    if len(train) < MIN_CELLS:
        msg = (
            f"{len(train)} cells are left for training ({len(paired)} have two or more of {names}, {n_held_out} are "
            f"held out), at least {MIN_CELLS} are needed; pass more cells"
        )
        if n_held_out:
            msg += " or a smaller holdout (of clipdim.model: a larger train_size)"
        raise ValueError(msg)
    values = {name: representation(mdata, name, rep) for name, rep in reps.items()}
    inputs = Inputs(reps, values, rows, np.sort(train), np.sort(held_out), np.sort(norm_set), batches)
    for column, (name, matrix) in enumerate(values.items()):  # one copy of the training cells at a time
        own = rows[inputs.train, column]
        check_varies(matrix[own[own >= 0]], f"{reps[name]!r} of modality {name!r}")
    return inputs


def _check_linked(mdata: MuData, names: Sequence[str], rows: np.ndarray) -> None:
    """Refuse modalities that no cells link to the others: their embeddings would have nothing to do with each other."""
    present = rows >= 0
    n_shared = np.zeros((len(names), len(names)), dtype=np.int64)
    for i, j in combinations(range(len(names)), 2):
        n_shared[i, j] = (present[:, i] & present[:, j]).sum()
    n_parts, part = connected_components(n_shared, directed=False)
    if n_parts == 1:
        return
    examples = {name: mdata[name].obs_names[:2].tolist() for name in names}
    apart = [[name for name, p in zip(names, part, strict=True) if p == number] for number in range(n_parts)]
    msg = (
        f"the modalities {' and '.join(map(str, apart))} have no cell name in common, for instance {examples}; give a "
        "cell the same name in all: mdata[mod].obs_names = ..., then mdata = mudata.MuData(mdata.mod), or pass the "
        "modalities that share cells: modalities=[...]"
    )
    raise ValueError(msg)
