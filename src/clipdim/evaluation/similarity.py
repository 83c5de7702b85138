"""Which cells of one embedding are compared with which of another, as examples of cells that are not the same."""

import numpy as np


def draw_negatives(n_cells: int, n_drawn: int = 5_000) -> np.ndarray:
    """Draw two different cells many times, always the same ones: two rows of cell numbers.

    Where there are no more ways than that to take two in order, each is taken once.
    """
    if n_cells < 2:
        return np.empty((2, 0), dtype=np.int64)
    if n_cells * (n_cells - 1) <= n_drawn:
        return np.stack(np.nonzero(~np.eye(n_cells, dtype=bool)))
    rng = np.random.default_rng(0)
    first = rng.integers(n_cells, size=n_drawn)
    return np.stack([first, (first + rng.integers(1, n_cells, size=n_drawn)) % n_cells])
