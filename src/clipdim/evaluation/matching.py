"""How well one embedding finds the same cell in another."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# similarities held at once: 2^22 float32 are 16 MB
_BLOCK_VALUES = 2**22


@dataclass(frozen=True)
class MatchScores:
    """How well the cells of one embedding are matched to those of another.

    Attributes
    ----------
    top_alpha
        Fraction of cells whose true match is among the first max(1, floor(alpha n)).
    recall
        For each k, the fraction of cells whose true match is among the first k.
    foscttm
        Mean fraction of the other cells that are closer than the true match: 0 is perfect, 0.5 is chance.
    median_rank
        Median rank of the true match, 1 is best.
    n_cells
        Number of cells.
    """

    top_alpha: float
    recall: dict[int, float]
    foscttm: float
    median_rank: float
    n_cells: int


def ranks(u: ArrayLike, v: ArrayLike, *, block_size: int | None = None) -> np.ndarray:
    """Rank of each cell's true match, row i of `v` for row i of `u`, by inner product.

    Ties count half: a cell as close as the true match adds 1/2. Time grows with n^2 d, memory with n `block_size`.

    Parameters
    ----------
    u
        Embedding of the queries, (n, d).
    v
        Embedding of the targets, the same cells in the same order, (n, d).
    block_size
        Number of queries compared at a time; `None` chooses it so that the similarities take 16 MB.

    Returns
    -------
    1 + the number of closer targets + half the number of other equally close ones, (n,), float64.

    Raises
    ------
    ValueError
        If the embeddings differ in shape, are empty, or hold NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> ranks(np.eye(3), np.eye(3)[[0, 2, 1]]).tolist()
    [1.0, 2.5, 2.5]
    """
    u, v = _pair(u, v)
    n = len(u)
    block_size = block_size or max(1, _BLOCK_VALUES // n)
    found = np.empty(n)
    for start in range(0, n, block_size):
        similarity = u[start : start + block_size] @ v.T
        # taken from the product itself: computed otherwise it could differ in the last bit and lose to itself
        own = np.diagonal(similarity, offset=start).copy()[:, None]
        closer, at_least = _counts(similarity > own), _counts(similarity >= own)
        found[start : start + block_size] = (1 + closer + at_least) / 2
    return found


def match_scores(u: ArrayLike, v: ArrayLike, *, alpha: float = 0.005, k: Sequence[int] = (1, 10, 50)) -> MatchScores:
    """Score the matching of the cells of one embedding to those of another, in one direction.

    Parameters
    ----------
    u
        Embedding of the queries, (n, d).
    v
        Embedding of the targets, the same cells in the same order, (n, d).
    alpha
        Share of the targets among which the true match counts as found, in (0, 1].
    k
        Numbers of targets for the recall, each at least 1.

    Returns
    -------
    The scores. A rank that ends in one half, from a tie, counts as found only where its upper neighbour is.

    Raises
    ------
    ValueError
        If the embeddings differ in shape, are empty, or hold NaN or infinity; if `alpha` or `k` is out of range.

    References
    ----------
    Top-alpha matching: Gui, Ma and Ma, NeurIPS 2025, section 4. FOSCTTM: Liu and others, Jointly embedding multiple
    single-cell omics measurements, WABI 2019.

    Examples
    --------
    >>> import numpy as np
    >>> u = np.random.default_rng(0).normal(size=(200, 8))
    >>> scores = match_scores(u / np.linalg.norm(u, axis=1, keepdims=True), u)
    >>> scores.foscttm < 0.05, sorted(scores.recall)
    (True, [1, 10, 50])
    """
    if not 0 < alpha <= 1:
        msg = f"alpha={alpha!r} must be above 0 and at most 1, for instance 0.005"
        raise ValueError(msg)
    if not isinstance(k, Iterable) or any(not isinstance(number, int | np.integer) or number < 1 for number in k):
        msg = f"k={k!r} must hold integers of at least 1, for instance (1, 10, 50)"
        raise ValueError(msg)
    rank = ranks(u, v)
    n = len(rank)
    return MatchScores(
        top_alpha=float(np.mean(rank <= max(1, int(alpha * n)))),
        recall={int(number): float(np.mean(rank <= number)) for number in k},
        foscttm=float(np.mean(rank - 1) / max(1, n - 1)),
        median_rank=float(np.median(rank)),
        n_cells=n,
    )


def _counts(mask: np.ndarray) -> np.ndarray:
    # row by row: with axis=1 numpy widens every element to an integer and is slower
    return np.array([np.count_nonzero(row) for row in mask])


def _pair(u: ArrayLike, v: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    u, v = np.asarray(u, dtype=np.float32), np.asarray(v, dtype=np.float32)
    if u.ndim != 2 or u.shape != v.shape or len(u) == 0:
        msg = f"the embeddings must be of one shape (cells, dimensions), got {u.shape} and {v.shape}"
        raise ValueError(msg)
    if not (np.isfinite(u).all() and np.isfinite(v).all()):
        msg = "the embeddings hold NaN or infinity; leave out the cells that lack a modality"
        raise ValueError(msg)
    return u, v
