"""Which embeddings of new cells and of a reference are compared: those from the same modalities."""

from collections.abc import Iterator, Sequence

import numpy as np

from clipdim._mudata.embeddings import Embeddings


def choose_modalities(new: Embeddings, modalities: Sequence[str] | None) -> list[str]:
    """Return the names of the modalities to use, all that the new cells were embedded with when None."""
    names = new.modalities if modalities is None else [modalities] if isinstance(modalities, str) else list(modalities)
    unknown = [name for name in names if name not in new.modalities]
    if unknown or not names:
        msg = f"modalities={names} must be some of those that the query was embedded with: {', '.join(new.modalities)}"
        raise KeyError(msg)
    return [name for name in new.modalities if name in names]


def combinations(new: Embeddings, names: list[str]) -> Iterator[tuple[list[str], np.ndarray]]:
    """Each combination of the given modalities that cells have, with those cells, (cells,) bool."""
    has = new.has[:, [new.modalities.index(name) for name in names]]
    for pattern in np.unique(has, axis=0):
        if pattern.any():
            yield [name for name, there in zip(names, pattern, strict=True) if there], (has == pattern).all(axis=1)


def comparable(known: Embeddings, having: list[str], codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embedding and row numbers of the labelled cells to compare with: like with like where these have every class."""
    rows = np.flatnonzero((codes >= 0) & known.having(*having))
    if len(np.unique(codes[rows])) < codes.max() + 1:
        rows = np.flatnonzero(codes >= 0)
        return known.joint[rows], rows
    return known.mean(having, rows), rows
