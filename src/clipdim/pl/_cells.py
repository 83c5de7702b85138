"""Which cells a figure shows."""

import numpy as np
import pandas as pd

from clipdim import _keys

ALL = "all"
NONE_HELD_OUT = "training cells (none were held out)"


def choose_cells(split: pd.Series, cells: str | None) -> tuple[np.ndarray, str]:
    """
    Mask of the cells to show, (cells,), and their name for the title.

    None means the held-out cells, or the training cells where none were held out.
    """
    present = [name for name in (_keys.HELD_OUT, _keys.TRAIN, _keys.NORM_SET) if (split == name).any()]
    if cells is None:
        if _keys.HELD_OUT in present:
            return (split == _keys.HELD_OUT).to_numpy(dtype=bool), f"{_keys.HELD_OUT} cells"
        return (split == _keys.TRAIN).to_numpy(dtype=bool), NONE_HELD_OUT
    if cells == ALL:
        return np.ones(len(split), dtype=bool), "all cells"
    if cells not in present:
        msg = f"cells={cells!r} are not among the cells of this fit; it has {[*present, ALL]}"
        raise ValueError(msg)
    return (split == cells).to_numpy(dtype=bool), {_keys.TRAIN: "training cells"}.get(cells, f"{cells} cells")
