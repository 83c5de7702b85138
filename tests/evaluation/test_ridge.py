import numpy as np
import pytest
from sklearn.linear_model import Ridge

from clipdim.evaluation.ridge import _PENALTIES, FourierRidge


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    embedding, inputs = rng.normal(size=(600, 3)), 5 + rng.normal(size=(600, 4)) * [1, 10, 0.1, 1]
    targets = np.stack([inputs[:, 0] + inputs[:, 1], np.sin(2 * embedding[:, 0]), rng.normal(size=600)], axis=1)
    targets += 0.1 * rng.normal(size=targets.shape) + [0, 3, -2]
    return embedding.astype(np.float32), inputs.astype(np.float32), targets.astype(np.float32)


def standardised(ridge, embedding, inputs):
    return np.vstack([X for _, X in ridge._design(embedding, inputs)])


def test_equals_scikit_learn_at_the_penalty_of_least_generalised_error(data):
    embedding, inputs, targets = data
    train, test, n = slice(200), slice(400, None), 200
    ridge = FourierRidge(embedding[train], inputs[train])
    predicted = ridge.predict(embedding[test], inputs[test], ridge.coefficients(targets[train]))
    X, others = (standardised(ridge, embedding[part], inputs[part]).astype(np.float64) for part in (train, test))
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(X.std(axis=0), 1, atol=1e-4)
    y = targets[train].astype(np.float64)
    errors = []
    for penalty in n * _PENALTIES:
        hat = X @ np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T) + 1 / n
        errors.append(np.mean((y - hat @ y) ** 2, axis=0) / (1 - np.trace(hat) / n) ** 2)
    best = n * _PENALTIES[np.argmin(errors, axis=0)]
    np.testing.assert_allclose(predicted, Ridge(alpha=best).fit(X, y).predict(others), atol=2e-3)


def test_learns_what_is_smooth_and_what_is_linear(data):
    embedding, inputs, targets = data
    ridge = FourierRidge(embedding[:400], inputs[:400])
    predicted = ridge.predict(embedding[400:], inputs[400:], ridge.coefficients(targets[:400]))
    correlation = [np.corrcoef(*pair)[0, 1] for pair in zip(predicted.T, targets[400:].T, strict=True)]
    assert min(correlation[:2]) > 0.95
    # noise is shrunk to its mean
    assert predicted[:, 2].std() < 0.3
    assert predicted[:, 2].mean() == pytest.approx(-2, abs=0.2)


def test_blocks_and_seed(data, monkeypatch):
    embedding, inputs, targets = data
    whole = FourierRidge(embedding, inputs, random_state=3)
    expected = whole.predict(embedding, inputs, whole.coefficients(targets))
    monkeypatch.setattr("clipdim.evaluation.ridge._BLOCK", 37)
    state = np.random.get_state()[1].copy()
    for seed, same in ((3, True), (4, False)):
        ridge = FourierRidge(embedding, inputs, random_state=seed)
        found = ridge.predict(embedding, inputs, ridge.coefficients(targets))
        assert np.allclose(found, expected, atol=1e-3) == same
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_constant_columns_and_equal_cells():
    ones = np.ones((30, 2), np.float32)
    ridge = FourierRidge(ones, ones)
    np.testing.assert_allclose(ridge.predict(ones, ones, ridge.coefficients(3 * ones)), 3)
