"""What a fit reads: the representations of paired cells, their batches, and which of them are held out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from mudata import MuData
from scipy.sparse.csgraph import connected_components

from clipdim import _keys
from clipdim._mudata.batches import batch_codes, batch_columns
from clipdim._mudata.embeddings import choose_measured
from clipdim._mudata.pairing import cell_rows, modality_names
from clipdim._mudata.representations import check_varies, representation, resolve_use_rep
from clipdim._warn import warn

MIN_CELLS = 10


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Representations and batches, read once; cells are numbered as in ``mdata.obs_names``.

    Cells with less than two modalities are in no split.
    """

    cells: pd.Index
    """Names of the cells."""
    use_rep: dict[str, str]
    """Representation of each modality."""
    batch_key: str | list[str] | None
    values: dict[str, np.ndarray]
    """(cells of the modality x features) float32 for each modality."""
    features: dict[str, np.ndarray]
    """Names of the features of each modality that is read from ``X``."""
    rows: np.ndarray
    """(cells x modalities) row of each cell in each modality, -1 where absent."""
    batches: np.ndarray | None
    """(cells,) code of each cell's batch."""
    holdout: float
    """Share of the paired cells that is held out."""
    train: np.ndarray
    held_out: np.ndarray
    norm_set: np.ndarray

    def of(self, cells: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """Representations of some cells, and the row of each cell in each of them, -1 where it lacks the modality.

        The rows are None where all cells have all modalities and row i of each matrix is cell i.
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

    def measured(self, at_least: int) -> tuple[np.ndarray, str]:
        """Numbers of the cells that a measure uses, and the split that they are of."""
        return choose_measured(self.held_out, self.train, at_least)

    def with_split(self, *, holdout: float, norm_fraction: float, random_state: int) -> "Inputs":
        """Draw which of the paired cells are held out; ``norm_fraction`` is a share of those that are not."""
        names = list(self.values)
        parts = _draw_split(self.rows, names, holdout=holdout, norm_fraction=norm_fraction, random_state=random_state)
        return replace(self, holdout=holdout, **parts)  # type: ignore[arg-type]

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
    rows = cell_rows(mdata, names)
    n_absent = int((rows < 0).all(axis=1).sum())
    if n_absent:
        having = " | ".join(f"mdata.obs_names.isin(mdata[{name!r}].obs_names)" for name in names)
        msg = (
            f"{n_absent} cells have none of the modalities {names} and get an embedding of NaN; leave them out with "
            f"mdata = mdata[{having}].copy()"
        )
        warn(msg)
    _check_linked(mdata, names, rows)
    batches = None if batch_key is None else batch_codes(mdata, batch_key, _paired(rows))[0]
    parts = _draw_split(rows, names, holdout=holdout, norm_fraction=norm_fraction, random_state=random_state)
    values = {name: representation(mdata, name, rep) for name, rep in reps.items()}
    for column, (name, matrix) in enumerate(values.items()):  # one copy of the training cells at a time
        own = rows[parts["train"], column]
        check_varies(matrix[own[own >= 0]], f"{reps[name]!r} of modality {name!r}")
    return Inputs(
        cells=mdata.obs_names,
        use_rep=reps,
        batch_key=batch_key if batch_key is None or isinstance(batch_key, str) else batch_columns(batch_key),
        values=values,
        features=_feature_names(mdata, reps),
        rows=rows,
        batches=batches,
        holdout=holdout,
        **parts,
    )


def _paired(rows: np.ndarray) -> np.ndarray:
    """Numbers of the cells with two modalities or more."""
    return np.flatnonzero((rows >= 0).sum(axis=1) > 1)


def _draw_split(
    rows: np.ndarray, names: list[str], *, holdout: float, norm_fraction: float, random_state: int
) -> dict[str, np.ndarray]:
    """Cells of each split, ascending."""
    paired = _paired(rows)
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
    return {"train": np.sort(train), "held_out": np.sort(held_out), "norm_set": np.sort(norm_set)}


def _feature_names(mdata: MuData, use_rep: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Names of the features of each modality that is read from ``X``, by which those of new cells are matched."""
    return {
        name: mdata[name].var_names.to_numpy(dtype=object)
        for name, rep in use_rep.items()
        if rep == "X" and mdata[name].var_names.is_unique
    }


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
