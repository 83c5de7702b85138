"""Whether the embeddings of a cell are more similar than those of different cells."""

import numpy as np
from scipy.stats import norm


def alignment(points: list[np.ndarray], labels: np.ndarray) -> float:
    """Chance that partners with permuted cells are as similar, within parts and groups.

    Mean and variance of the sum of inner products over permutations are exact. Embeddings of different widths have no
    inner products, and what each two of three share is not shared by all: nothing is said then.
    """
    if len(points) > 2 or points[0].shape[1] != points[1].shape[1]:
        return 1.0
    part, strata = (np.unique(one, axis=0, return_inverse=True)[1].ravel() for one in (labels[:, 0], labels))
    part_of = np.zeros(strata.max() + 1, dtype=int)
    part_of[strata] = part
    above, variance = np.zeros((2, len(part_of)))
    for stratum in range(len(part_of)):
        rows = strata == stratum
        u, v = (one[rows] - one[rows].mean(axis=0) for one in points)
        above[stratum] = (u * v).sum()
        variance[stratum] = ((u.T @ u) * (v.T @ v)).sum() / max(rows.sum() - 1, 1)
    z = np.bincount(part_of, above) / np.sqrt(np.bincount(part_of, variance)).clip(1e-150)
    # parts have cells in common, or cells that the others were trained on: their mean is not surer than one
    return float(norm.sf(z.mean()))
