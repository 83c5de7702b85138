"""The shared spectrum: how much each further direction that embeddings share tells, from local correlations."""

from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from math import comb

import numpy as np
from scipy.stats import t

from clipdim.dimension.places import Places

# columns that are left of each modality in a neighbourhood
N_COMPONENTS = 12
N_FLIPS = 20
MOST_DIRECTIONS = 16
# degree of the polynomials of earlier directions that do not count as further ones
HIGHEST_DEGREE = 4
# functions that are regressed out, as a share of the neighbours: up to degree 2 and above
FUNCTION_SHARES = (0.4, 0.25)
# of r^2, so that what is perfectly shared has a finite information
CEILING = 0.9999
# standard errors: one chance in 800 that a direction of noise is taken for a shared one
SIGNIFICANT = 3.5


@dataclass(frozen=True)
class Spectrum:
    """Direction by direction, in the order in which they were found."""

    above_chance: np.ndarray
    """(directions x places) information in nats less the mean of that by chance."""
    found: np.ndarray
    """(directions,) median information over the places."""
    chance: np.ndarray
    """(directions,) median over the places by chance, mean over the flips."""
    error: np.ndarray
    """(directions,) standard deviation of that median over the flips."""
    of_pairs: float
    """Median information of the first direction of the pair that shares least; 0 where there is one pair only."""
    n_flips: int
    full: bool
    """Whether it ended because more directions cannot be told with so few neighbours."""

    @property
    def information(self) -> np.ndarray:
        """(directions,) information above chance."""
        return self.found - self.chance

    @property
    def z(self) -> np.ndarray:
        """(directions,) information above chance over its standard error."""
        return self.information / self.error

    @property
    def p(self) -> np.ndarray:
        """(directions,) chance to find so much where no more is shared; no direction is surer than one before it."""
        # the error is known from a few flips only
        return np.maximum.accumulate(t.sf(self.z, self.n_flips - 1))


def spectrum_of(places: Places, rng: np.random.Generator, *, n_flips: int = N_FLIPS) -> Spectrum:
    """Find directions until one is no better than chance.

    Chance is a random sign for each cell, the same in all places: that keeps how strongly each cell deviates in each
    modality, which modalities that share nothing else may have in common, and how places overlap.
    """
    rest = list(places.coordinates)
    scales = [np.square(values).sum(axis=(1, 2)) for values in rest]
    earlier: list[np.ndarray] = []
    n_neighbors = rest[0].shape[1]
    inflation, of_pairs = _inflation([], n_neighbors), 0.0
    rows: list[tuple[np.ndarray, float, float, float]] = []
    while True:
        bases = [_basis(values, scale) for values, scale in zip(rest, scales, strict=True)]
        if not rows and len(bases) > 2:
            of_pairs = min(float(np.median(_leading(list(pair))[1])) for pair in combinations(bases, 2))
        variates, found = _leading(bases)
        chance = np.array([_by_chance(bases, places.cells, inflation, rng) for _ in range(n_flips)])
        medians = np.median(chance, axis=1)
        rows.append((found - chance.mean(axis=0), np.median(found), medians.mean(), medians.std(ddof=1)))
        n_found = len(rows)
        full = comb(n_found + 2, 2) - 1 > FUNCTION_SHARES[0] * n_neighbors or n_found == MOST_DIRECTIONS
        if full or rows[-1][1] - rows[-1][2] <= SIGNIFICANT * rows[-1][3]:
            break
        earlier = [np.concatenate(both, axis=2) for both in zip(earlier, variates, strict=bool(earlier))] or variates
        functions = [_orthonormal(_polynomials(one)) for one in earlier]
        rest = [values - q @ (q.transpose(0, 2, 1) @ values) for q, values in zip(functions, rest, strict=True)]
        inflation = _inflation(functions, n_neighbors)
    above, medians_found, chances, errors = (np.array(column) for column in zip(*rows, strict=True))
    return Spectrum(above, medians_found, chances, np.maximum(errors, 1e-12), of_pairs, n_flips, full)


def _basis(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the leading components of each place, (places x neighbours x components).

    ``scale`` is the variance of the place before anything was regressed out: what is far below is rounding.
    """
    variances, vectors = np.linalg.eigh(values.transpose(0, 2, 1) @ values)
    variances, vectors = variances[:, None, : -N_COMPONENTS - 1 : -1], vectors[:, :, : -N_COMPONENTS - 1 : -1]
    kept = variances > 1e-10 * scale[:, None, None].clip(1e-24)
    return (values @ vectors) * (kept / np.sqrt(np.where(kept, variances, 1)))


def _leading(bases: list[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """Leading canonical variates of each place, (places x neighbours x 1) of each modality, and their information."""
    if len(bases) == 2:
        left, r, right = np.linalg.svd(bases[0].transpose(0, 2, 1) @ bases[1])
        weights = [left[:, :, :1], right[:, :1].transpose(0, 2, 1)]
        return [basis @ w for basis, w in zip(bases, weights, strict=True)], _information(r[:, 0] ** 2)
    candidates, worst = _of_all(bases)
    best = worst.argmax(axis=1)[:, None, None]
    return [np.take_along_axis(one, best, 2) for one in candidates], _information(worst.max(axis=1))


def _of_all(bases: list[np.ndarray], signs: np.ndarray | float = 1.0) -> tuple[list[np.ndarray], np.ndarray]:
    """Directions that all modalities have, and the squared correlation of the worst pair of predictions of each.

    What two others predict of a direction of the first must agree: a direction of which one half is shared with the
    second and the other half with the third is no direction of all. ``signs`` of cells undo that agreement, and leave
    what the first shares with each.
    """
    first, *others = bases
    weights = [first.transpose(0, 2, 1) @ other for other in others]
    agreements = []
    for i, j in combinations(range(len(others)), 2):
        product = weights[i] @ (others[i].transpose(0, 2, 1) @ (others[j] * signs)) @ weights[j].transpose(0, 2, 1)
        agreements.append((product + product.transpose(0, 2, 1)) / 2)
    vectors = np.linalg.eigh(np.mean(agreements, axis=0))[1]
    # of a direction that all have with correlation r, the agreement is r^3
    worst = np.min([np.einsum("pik,pij,pjk->pk", vectors, one, vectors) for one in agreements], axis=0).clip(0)
    variates = [first @ vectors]
    for other, weight in zip(others, weights, strict=True):
        predicted = other @ (weight.transpose(0, 2, 1) @ vectors)
        variates.append(predicted / np.linalg.norm(predicted, axis=1, keepdims=True).clip(1e-12))
    return variates, worst ** (2 / 3)


def _by_chance(
    bases: list[np.ndarray], cells: np.ndarray, inflation: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Information of each place with random signs.

    Of three and more modalities the worst case: signs of one of them, or of what the others predict.
    """
    signs = rng.choice((-1.0, 1.0), size=cells.max() + 1)[cells][:, :, None]
    if len(bases) == 2:
        r = np.linalg.svd(bases[0].transpose(0, 2, 1) @ (bases[1] * signs), compute_uv=False)[:, 0]
        return _information(r**2 * inflation)
    worst = [_of_all(bases, signs)[1]]
    for i in range(len(bases)):
        worst.append(_of_all([basis * signs if i == j else basis for j, basis in enumerate(bases)])[1])
    found = [_information(one.max(axis=1) * inflation) for one in worst]
    return found[int(np.argmax([np.median(one) for one in found]))]


def _information(r_squared: np.ndarray) -> np.ndarray:
    """Mutual information of two Gaussian variables, in nats."""
    return -0.5 * np.log1p(-np.minimum(r_squared, CEILING))


def _polynomials(variates: np.ndarray) -> np.ndarray:
    """Products of the variates, (places x neighbours x functions), of the highest degree that leaves enough cells."""
    n_neighbors, n = variates.shape[1:]
    degree = 2
    while degree < HIGHEST_DEGREE and comb(n + degree + 1, n) - 1 <= FUNCTION_SHARES[1] * n_neighbors:
        degree += 1
    scaled = variates / variates.std(axis=1, keepdims=True).clip(1e-12)
    terms = [list(one) for d in range(1, degree + 1) for one in combinations_with_replacement(range(n), d)]
    return np.stack([scaled[:, :, one].prod(axis=2) for one in terms], axis=2)


def _orthonormal(functions: np.ndarray) -> np.ndarray:
    return np.linalg.qr(functions - functions.mean(axis=1, keepdims=True))[0]


def _inflation(functions: list[np.ndarray], n_neighbors: int) -> np.ndarray:
    """By how much r^2 by chance is larger once functions of both sides and the mean are regressed out, (places,).

    Residuals that are orthogonal to nearly the same functions lie in a smaller space, flipped ones do not. Of
    more than two modalities the largest counts.
    """
    n, overlap = 1, np.ones(1)
    if functions:
        n += functions[0].shape[2]
        pairs = [(a, b) for i, a in enumerate(functions) for b in functions[:i]]
        overlap = 1 + np.max([((a.transpose(0, 2, 1) @ b) ** 2).sum(axis=(1, 2)) for a, b in pairs], axis=0)
    return n_neighbors * (n_neighbors - 2 * n + overlap) / (n_neighbors - n) ** 2
