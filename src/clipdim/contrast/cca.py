"""Ridge canonical correlation analysis of two and more modalities, in closed form, from one pass over the cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, combinations_with_replacement, pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from scipy.sparse import csr_array

from clipdim import _check

CELLS_PER_BLOCK = 16_384
N_FOLDS = 5
RIDGES = (1.0, 0.1)
# a correlation of 1 would have an infinite weight, and one of 0 a column of zeros
LEAST, MOST = 1e-3, 0.995


@dataclass(frozen=True)
class RidgeCCA:
    """Linear encoders of each modality to common variates, and how much these correlate in cells left out."""

    means: dict[str, np.ndarray]
    """(features,) of each modality."""
    weights: dict[str, np.ndarray]
    """(features x variates) of each modality; the variates have the spread sqrt(rho / (1 - rho^2))."""
    correlations: dict[tuple[str, str], np.ndarray]
    """(variates,) cross-validated correlation rho of each pair of modalities, 0 where it is negative."""
    ridge: float

    @property
    def information(self) -> float:
        """Nats that two modalities tell of each other if all is Gaussian, the mean over the pairs."""
        each = [-np.log1p(-(rho.clip(0, MOST) ** 2)).sum() / 2 for rho in self.correlations.values()]
        return float(np.mean(each))

    def spreads(self, modality: str) -> np.ndarray:
        """Spread of each variate of a modality, (variates,): with it products are logarithms of likelihood ratios."""
        rho = np.max([r for pair, r in self.correlations.items() if modality in pair], axis=0).clip(LEAST, MOST)
        return np.sqrt(rho / (1 - rho**2))

    def transform(self, modality: str, inputs: ArrayLike) -> np.ndarray:
        """Map (cells x features) to (cells x variates).

        The cosine of two modalities' variates is their similarity: a few per cent from the logarithm of how much
        likelier the two are together than apart, if all are Gaussian.
        """
        return (np.asarray(inputs) - self.means[modality]) @ self.weights[modality]


class Moments:
    """Sums over cells from which :meth:`ridge_cca` follows; blocks of cells are added one after another.

    The cells may be on disk, and more than fit in memory: what is kept grows with the square of the features and with
    the number of groups, not with the cells. A million cells of 50 and 20 features take seconds.

    Parameters
    ----------
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
    Hotelling, "Relations between two sets of variates" (1936); Vinod (1976) for the ridge; Kettenring (1971) and
    Tenenhaus and Tenenhaus (2011) for more than two.

    Examples
    --------
    >>> import numpy as np
    >>> from clipdim.contrast import Moments
    >>> rng, moments = np.random.default_rng(0), Moments()
    >>> for _ in range(4):
    ...     x = rng.normal(size=(500, 3))
    ...     moments.add({"a": x, "b": np.c_[x[:, 0], rng.normal(size=(500, 2))]})
    >>> moments.ridge_cca().correlations["a", "b"].round(1)
    array([1., 0., 0.])
    """

    def __init__(self, *, n_folds: int = N_FOLDS, random_state: int = 0) -> None:
        self.n_folds = _check.integer("n_folds", n_folds, least=2)
        self._rng = np.random.default_rng(random_state)
        self._offsets: dict[str, np.ndarray] = {}
        self._products: dict[tuple[str, str], _Products] = {}

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

    def expect(self, inputs: Mapping[str, ArrayLike]) -> None:
        """Name modalities, with some of their cells, in the order that their pairs are to have."""
        for name, x in inputs.items():
            # of numbers far from 0 the squares would lose their digits
            self._offsets.setdefault(name, np.asarray(x).mean(axis=0, dtype=np.float64))

    def _add(self, arrays: Mapping[str, np.ndarray], codes: np.ndarray, folds: np.ndarray) -> None:
        self.expect(arrays)
        for name, x in arrays.items():
            if x.shape[1] != len(self._offsets[name]):
                msg = f"modality {name!r} had {len(self._offsets[name])} features and now has {x.shape[1]}"
                raise ValueError(msg)
        for fold in range(self.n_folds):
            own = folds == fold
            centred = {name: x[own] - self._offsets[name] for name, x in arrays.items()}
            for name, x in centred.items():
                if not np.isfinite(x.sum()):
                    msg = (
                        f"modality {name!r} has values that are NaN or infinite; give cells without it in other blocks"
                    )
                    raise ValueError(msg)
            for first, second in combinations_with_replacement([n for n in self._offsets if n in centred], 2):
                if (first, second) not in self._products:
                    sizes = len(self._offsets[first]), len(self._offsets[second])
                    self._products[first, second] = _Products(self.n_folds, *sizes)
                self._products[first, second].add(fold, centred[first], centred[second], codes[own])

    def ridge_cca(self, n_variates: int = 32, *, ridge: float | Sequence[float] = RIDGES) -> RidgeCCA:
        """Return the encoders of at most ``n_variates`` variates, see :func:`clipdim.contrast.ridge_cca`."""
        n_variates = _check.integer("n_variates", n_variates, least=1)
        ridges = [_check.number("ridge", x, least=0) for x in (ridge if isinstance(ridge, Sequence) else [ridge])]
        counts = [products.counts.sum() for (first, second), products in self._products.items() if first != second]
        n_cells = int(max(counts, default=0))
        if n_cells < 2 * self.n_folds:
            msg = f"{n_cells} cells with two modalities are too few for {self.n_folds} folds; add more"
            raise ValueError(msg)
        return max((self._ridge_cca(n_variates, value) for value in ridges), key=lambda found: found.information)

    def _ridge_cca(self, n_variates: int, ridge: float) -> RidgeCCA:
        """Return the encoders by one ridge."""
        names = list(self._offsets)
        pairs = [pair for pair in combinations(names, 2) if pair in self._products]
        weights = self._solve(range(self.n_folds), n_variates, ridge)
        n_found = next(iter(weights.values())).shape[1]
        correlations = self._cross_validate(pairs, n_found, ridge)
        means = {name: self._offsets[name] + self._products[name, name].mean() for name in names}
        found = RidgeCCA(means, weights, correlations, ridge)
        return replace(found, weights={name: w * found.spreads(name) for name, w in weights.items()})

    def _cross_validate(
        self, pairs: Sequence[tuple[str, str]], n_variates: int, ridge: float
    ) -> dict[tuple[str, str], np.ndarray]:
        """Correlations of the variates in each fold by the weights of the others, together."""
        products = {pair: np.zeros(n_variates) for pair in self._products}
        for left_out in range(self.n_folds):
            weights = self._solve([f for f in range(self.n_folds) if f != left_out], n_variates, ridge)
            for (first, second), of_pair in self._products.items():
                own = _quadratic(weights[first], of_pair.centred([left_out]), weights[second])
                # fewer cells may have fewer variates
                products[first, second][: len(own)] += own
        found = {}
        for first, second in pairs:
            # means, since more cells have a modality than have both
            product, *squares = (
                products[pair] / self._products[pair].counts.sum()
                for pair in ((first, second), (first, first), (second, second))
            )
            spread = np.sqrt(np.prod(squares, axis=0))
            found[first, second] = np.divide(product, spread, out=np.zeros_like(spread), where=spread > 0).clip(0, 1)
        return found

    def _solve(self, folds: Sequence[int], n_variates: int, ridge: float) -> dict[str, np.ndarray]:
        """Weights of variates of spread 1, from some of the folds."""
        names = list(self._offsets)
        covariances = {name: self._products[name, name].covariance(folds) for name in names}
        # next to what differs between groups, what rounding leaves within them is no spread
        totals = {name: self._products[name, name].total_variance() for name in names}
        if flat := [name for name, c in covariances.items() if not np.trace(c) > 1e-12 * totals[name]]:
            msg = f"the cells of modality {flat[0]!r} are all the same, within groups if there are any; leave it out"
            raise ValueError(msg)
        whitening = {name: _whiten(covariance, ridge) for name, covariance in covariances.items()}
        places = np.cumsum([0, *(w.shape[1] for w in whitening.values())])
        part = {name: slice(*ends) for name, ends in zip(names, pairwise(places), strict=True)}
        # of two modalities the largest eigenvalues are the correlations; of more, sums of them
        between = np.zeros((places[-1], places[-1]))
        for (first, second), products in self._products.items():
            if first != second:
                block = whitening[first].T @ products.covariance(folds) @ whitening[second]
                between[part[first], part[second]], between[part[second], part[first]] = block, block.T
        most = min(n_variates, places[-1] - max(w.shape[1] for w in whitening.values()))
        values, vectors = eigh(between, subset_by_index=[places[-1] - most, places[-1] - 1])
        vectors = vectors[:, (values > 1e-12 * values[-1]) | (values == values[-1])][:, ::-1]
        weights = {}
        for name in names:
            w = whitening[name] @ vectors[part[name]]
            spread = np.sqrt(_quadratic(w, covariances[name], w))
            weights[name] = np.divide(w, spread, out=np.zeros_like(w), where=spread > 1e-12)
        # either sign would do: take the one that does not depend on the linear algebra library
        first = weights[names[0]]
        signs = np.where(first[np.abs(first).argmax(axis=0), np.arange(first.shape[1])] < 0, -1.0, 1.0)
        return {name: w * signs for name, w in weights.items()}


def ridge_cca(
    inputs: Mapping[str, ArrayLike],
    n_variates: int = 32,
    *,
    ridge: float | Sequence[float] = RIDGES,
    rows: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    n_folds: int = N_FOLDS,
    random_state: int = 0,
) -> RidgeCCA:
    """Find linear encoders of paired modalities in closed form, and their cross-validated correlations.

    It is where the encoders of :func:`clipdim.tl.fit` begin, and on few cells often where they end. Cells on disk are
    added block by block to :class:`Moments` instead.

    Parameters
    ----------
    inputs
        (cells x features) for each of two or more modalities; row i is the same cell in all, unless ``rows`` says
        otherwise.
    n_variates
        At most so many variates; there are not more than features.
    ridge
        What is added to the eigenvalues of each modality's covariance, in units of their mean. It keeps directions of
        little spread, which few cells cannot tell from noise, from correlating by chance; 0 is plain CCA. Of several
        the one is taken that finds the most information in cells left out.
    rows
        (cells x modalities) row of each cell in each modality's inputs, -1 where it lacks the modality.
    groups
        (cells,) integers from 0, for instance the batch of each cell: covariances are then within groups.
    n_folds
        Parts of the cells for the cross-validation of the correlations.
    random_state
        Seed of the parts.

    Returns
    -------
    :class:`RidgeCCA`: means, weights and correlations; its ``transform`` encodes cells.

    Raises
    ------
    ValueError
        If the inputs do not belong together, hold NaN, or have too few cells.

    References
    ----------
    Hotelling (1936); Vinod (1976); Kettenring (1971); Tenenhaus and Tenenhaus (2011).

    Examples
    --------
    >>> import numpy as np
    >>> from clipdim.contrast import ridge_cca
    >>> x = np.random.default_rng(0).normal(size=(200, 4))
    >>> found = ridge_cca({"a": x, "b": x[:, :2] + 1}, ridge=0)
    >>> found.correlations["a", "b"].round(2)
    array([1., 1.])
    >>> found.transform("b", x[:5, :2] + 1).shape
    (5, 2)
    """
    arrays = {name: np.asarray(x) for name, x in inputs.items()}
    codes = None if groups is None else np.asarray(groups)
    if rows is None:
        n_cells = len(next(iter(arrays.values()), []))
        moments = Moments(n_folds=min(n_folds, max(2, n_cells // 2)), random_state=random_state)
        moments.add(arrays, codes)
        return moments.ridge_cca(n_variates, ridge=ridge)
    places = np.asarray(rows)
    has_one = (places >= 0).astype(np.int64)
    # of the pair that most cells have
    n_cells = int(np.triu(has_one.T @ has_one, 1).max(initial=0))
    moments = Moments(n_folds=min(n_folds, max(2, n_cells // 2)), random_state=random_state)
    paired = (places >= 0).sum(axis=1) > 1
    # pairs are in the order of the inputs, whichever cells come first
    moments.expect({name: x for i, (name, x) in enumerate(arrays.items()) if (places[paired, i] >= 0).any()})
    for has in np.unique(places >= 0, axis=0):
        if has.sum() > 1:
            cells = np.flatnonzero(((places >= 0) == has).all(axis=1))
            some = {name: x[places[cells, i]] for i, (name, x) in enumerate(arrays.items()) if has[i]}
            moments.add(some, None if codes is None else codes[cells])
    return moments.ridge_cca(n_variates, ridge=ridge)


class _Products:
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


def _whiten(covariance: np.ndarray, ridge: float) -> np.ndarray:
    """Map of the features to coordinates of a spread of at most 1, (features x coordinates)."""
    values, vectors = np.linalg.eigh(covariance)
    values = values.clip(0)
    # directions without spread have nothing to say: of constant and collinear features, of more features than cells
    kept = values > 1e-10 * values.max(initial=0)
    return vectors[:, kept] / np.sqrt((values + ridge * values.mean())[kept])


def _quadratic(a: np.ndarray, matrix: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Column by column a' M b."""
    return np.einsum("ik,ik->k", a, matrix @ b)
