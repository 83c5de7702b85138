"""Sums over cells of which covariances are made, within groups and by folds, from one pass over blocks of cells."""

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from clipdim import _check

CELLS_PER_BLOCK = 16_384
N_FOLDS = 5


class Moments:
    """Sums over cells from which :func:`ridge_cca` follows; blocks of cells are added one after another.

    The cells may be on disk, and more than fit in memory: what is kept grows with the square of the features and with
    the number of groups, not with the cells. A million cells of 50 and 20 features take a second.

    Parameters
    ----------
    modalities
        Names in the order that results are to have; by default that in which they come.
    n_folds
        Parts of the cells for the cross-validation of the correlations.
    random_state
        Seed of the parts.

    Raises
    ------
    ValueError
        If ``n_folds`` is below 2, or a block does not fit those before.

    References
    ----------
    Chan, Golub and LeVeque (1983) for sums about a shifted origin.

    Examples
    --------
    >>> import numpy as np
    >>> from clipdim.contrast import Moments, ridge_cca
    >>> rng, moments = np.random.default_rng(0), Moments()
    >>> for _ in range(4):
    ...     x = rng.normal(size=(500, 3))
    ...     moments.add({"a": x, "b": np.c_[x[:, 0], rng.normal(size=(500, 2))]})
    >>> ridge_cca(moments).correlations["a", "b"].round(1)
    array([1., 0., 0.])
    """

    def __init__(self, modalities: Sequence[str] = (), *, n_folds: int = N_FOLDS, random_state: int = 0) -> None:
        self.n_folds = _check.integer("n_folds", n_folds, least=2)
        self.products: dict[tuple[str, str], Products] = {}
        """Of each pair of modalities that cells have, and of each modality with itself."""
        self._order = list(modalities)
        self._rng = np.random.default_rng(random_state)
        self._offsets: dict[str, np.ndarray] = {}

    @property
    def modalities(self) -> list[str]:
        """Names of those that have come."""
        return [name for name in self._order if name in self._offsets]

    def mean(self, modality: str) -> np.ndarray:
        """Mean of a modality's features over all cells that have it."""
        return self._offsets[modality] + self.products[modality, modality].mean()

    def add(self, inputs: Mapping[str, ArrayLike], groups: ArrayLike | None = None) -> None:
        """Add cells: (cells x features) for each modality that they have, and (cells,) small integers, their groups.

        The cells of a block have the same modalities; other blocks may have others. With groups the variates are those
        of differences within groups.
        """
        arrays = {name: np.asarray(x) for name, x in inputs.items()}
        sizes = {name: x.shape for name, x in arrays.items()}
        if len(arrays) < 2 or any(len(s) != 2 for s in sizes.values()) or len({s[0] for s in sizes.values()}) > 1:
            msg = f"a block needs two or more matrices with the same cells in their rows, got the shapes {sizes}"
            raise ValueError(msg)
        n_cells = len(next(iter(arrays.values())))
        codes = np.zeros(n_cells, dtype=np.int64) if groups is None else np.asarray(groups)
        if codes.shape != (n_cells,) or not np.issubdtype(codes.dtype, np.integer) or codes.min(initial=0) < 0:
            msg = f"groups must be {n_cells} integers from 0, got {codes.dtype} of the shape {codes.shape}"
            raise ValueError(msg)
        # in parts of the same size, so that the smallest is not empty
        folds = self._rng.permutation(np.arange(n_cells) % self.n_folds)
        for start in range(0, n_cells, CELLS_PER_BLOCK):
            rows = slice(start, start + CELLS_PER_BLOCK)
            self._add({name: x[rows] for name, x in arrays.items()}, codes[rows], folds[rows])

    def _add(self, arrays: Mapping[str, np.ndarray], codes: np.ndarray, folds: np.ndarray) -> None:
        for name, x in arrays.items():
            if name not in self._offsets:
                # of numbers far from 0 the squares would lose their digits
                self._offsets[name] = x.mean(axis=0, dtype=np.float64)
                self._order += [] if name in self._order else [name]
            if x.shape[1] != len(self._offsets[name]):
                msg = f"modality {name!r} had {len(self._offsets[name])} features and now has {x.shape[1]}"
                raise ValueError(msg)
            if not np.isfinite(x).all():
                msg = f"modality {name!r} has values that are NaN or infinite; give cells without it in other blocks"
                raise ValueError(msg)
        names = [name for name in self.modalities if name in arrays]
        for fold in range(self.n_folds):
            own = folds == fold
            centred = {name: x[own] - self._offsets[name] for name, x in arrays.items()}
            for first, second in combinations_with_replacement(names, 2):
                if (first, second) not in self.products:
                    sizes = len(self._offsets[first]), len(self._offsets[second])
                    self.products[first, second] = Products(self.n_folds, *sizes)
                self.products[first, second].add(fold, centred[first], centred[second], codes[own])


class Products:
    """Sums of the products of two modalities' features, by fold, and of the features, by fold and group."""

    def __init__(self, n_folds: int, n_first: int, n_second: int) -> None:
        self.sums = np.zeros((n_folds, n_first, n_second))
        self.counts = np.zeros((n_folds, 0))
        self.firsts, self.seconds = np.zeros((n_folds, 0, n_first)), np.zeros((n_folds, 0, n_second))

    def add(self, fold: int, first: np.ndarray, second: np.ndarray, codes: np.ndarray) -> None:
        """Add cells of one fold; codes of groups begin at 0."""
        missing = max(0, codes.max(initial=-1) + 1 - self.counts.shape[1])
        if missing:
            self.counts = np.pad(self.counts, ((0, 0), (0, missing)))
            self.firsts, self.seconds = (np.pad(x, ((0, 0), (0, missing), (0, 0))) for x in (self.firsts, self.seconds))
        self.sums[fold] += first.T @ second
        of_group = csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), (self.counts.shape[1], len(codes)))
        self.counts[fold] += of_group.sum(axis=1)
        self.firsts[fold] += of_group @ first
        self.seconds[fold] += of_group @ second

    def centred(self, folds: Sequence[int]) -> np.ndarray:
        """Sum of the products of some folds about the groups' means over all folds."""
        n_cells = self.counts.sum(axis=0).clip(1)[:, None]
        mean_first, mean_second = self.firsts.sum(axis=0) / n_cells, self.seconds.sum(axis=0) / n_cells
        counts, firsts, seconds = (x[folds].sum(axis=0) for x in (self.counts, self.firsts, self.seconds))
        less = firsts.T @ mean_second + mean_first.T @ seconds - (counts[:, None] * mean_first).T @ mean_second
        return self.sums[folds].sum(axis=0) - less

    def covariance(self, folds: Sequence[int]) -> np.ndarray:
        """Covariance within groups."""
        return self.centred(folds) / self.counts[folds].sum().clip(1)

    def total_variance(self) -> float:
        """Sum of the variances of one modality's features, with what differs between groups."""
        return float(np.trace(self.sums.sum(axis=0)) / self.counts.sum().clip(1) - np.square(self.mean()).sum())

    def mean(self) -> np.ndarray:
        """Mean of the first modality's features over all cells."""
        return self.firsts.sum(axis=(0, 1)) / self.counts.sum().clip(1)
