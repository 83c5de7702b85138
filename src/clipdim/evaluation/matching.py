"""How well one embedding finds the same cell in another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from clipdim import _check
from clipdim.neighbors import draw_rows, in_threads

# similarities held at once, and targets of them: 2^20 float32 are 4 MB and stay in the cache
BLOCK_VALUES = 2**20
TILE_TARGETS = 2**13


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
        Number of cells, each a target.
    n_queries
        Number of cells that were searched for.
    """

    top_alpha: float
    recall: dict[int, float]
    foscttm: float
    median_rank: float
    n_cells: int
    n_queries: int


def ranks(u: ArrayLike, v: ArrayLike, *, rows: ArrayLike | None = None, block_size: int | None = None) -> np.ndarray:
    """Rank of each cell's true match, row i of `v` for row i of `u`, by inner product.

    Ties count half: a cell as close as the true match adds 1/2. Time grows with n_queries n d, memory with n d.

    Parameters
    ----------
    u
        Embedding of the queries, (n, d).
    v
        Embedding of the targets, the same cells in the same order, (n, d).
    rows
        Cells to search for, row numbers, (n_queries,); `None` means all. The targets are always all cells.
    block_size
        Number of queries compared at a time, each with up to 8,192 targets; `None` chooses 4 MB of similarities.

    Returns
    -------
    1 + the number of closer targets + half the number of other equally close ones, (n_queries,), float64.

    Raises
    ------
    ValueError
        If the embeddings differ in shape, are empty, or hold NaN or infinity, or `rows` are not row numbers.

    Examples
    --------
    >>> import numpy as np
    >>> ranks(np.eye(3), np.eye(3)[[0, 2, 1]]).tolist()
    [1.0, 2.5, 2.5]
    """
    if block_size is not None:
        block_size = _check.integer("block_size", block_size, least=1, hint="or None for 4 MB")
    u, v = check_pair(u, v)
    n, d = u.shape
    rows = check_rows(rows, n)
    n_tiles = -(-n // TILE_TARGETS)
    width = -(-n // n_tiles)
    targets = torch.zeros((n_tiles * width, d))
    targets[:n] = torch.from_numpy(v)
    tiles = targets.split(width)
    size = block_size or max(1, BLOCK_VALUES // width)

    def part(numbers: np.ndarray) -> np.ndarray:
        buffer = torch.empty((min(size, len(numbers)), width))
        blocks = np.split(rows[numbers], range(size, len(numbers), size))
        return np.concatenate([_ranks_of(torch.from_numpy(u[block]), block, tiles, n, buffer) for block in blocks])

    return np.concatenate(in_threads(part, len(rows)))


def _ranks_of(
    queries: torch.Tensor, rows: np.ndarray, tiles: tuple[torch.Tensor, ...], n: int, buffer: torch.Tensor
) -> np.ndarray:
    width = buffer.shape[1]
    similarity = buffer[: len(rows)]
    # taken from the product itself: computed otherwise it could differ in the last bit and lose to itself
    own = torch.empty((len(rows), 1))
    homes = np.unique(rows // width)
    for home in homes:
        torch.mm(queries, tiles[home].T, out=similarity)
        mine = np.flatnonzero(rows // width == home)
        own[mine, 0] = similarity[mine, rows[mine] % width]
    closer_less_further = np.zeros(len(rows))
    for number in [homes[-1], *np.delete(np.arange(len(tiles)), homes[-1])]:
        if number != homes[-1]:
            torch.mm(queries, tiles[number].T, out=similarity)
        real = similarity[:, : n - number * width]
        closer_less_further += real.sub_(own).sign_().sum(dim=1).numpy()
    # closer + equal + further = n, the cell itself among the equal
    return (1 + n + closer_less_further) / 2


def match_scores(
    u: ArrayLike,
    v: ArrayLike,
    *,
    alpha: float = 0.005,
    k: Sequence[int] = (1, 10, 50),
    n_queries: int | None = None,
    random_state: int = 0,
) -> MatchScores:
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
    n_queries
        Search for so many random cells only, among all of them; `None` means for all.
    random_state
        Seed of the draw.

    Returns
    -------
    The scores. A rank that ends in one half, from a tie, counts as found only where its upper neighbour is.

    Raises
    ------
    TypeError
        If a number is not one, or `k` does not hold several.
    ValueError
        If the embeddings differ in shape, are empty, or hold NaN or infinity; if `alpha`, `k` or `n_queries` is out of
        range.

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
    alpha = _check.number("alpha", alpha, above=0, most=1, hint="for instance 0.005")
    if isinstance(k, str) or not isinstance(k, Sequence | np.ndarray):
        msg = f"k must hold integers of at least 1, for instance (1, 10, 50), got {k!r}"
        raise TypeError(msg)
    numbers = [_check.integer("each k", number, least=1, hint="for instance (1, 10, 50)") for number in k]
    u, v = check_pair(u, v)
    n = len(u)
    rank = ranks(u, v, rows=draw_rows(n, n_queries, random_state=random_state))
    return MatchScores(
        top_alpha=float(np.mean(rank <= max(1, int(alpha * n)))),
        recall={number: float(np.mean(rank <= number)) for number in numbers},
        foscttm=float(np.mean(rank - 1) / max(1, n - 1)),
        median_rank=float(np.median(rank)),
        n_cells=n,
        n_queries=len(rank),
    )


def check_rows(rows: ArrayLike | None, n: int) -> np.ndarray:
    """Return row numbers, of all n rows where none are given, as integers."""
    if rows is None:
        return np.arange(n)
    found = np.asarray(rows)
    if found.ndim != 1 or found.dtype.kind not in "iu" or len(found) == 0 or found.min() < 0 or found.max() >= n:
        msg = f"rows must be row numbers from 0 to {n - 1}, got {rows!r}; numpy.flatnonzero(mask) makes them of a mask"
        raise ValueError(msg)
    return found


def check_pair(u: ArrayLike, v: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return two embeddings of the same cells as float32."""
    u, v = np.asarray(u, dtype=np.float32), np.asarray(v, dtype=np.float32)
    if u.ndim != 2 or u.shape != v.shape or len(u) == 0:
        msg = f"the embeddings must be of one shape (cells, dimensions), got {u.shape} and {v.shape}"
        raise ValueError(msg)
    if not (np.isfinite(u).all() and np.isfinite(v).all()):
        msg = "the embeddings hold NaN or infinity; leave out the cells that lack a modality"
        raise ValueError(msg)
    return u, v
