"""Information of direction after direction, against canonical correlations by others."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA
from sklearn.preprocessing import PolynomialFeatures

from clipdim.dimension.places import Places
from clipdim.dimension.shared_spectrum import (
    CEILING,
    N_COMPONENTS,
    _basis,
    _inflation,
    _information,
    _leading,
    _orthonormal,
    _polynomials,
    spectrum_of,
)


def centred(values):
    return values - values.mean(axis=-2, keepdims=True)


def basis(values):
    return _basis(values, np.square(values).sum(axis=(1, 2)))


def gaussian_places(correlations, *, n_places=12, n_neighbors=200, columns=(4, 5), seed=0):
    """Centred places of independent cells whose embeddings have these canonical correlations."""
    rng = np.random.default_rng(seed)
    size = (n_places, n_neighbors)
    r, shared = np.array(correlations), rng.normal(size=(*size, len(correlations)))
    coordinates = []
    for n_columns in columns:
        own = rng.normal(size=(*size, n_columns))
        own[..., : len(r)] = np.sqrt(r) * shared + np.sqrt(1 - r) * own[..., : len(r)]
        coordinates.append(centred(own @ rng.normal(size=(n_columns, n_columns))))
    cells = np.arange(n_places * n_neighbors).reshape(size)
    return Places(coordinates, cells, np.zeros(n_places, dtype=int))


def naive_correlations(u, v):
    """Canonical correlations from the eigenvalues of the textbook's product of covariances."""
    u, v = centred(u), centred(v)
    product = np.linalg.solve(u.T @ u, u.T @ v) @ np.linalg.solve(v.T @ v, v.T @ u)
    return np.sqrt(np.sort(np.linalg.eigvals(product).real)[::-1])


def residuals(values, functions):
    """What least squares with a constant leaves."""
    design = np.hstack([np.ones((len(values), 1)), functions])
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def test_first_direction_equals_canonical_correlation():
    places = gaussian_places([0.8, 0.4])
    found = spectrum_of(places, np.random.default_rng(0))
    r = np.array([naive_correlations(u, v)[0] for u, v in zip(*places.coordinates, strict=True)])
    expected = -0.5 * np.log(1 - r**2)
    assert found.found[0] == pytest.approx(np.median(expected))
    # less the mean by chance, which is another number for each place
    assert np.median(expected - found.above_chance[0]) == pytest.approx(found.chance[0], rel=0.2)


def test_first_direction_equals_scikit_learn():
    places = gaussian_places([0.8, 0.4], n_places=4)
    variates, information = _leading([basis(values) for values in places.coordinates])
    for i, (u, v) in enumerate(zip(*places.coordinates, strict=True)):
        ours, theirs = CCA(n_components=1, max_iter=5_000, tol=1e-12).fit_transform(u, v)
        r = np.corrcoef(ours[:, 0], theirs[:, 0])[0, 1]
        assert information[i] == pytest.approx(-0.5 * np.log(1 - r**2), rel=1e-5)
        assert abs(np.corrcoef(ours[:, 0], variates[0][i, :, 0])[0, 1]) == pytest.approx(1, abs=1e-5)


def test_next_direction_is_that_of_what_the_products_of_the_first_leave():
    places = gaussian_places([0.9, 0.6])
    found = spectrum_of(places, np.random.default_rng(0))
    expected = []
    for u, v in zip(*places.coordinates, strict=True):
        variates, _ = _leading([basis(one[None]) for one in (u, v)])
        left = [residuals(one, z[0] ** [1, 2, 3, 4]) for one, z in zip((u, v), variates, strict=True)]
        # one column of each is gone
        bases = [np.linalg.svd(one, full_matrices=False)[0][:, :-1] for one in left]
        r = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)[0]
        expected.append(-0.5 * np.log(1 - r**2))
    assert found.found[1] == pytest.approx(np.median(expected), rel=1e-6)


@pytest.mark.parametrize("correlations", [[], [0.7], [0.8, 0.7], [0.9, 0.8, 0.7]])
def test_information_of_gaussians(correlations):
    """Each direction has that of its own correlation, and one more than these is not significant."""
    found = spectrum_of(gaussian_places(correlations, n_places=40, n_neighbors=400), np.random.default_rng(0))
    expected = -0.5 * np.log(1 - np.square([*correlations, 0]))
    np.testing.assert_allclose(found.information, expected, atol=0.05)
    assert (found.z > 3.5).tolist() == [True] * len(correlations) + [False]
    assert found.above_chance.shape == (len(correlations) + 1, 40)
    assert (found.p[:-1] < 0.01).all()
    assert found.p[-1] > 0.001
    assert not found.full


def test_ends_where_products_would_take_all_cells():
    """Of 60 cells 24 functions may be taken: five directions with their products are 20, six are 27."""
    found = spectrum_of(gaussian_places([0.99] * 8, n_neighbors=60, columns=(10, 10)), np.random.default_rng(0))
    assert (found.full, len(found.found)) == (True, 6)


def test_perfect_correlation_has_a_finite_information():
    places = gaussian_places([0.5])
    same = Places([places.coordinates[0]] * 2, places.cells, places.part)
    assert spectrum_of(same, np.random.default_rng(0)).found[0] == pytest.approx(-0.5 * np.log(1 - CEILING))
    np.testing.assert_allclose(_information(np.array([0, 0.75, 1, 1.1])), [0, np.log(2), *[-np.log(0.01)] * 2])


def test_of_three_the_weakest_pair_counts():
    """One direction in all, another in two only."""
    rng = np.random.default_rng(0)
    shared, of_two = rng.normal(size=(2, 20, 300, 1))
    own = rng.normal(size=(3, 20, 300, 3))
    bases = [np.concatenate([shared + 0.5 * own[i, :, :, :1], own[i, :, :, 1:]], axis=2) for i in range(3)]
    bases[0][:, :, 1:2] = bases[1][:, :, 1:2] = of_two
    bases = [basis(centred(values)) for values in bases]
    variates, information = _leading(bases)
    assert np.median(information) == pytest.approx(-0.5 * np.log(1 - 0.8**2), abs=0.06)
    for i in range(5):
        for variate in variates:
            assert abs(np.corrcoef(variate[i, :, 0], shared[i, :, 0])[0, 1]) > 0.8


def test_signs_are_of_cells_not_of_rows():
    """A cell that is in several places, or twice in the embedding, has one sign in all: chance is what it was."""
    places = gaussian_places([0.0], n_places=30, n_neighbors=100)
    assert abs(spectrum_of(places, np.random.default_rng(0)).z[0]) < 3.5
    twice = [np.concatenate([values, values], axis=1) for values in places.coordinates]
    as_cells = Places(twice, np.concatenate([places.cells, places.cells], axis=1), places.part)
    others = Places(twice, np.arange(30 * 200).reshape(30, 200), places.part)
    assert abs(spectrum_of(as_cells, np.random.default_rng(0)).z[0]) < 3.5
    assert spectrum_of(others, np.random.default_rng(0)).z[0] > 3.5


def test_basis_spans_the_leading_components():
    rng = np.random.default_rng(0)
    values = centred(rng.normal(size=(5, 80, 20)) * np.geomspace(1, 0.1, 20))
    bases = basis(values)
    assert bases.shape == (5, 80, N_COMPONENTS)
    for place, found in zip(values, bases, strict=True):
        left = np.linalg.svd(place, full_matrices=False)[0][:, :N_COMPONENTS]
        np.testing.assert_allclose(found.T @ found, np.eye(N_COMPONENTS), atol=1e-9)
        np.testing.assert_allclose(found @ found.T, left @ left.T, atol=1e-9)


def test_basis_has_no_more_columns_than_the_values_have_rank():
    rng = np.random.default_rng(0)
    values = centred(rng.normal(size=(3, 50, 2)) @ rng.normal(size=(2, 6)))
    for place, found in zip(values, basis(values), strict=True):
        left = np.linalg.svd(place, full_matrices=False)[0][:, :2]
        np.testing.assert_allclose(found @ found.T, left @ left.T, atol=1e-7)
        np.testing.assert_array_equal(found[:, 2:], 0)
    np.testing.assert_array_equal(basis(np.zeros((2, 50, 3))), np.zeros((2, 50, 3)))


def test_basis_leaves_out_what_is_rounding_of_what_was_there():
    values = centred(np.random.default_rng(0).normal(size=(2, 50, 3)))
    scale = np.square(values).sum(axis=(1, 2))
    np.testing.assert_array_equal(_basis(1e-7 * values, scale), 0)
    np.testing.assert_allclose(_basis(1e-3 * values, scale), basis(values), atol=1e-9)


@pytest.mark.parametrize(
    ("n", "n_neighbors", "degree"), [(1, 20, 4), (1, 12, 3), (1, 8, 2), (2, 56, 4), (2, 55, 3), (3, 76, 3), (3, 75, 2)]
)
def test_polynomials_equal_naive_products(n, n_neighbors, degree):
    """All up to degree 2, and of the highest degree up to 4 with no more functions than a quarter of the cells."""
    variates = np.random.default_rng(0).normal(size=(3, n_neighbors, n))
    found = _polynomials(variates)
    for place, functions in zip(variates, found, strict=True):
        scaled = place / place.std(axis=0)
        expected = PolynomialFeatures(degree, include_bias=False).fit_transform(scaled)
        np.testing.assert_allclose(functions, expected)
        products = [
            np.prod([scaled[:, i] for i in term], axis=0)
            for d in range(1, degree + 1)
            for term in combinations_with_replacement(range(n), d)
        ]
        np.testing.assert_allclose(functions, np.stack(products, axis=1))


def test_residuals_are_orthogonal_to_the_functions():
    rng = np.random.default_rng(0)
    functions = _polynomials(rng.normal(size=(4, 120, 2)))
    q = _orthonormal(functions)
    values = centred(rng.normal(size=(4, 120, 3)))
    left = values - q @ (q.transpose(0, 2, 1) @ values)
    np.testing.assert_allclose(left.transpose(0, 2, 1) @ functions, 0, atol=1e-9)
    np.testing.assert_allclose(left.sum(axis=1), 0, atol=1e-10)
    for i in range(4):
        np.testing.assert_allclose(left[i], residuals(values[i], functions[i]), atol=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_inflation_by_monte_carlo(share):
    """Residuals of noise on functions that are partly the same correlate by more than noise with flipped signs."""
    m, n_functions, n_draws = 60, 12, 40_000
    rng = np.random.default_rng(0)
    first, other = rng.normal(size=(2, m, n_functions))
    second = share * first + np.sqrt(1 - share**2) * other
    a, b = (_orthonormal(one[None]) for one in (first, second))
    x, y, z = rng.normal(size=(3, n_draws, m, 1))
    x, y, z = (centred(one) for one in (x, y, z))
    rx, ry, rz = (one - q @ (q.transpose(0, 2, 1) @ one) for one, q in ((x, a), (y, b), (z, a)))
    flipped = rz * rng.choice((-1, 1), size=(n_draws, m, 1))

    def mean_squared_correlation(one, two):
        along = (one * two).sum(axis=(1, 2)) ** 2
        return np.mean(along / (one**2).sum(axis=(1, 2)) / (two**2).sum(axis=(1, 2)))

    found = _inflation([a, b], m)
    assert found.shape == (1,)
    assert m * mean_squared_correlation(rx, ry) == pytest.approx(found[0], rel=0.04)
    # what is multiplied has 1 / m by chance
    assert m * mean_squared_correlation(flipped, ry) == pytest.approx(1, rel=0.04)


def test_inflation_of_nothing_is_that_of_the_mean():
    x, y = centred(np.random.default_rng(0).normal(size=(2, 40_000, 20, 1)))[:, :, :, 0]
    r = (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    assert 20 * np.mean(r**2) == pytest.approx(_inflation([], 20)[0], rel=0.03)


def test_inflation_of_three_is_that_of_the_two_most_alike():
    a, b, c = _orthonormal(np.random.default_rng(0).normal(size=(3, 50, 6)))[:, None]
    pairs = [_inflation([one, two], 50) for one, two in ((a, b), (a, c), (b, c))]
    np.testing.assert_allclose(_inflation([a, b, c], 50), np.max(pairs, axis=0))
