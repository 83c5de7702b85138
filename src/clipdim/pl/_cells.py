"""Which cells a figure shows."""

from collections.abc import Container

import numpy as np

from clipdim import _keys

ALL = "all"
NONE_HELD_OUT = "training cells (none were held out)"


def choose_cells(split: np.ndarray, cells: str | None) -> tuple[np.ndarray, str]:
    """
    Mask of the cells to show, (cells,), and their name for the title.

    None means the held-out cells, or the training cells where none were held out.
    """
    present = [name for name in (_keys.HELD_OUT, _keys.TRAIN, _keys.NORM_SET) if (split == name).any()]
    if cells is None:
        return split == (_keys.HELD_OUT if _keys.HELD_OUT in present else _keys.TRAIN), main_cells(present)
    if cells == ALL:
        return np.ones(len(split), dtype=bool), "all cells"
    if cells not in present:
        msg = f"cells={cells!r} are not among the cells of this fit; it has {[*present, ALL]}"
        raise ValueError(msg)
    return split == cells, {_keys.TRAIN: "training cells"}.get(cells, f"{cells} cells")


def main_cells(splits: Container[str]) -> str:
    """Name of the cells that a figure shows first: held-out ones, or training cells where none were held out."""
    return f"{_keys.HELD_OUT} cells" if _keys.HELD_OUT in splits else NONE_HELD_OUT
