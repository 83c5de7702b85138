"""The embeddings of a MuData: the cells that a measure uses, the mean over modalities, how they are written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _keys
from clipdim._mudata.fits import Fit, made_by
from clipdim._mudata.pairing import cell_rows

CELLS_PER_BLOCK = 65_536
SPLITS = (_keys.TRAIN, _keys.HELD_OUT, _keys.NORM_SET)


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of a MuData with one row for each cell of ``mdata.obs_names``."""

    modalities: list[str]
    joint: np.ndarray
    """(cells x out_dim) mean over the modalities that a cell has; NaN where it has none."""
    by_modality: dict[str, np.ndarray]
    """(cells x out_dim) for each modality; rows of NaN for the cells that lack it."""
    has: np.ndarray
    """(cells x modalities) whether a cell has the modality."""
    split: np.ndarray
    """(cells,) ``"train"``, ``"held-out"``, perhaps ``"norm set"``; ``""`` for cells with one modality or none, and for
    those that no fit was made with."""

    def of_split(self, name: str) -> np.ndarray:
        """Which cells belong to a split and still have two modalities or more, (cells,) bool."""
        return (self.split == name) & (self.has.sum(axis=1) > 1)

    def having(self, *names: str) -> np.ndarray:
        """Which cells have all of the given modalities, (cells,) bool."""
        return np.all(self.has[:, [self.modalities.index(name) for name in names]], axis=1)

    def measured(self, at_least: int, *names: str) -> tuple[np.ndarray, str]:
        """Numbers of the cells that a measure uses, and the split that they are of.

        Held-out cells that have the named modalities, or training cells where fewer than ``at_least`` were held out.
        """
        train, held_out = (
            np.flatnonzero(self.of_split(split) & self.having(*names)) for split in (_keys.TRAIN, _keys.HELD_OUT)
        )
        return choose_measured(held_out, train, at_least)

    def mean(self, names: Sequence[str], cells: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Mean over those of some modalities that each cell has, float32 (cells x out_dim), NaN where it has none."""
        has = self.has[cells][:, [self.modalities.index(name) for name in names]]
        rows = np.where(has, np.arange(len(has))[:, None], -1)
        return mean_embedding({name: self.by_modality[name][cells] for name in names}, rows)


def choose_measured(held_out: np.ndarray, train: np.ndarray, at_least: int) -> tuple[np.ndarray, str]:
    """Choose the cells of a measure and say their split: held-out ones, or training ones where those are too few."""
    return (held_out, _keys.HELD_OUT) if len(held_out) >= at_least else (train, _keys.TRAIN)


def mean_embedding(embeddings: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Mean over the modalities that a cell has, float32 (cells x out_dim), NaN where it has none.

    ``embeddings[mod]`` is (cells of the modality x out_dim); ``rows`` (cells x modalities) are those of each cell, -1
    where it lacks the modality.
    """
    joint = np.full((len(rows), next(iter(embeddings.values())).shape[1]), np.nan, dtype=np.float32)
    for start in range(0, len(rows), CELLS_PER_BLOCK):  # sums in float64 of all cells at once would take gigabytes
        block = rows[start : start + CELLS_PER_BLOCK]
        total = np.zeros((len(block), joint.shape[1]))
        for column, values in enumerate(embeddings.values()):
            present = block[:, column] >= 0
            total[present] += values[block[present, column]]
        n_present = (block >= 0).sum(axis=1, keepdims=True)
        np.divide(total, n_present, out=joint[start : start + len(block)], where=n_present > 0, casting="same_kind")
    return joint


def write_shared_information(mdata: MuData, values: np.ndarray, *, key: str) -> None:
    """Write the nats that modalities share around each cell, (cells,)."""
    mdata.obs[_keys.shared_information(key)] = values


def read_split(mdata: MuData, key: str) -> np.ndarray:
    """Split of each cell, (cells,) of strings, ``""`` where there is none."""
    column = mdata.obs[_keys.split(key)]
    split = column.astype(object).where(column.notna(), "").to_numpy(dtype=object)
    if unknown := set(split) - {*SPLITS, ""}:
        msg = (
            f"mdata.obs[{_keys.split(key)!r}] holds {sorted(map(str, unknown))[:3]}, expected {list(SPLITS)}: the fit "
            "did not write that, so nothing tells which cells were trained on; run "
            f"clipdim.tl.fit(mdata, key_added={key!r}) again"
        )
        raise ValueError(msg)
    return split


def read_embeddings(mdata: MuData, fit: Fit, key: str) -> Embeddings:
    """Embeddings of a fitted MuData, every one in the order of ``mdata.obs_names``."""
    slot = _keys.embedding(key)
    missing = [name for name in fit.params.modalities if name not in mdata.mod or slot not in mdata[name].obsm]
    if missing or slot not in mdata.obsm or _keys.split(key) not in mdata.obs:
        msg = (
            f"the embedding {slot!r} is missing from {missing or 'mdata.obsm or mdata.obs'}; "
            f"run clipdim.tl.fit(mdata, key_added={key!r}) again"
        )
        raise KeyError(msg)
    return _read(mdata, fit.params.modalities, fit.params.out_dim, key, read_split(mdata, key))


def query_embeddings(query: MuData, fit: Fit, key: str) -> Embeddings:
    """Embeddings of new cells by the encoders of a reference's fit, of the modalities that they have."""
    if not isinstance(query, MuData):
        msg = f"expected a MuData after clipdim.tl.embed, got {type(query).__name__}"
        raise TypeError(msg)
    slot = _keys.embedding(key)
    modalities = [name for name in fit.encoders if name in query.mod and slot in query[name].obsm]
    mend = f"run clipdim.tl.embed(query, reference, key={key!r})"
    if not modalities or slot not in query.obsm:
        msg = f"the query has no {slot!r} in .obsm of one of {list(fit.encoders)}; {mend}"
        raise KeyError(msg)
    if _embedded_by(query, key) != fit.fingerprint:
        msg = f"the embedding {slot!r} of the query was not made by the encoders of this reference; {mend}"
        raise ValueError(msg)
    return _read(query, modalities, fit.params.out_dim, key, np.full(query.n_obs, "", dtype=object))


def _embedded_by(query: MuData, key: str) -> str | None:
    """Fingerprint of the fit that the embeddings are of: the MuData's own, or that of the reference."""
    record = query.uns.get(_keys.embedded(key), {})
    return made_by(query.uns.get(key)) or str(record.get("fit"))


def _read(mdata: MuData, modalities: Iterable[str], out_dim: int, key: str, split: np.ndarray) -> Embeddings:
    names, slot = list(modalities), _keys.embedding(key)
    by_modality = embeddings_of(mdata, names, key)
    for name, values in by_modality.items():
        if values.shape[1:] != (out_dim,) or not np.isfinite(values).all():
            msg = (
                f"mdata[{name!r}].obsm[{slot!r}] has shape {values.shape}, expected finite numbers in {out_dim} "
                f"columns as the fit {key!r} gives them; fit or embed anew"
            )
            raise ValueError(msg)
    return align_embeddings(by_modality, cell_rows(mdata, names), split, joint=np.asarray(mdata.obsm[slot]))


def align_embeddings(
    by_modality: Mapping[str, np.ndarray], rows: np.ndarray, split: np.ndarray, *, joint: np.ndarray | None = None
) -> Embeddings:
    """Bring the embeddings of each modality's cells, (cells of the modality x out_dim), to one row for each cell."""
    aligned = {}
    for (name, values), own in zip(by_modality.items(), rows.T, strict=True):
        aligned[name] = np.full((len(rows), values.shape[1]), np.nan, dtype=np.float32)
        aligned[name][own >= 0] = values[own[own >= 0]]
    joint = mean_embedding(by_modality, rows) if joint is None else joint
    return Embeddings(list(by_modality), joint, aligned, rows >= 0, split)


def embeddings_of(mdata: MuData, modalities: Sequence[str], key: str) -> dict[str, np.ndarray]:
    """Embedding of each modality's cells, (cells of the modality x out_dim), in the modality's order."""
    return {name: np.asarray(mdata[name].obsm[_keys.embedding(key)]) for name in modalities}


def read_norms(mdata: MuData, modalities: Sequence[str], key: str) -> dict[str, np.ndarray]:
    """Norm of the encoder's output over its mean, (cells,) for each modality, NaN for the cells that lack it."""
    norms, rows = {}, cell_rows(mdata, modalities)
    for name, own in zip(modalities, rows.T, strict=True):
        norms[name] = np.full(mdata.n_obs, np.nan)
        norms[name][own >= 0] = mdata[name].obs[_keys.norm(key)].to_numpy(dtype=np.float64)[own[own >= 0]]
    return norms


def write_embeddings(
    mdata: MuData, embeddings: Mapping[str, np.ndarray], norms: Mapping[str, np.ndarray], *, key: str
) -> None:
    """Write each modality's embedding and norms, and their mean over the modalities that a cell has.

    ``embeddings[mod]`` is (cells of the modality x out_dim), ``norms[mod]`` is (cells of the modality,).
    """
    joint = mean_embedding(embeddings, cell_rows(mdata, list(embeddings)))
    mdata.obsm.pop(_keys.complete(key), None)  # of an earlier embedding
    for name, values in embeddings.items():
        mdata[name].obsm.pop(_keys.private(key), None)
        mdata[name].obsm[_keys.embedding(key)] = values.astype(np.float32, copy=False)
        mdata[name].obs[_keys.norm(key)] = norms[name].astype(np.float32)
    mdata.obsm[_keys.embedding(key)] = joint


def write_split(mdata: MuData, split: pd.Categorical, *, key: str) -> None:
    """Write which cells were held out, of a fit of this MuData's own."""
    mdata.obs[_keys.split(key)] = split
    mdata.uns.pop(_keys.embedded(key), None)  # of an earlier embedding by another fit


def write_embedded(mdata: MuData, fit: Fit, *, key: str) -> None:
    """Write which fit the embedding of new cells comes from, but beside that fit itself."""
    if key in mdata.uns:
        return
    mdata.uns[_keys.embedded(key)] = {"version": version("clipdim"), "fit": fit.fingerprint}
