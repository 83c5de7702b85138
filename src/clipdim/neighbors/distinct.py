"""Rows that repeat another one, exactly or but for rounding."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

# distances below this many roundings of the data's own dtype say nothing
_ROUNDINGS = 16
# a tree in more columns takes longer, in fewer it finds more pairs that only seem close
_TREE_COLUMNS = 3
_BLOCK = 2**16


def distinct_points(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the distinct rows: the first row of each, ascending, and for each row of `X` the place of its point there.

    Rows are the same when they are equal, or when they are closer than the rounding of the array's dtype (16 machine
    epsilons times the root mean square norm of the rows): the same cell run twice through an encoder may differ there.
    One million rows of 32 columns take a few seconds, thousands that agree to within rounding no longer than others.
    """
    tolerance = _ROUNDINGS * np.finfo(X.dtype).eps * np.sqrt(np.einsum("ij,ij->", X, X, dtype=np.float64) / len(X))
    # adding 0 turns -0.0 into 0.0, so that equal rows have equal bytes
    X = np.ascontiguousarray(X + 0.0)
    rng = np.random.default_rng(0)
    rows, point = _join(np.arange(len(X)), np.arange(len(X)), _consecutive(X, _hashes(X, rng), tolerance))
    # rows that agree to within rounding follow each other along any axis: this leaves few pairs to the tree
    while len(pairs := _consecutive(X[rows], X[rows] @ rng.normal(size=X.shape[1]), tolerance)):
        rows, point = _join(rows, point, pairs)
    # a projection brings no two points further apart, so a tree in few dimensions finds every pair to look at
    axes = np.linalg.qr(rng.normal(size=(X.shape[1], min(_TREE_COLUMNS, X.shape[1]))))[0]
    pairs = cKDTree(X[rows] @ axes).query_pairs(tolerance, output_type="ndarray")
    return _join(rows, point, _close(X[rows], pairs, tolerance))


def _hashes(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    words = X.view(np.uint64 if X.dtype.itemsize % 8 == 0 else f"u{X.dtype.itemsize}")
    multipliers = np.asarray(rng.integers(2**63, size=words.shape[1]), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    # modulo 2^64, column by column so that little memory is taken
    hashes = np.zeros(len(X), dtype=np.uint64)
    for column, multiplier in enumerate(multipliers):
        hashes = (hashes ^ words[:, column]) * multiplier
    return hashes


def _consecutive(X: np.ndarray, key: np.ndarray, tolerance: float) -> np.ndarray:
    """Pairs of rows that follow each other in the order of a key and are the same."""
    order = np.argsort(key)
    near = np.flatnonzero(np.diff(key[order]) <= tolerance * 2)
    return _close(X, np.column_stack([order[near], order[near + 1]]), tolerance)


def _close(X: np.ndarray, pairs: np.ndarray, tolerance: float) -> np.ndarray:
    close = [
        np.linalg.norm(X[block[:, 0]].astype(np.float64) - X[block[:, 1]], axis=1) <= tolerance
        for block in np.split(pairs, range(_BLOCK, len(pairs), _BLOCK))
    ]
    return pairs[np.concatenate(close)]


def _join(rows: np.ndarray, point: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join pairs of distinct points: first row of each that remains, ascending, and the place of each row's point."""
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(len(rows), len(rows)))
    n_distinct, label = connected_components(graph, directed=False)
    first = np.full(n_distinct, rows[-1] + 1)
    np.minimum.at(first, label, rows)
    order = np.argsort(first)
    return first[order], np.argsort(order)[label[point]]
