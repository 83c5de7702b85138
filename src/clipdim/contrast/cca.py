"""Ridge canonical correlation analysis of two and more modalities, in closed form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh

from clipdim import _check
from clipdim.contrast.moments import N_FOLDS, Moments

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


def ridge_cca(
    inputs: Mapping[str, ArrayLike] | Moments,
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
    added block by block to :class:`Moments`.

    Parameters
    ----------
    inputs
        (cells x features) for each of two or more modalities; row i is the same cell in all, unless ``rows`` says
        otherwise. Or :class:`Moments` of cells, which ``rows``, ``groups``, ``n_folds`` and ``random_state`` do not
        change.
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
    Hotelling, "Relations between two sets of variates" (1936); Vinod (1976) for the ridge; Kettenring (1971) and
    Tenenhaus and Tenenhaus (2011) for more than two.

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
    n_variates = _check.integer("n_variates", n_variates, least=1)
    ridges = [_check.number("ridge", x, least=0) for x in (ridge if isinstance(ridge, Sequence) else [ridge])]
    moments = inputs if isinstance(inputs, Moments) else _moments(inputs, rows, groups, n_folds, random_state)
    counts = [products.counts.sum() for (first, second), products in moments.products.items() if first != second]
    n_cells = int(max(counts, default=0))
    if n_cells < 2 * moments.n_folds:
        msg = f"{n_cells} cells with two modalities are too few for {moments.n_folds} folds; add more"
        raise ValueError(msg)
    every = range(moments.n_folds)
    whole, *rests = (_Spectra(moments, [f for f in every if f != left_out]) for left_out in (None, *every))
    found = []
    for value in ridges:
        weights = whole.variates(n_variates, value)
        n_found = next(iter(weights.values())).shape[1]
        correlations = _cross_validate(moments, [rest.variates(n_found, value) for rest in rests], n_found)
        one = RidgeCCA({name: moments.mean(name) for name in weights}, weights, correlations, value)
        found.append(replace(one, weights={name: w * one.spreads(name) for name, w in weights.items()}))
    return max(found, key=lambda one: one.information)


def _moments(
    inputs: Mapping[str, ArrayLike],
    rows: ArrayLike | None,
    groups: ArrayLike | None,
    n_folds: int,
    random_state: int,
) -> Moments:
    """Return the sums over cells in memory, by sets of modalities; few cells have fewer folds."""
    arrays = {name: np.asarray(x) for name, x in inputs.items()}
    codes = None if groups is None else np.asarray(groups)
    n_cells = len(next(iter(arrays.values()), []))
    places = None if rows is None else np.asarray(rows)
    if places is not None:
        present = (places >= 0).astype(np.int64)
        # of the pair that most cells have
        n_cells = int(np.triu(present.T @ present, 1).max(initial=0))
    moments = Moments(list(arrays), n_folds=min(n_folds, max(2, n_cells // 2)), random_state=random_state)
    if places is None:
        moments.add(arrays, codes)
        return moments
    for has in np.unique(places >= 0, axis=0):
        if has.sum() > 1:
            cells = np.flatnonzero(((places >= 0) == has).all(axis=1))
            some = {name: x[places[cells, i]] for i, (name, x) in enumerate(arrays.items()) if has[i]}
            moments.add(some, None if codes is None else codes[cells])
    return moments


class _Spectra:
    """Eigenvectors of each modality's covariance over some folds, which serve every ridge."""

    def __init__(self, moments: Moments, folds: Sequence[int]) -> None:
        self.names = moments.modalities
        self.covariances = {pair: products.covariance(folds) for pair, products in moments.products.items()}
        self.eigen = {}
        for name in self.names:
            values, vectors = np.linalg.eigh(self.covariances[name, name])
            values = values.clip(0)
            # next to what differs between groups, what rounding leaves within them is no spread
            if not values.sum() > 1e-12 * moments.products[name, name].total_variance():
                msg = f"the cells of modality {name!r} are all the same, within groups if there are any; leave it out"
                raise ValueError(msg)
            self.eigen[name] = values, vectors

    def variates(self, n_variates: int, ridge: float) -> dict[str, np.ndarray]:
        """Weights of variates of spread 1, (features x variates) for each modality, those first that correlate most."""
        whitening = {name: _whiten(*self.eigen[name], ridge) for name in self.names}
        places = np.cumsum([0, *(w.shape[1] for w in whitening.values())])
        part = {name: slice(*ends) for name, ends in zip(self.names, pairwise(places), strict=True)}
        # of two modalities the largest eigenvalues are the correlations; of more, sums of them
        between = np.zeros((places[-1], places[-1]))
        for (first, second), covariance in self.covariances.items():
            if first != second:
                block = whitening[first].T @ covariance @ whitening[second]
                between[part[first], part[second]], between[part[second], part[first]] = block, block.T
        most = min(n_variates, places[-1] - max(w.shape[1] for w in whitening.values()))
        values, vectors = eigh(between, subset_by_index=[places[-1] - most, places[-1] - 1])
        vectors = vectors[:, (values > 1e-12 * values[-1]) | (values == values[-1])][:, ::-1]
        weights = {}
        for name in self.names:
            w = whitening[name] @ vectors[part[name]]
            spread = np.sqrt(_quadratic(w, self.covariances[name, name], w))
            weights[name] = np.divide(w, spread, out=np.zeros_like(w), where=spread > 1e-12)
        # either sign would do: take the one that does not depend on the linear algebra library
        first_weights = weights[self.names[0]]
        largest = first_weights[np.abs(first_weights).argmax(axis=0), np.arange(first_weights.shape[1])]
        return {name: w * np.where(largest < 0, -1.0, 1.0) for name, w in weights.items()}


def _cross_validate(
    moments: Moments, of_rests: Sequence[Mapping[str, np.ndarray]], n_variates: int
) -> dict[tuple[str, str], np.ndarray]:
    """Correlations of the variates in each fold by the weights from the others, all folds together."""
    products = {pair: np.zeros(n_variates) for pair in moments.products}
    for left_out, weights in enumerate(of_rests):
        for (first, second), of_pair in moments.products.items():
            own = _quadratic(weights[first], of_pair.centred([left_out]), weights[second])
            # fewer cells may have fewer variates
            products[first, second][: len(own)] += own
    found = {}
    for first, second in combinations(moments.modalities, 2):
        if (first, second) in products:
            # means, since more cells have a modality than have both
            product, *squares = (
                products[pair] / moments.products[pair].counts.sum()
                for pair in ((first, second), (first, first), (second, second))
            )
            spread = np.sqrt(np.prod(squares, axis=0))
            found[first, second] = np.divide(product, spread, out=np.zeros_like(spread), where=spread > 0).clip(0, 1)
    return found


def _whiten(values: np.ndarray, vectors: np.ndarray, ridge: float) -> np.ndarray:
    """Map of the features to coordinates of a spread of at most 1, (features x coordinates)."""
    # directions without spread have nothing to say: of constant and collinear features, of more features than cells
    kept = values > 1e-10 * values.max(initial=0)
    return vectors[:, kept] / np.sqrt((values + ridge * values.mean())[kept])


def _quadratic(a: np.ndarray, matrix: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Column by column a' M b."""
    return np.einsum("ik,ik->k", a, matrix @ b)
