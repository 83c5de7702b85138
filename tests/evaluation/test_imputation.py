import numpy as np
import pytest
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsRegressor

from clipdim.evaluation.imputation import Imputer, Source


@pytest.fixture
def data():
    """Sources of training, measured and query cells, and their features: linear, smooth, local, noise, constant."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(900, 3)).astype(np.float32)
    x = np.hstack([z, rng.normal(size=(900, 2))]).astype(np.float32)
    y = np.stack([x[:, 3] * 2 + x[:, 0], np.sin(z[:, 0]), np.sign(z[:, 1]), rng.normal(size=900), np.ones(900)], axis=1)
    y = (y + np.array([0.1, 0.1, 0.1, 0, 0]) * rng.normal(size=y.shape)).astype(np.float32)
    parts = slice(500), slice(500, 700), slice(700, 900)
    return [Source(z[part], x[part]) for part in parts], [y[part] for part in parts]


def weights(distances):
    return np.exp(-((distances / distances.max(axis=1, keepdims=True)) ** 2))


def test_neighbours_equal_scikit_learn(data):
    (train, measured, query), (y, y_measured, _) = data
    found = Imputer(train, measured, query, n_neighbors=12).impute(y, y_measured, method="knn")
    knn = KNeighborsRegressor(12, weights=weights).fit(train.embedding, y)
    np.testing.assert_allclose(found.values, knn.predict(query.embedding), atol=1e-4)
    assert found.values.dtype == np.float32
    assert set(found.method) == {"knn"}
    predicted = knn.predict(measured.embedding)
    expected = [np.corrcoef(*pair)[0, 1] for pair in zip(predicted[:, :4].T, y_measured[:, :4].T, strict=True)]
    np.testing.assert_allclose(found.correlation[:4], expected, atol=1e-4)
    expected = r2_score(y_measured[:, :4], predicted[:, :4], multioutput="raw_values")
    np.testing.assert_allclose(found.r2[:4], expected, atol=1e-4)
    assert found.n_cells == 200


def test_average_is_the_mean_of_both(data):
    (train, measured, query), (y, y_measured, _) = data
    imputer = Imputer(train, measured, query)
    knn, ridge, average = (imputer.impute(y, y_measured, method=name).values for name in ("knn", "ridge", "average"))
    np.testing.assert_allclose(average, (knn + ridge) / 2, atol=1e-6)


def test_auto_takes_one_decoder_alone_only_where_it_leads(data):
    (train, measured, query), (y, y_measured, y_query) = data
    imputer = Imputer(train, measured, query)
    found = imputer.impute(y, y_measured)
    # the neighbours know nothing of the fourth input, which the ridge sees; the others are not worth a choice
    assert found.method[[0, 1, 2, 4]].tolist() == ["ridge", "average", "average", "average"]
    for column, name in enumerate(found.method):
        of_method = imputer.impute(y, y_measured, method=name)
        np.testing.assert_array_equal(found.values[:, column], of_method.values[:, column])
    reached = [np.corrcoef(*pair)[0, 1] for pair in zip(found.values.T[:3], y_query.T[:3], strict=True)]
    np.testing.assert_allclose(found.correlation[:3], reached, atol=0.05)
    assert np.isnan(found.correlation[4])
    assert np.isnan(found.r2[4])
    np.testing.assert_allclose(found.values[:, 4], 1, atol=1e-5)


def test_the_half_that_decides_does_not_measure(data):
    (train, measured, query), (y, y_measured, _) = data
    imputer = Imputer(train, measured, query, random_state=5)
    found = imputer.impute(y, y_measured)
    assert found.n_cells == 100
    deciding = imputer._halves[0]
    spoilt = y_measured.copy()
    spoilt[deciding] = spoilt[deciding][::-1]
    again = imputer.impute(y, spoilt)
    same = found.method == again.method
    np.testing.assert_array_equal(found.correlation[same], again.correlation[same])


def test_features_in_blocks_and_seeds(data):
    (train, measured, query), (y, y_measured, _) = data
    imputer = Imputer(train, measured, query)
    whole = imputer.impute(y, y_measured)
    parts = [imputer.impute(y[:, part], y_measured[:, part]) for part in (slice(2), slice(2, 5))]
    np.testing.assert_allclose(np.hstack([part.values for part in parts]), whole.values, atol=1e-5)
    again = Imputer(train, measured, query).impute(y, y_measured)
    np.testing.assert_array_equal(again.values, whole.values)
    np.testing.assert_array_equal(again.correlation, whole.correlation)


def test_more_neighbours_than_cells_and_equal_cells(data):
    (train, measured, query), (y, y_measured, _) = data
    few = Source(train.embedding[:5], train.inputs[:5])
    assert np.isfinite(Imputer(few, measured, query).impute(y[:5], y_measured).values).all()
    same = Source(np.ones((40, 3), np.float32), np.ones((40, 5), np.float32))
    found = Imputer(same, same, same).impute(y[:40], y[:40], method="knn")
    np.testing.assert_allclose(found.values.std(axis=0), 0, atol=1e-6)


def test_errors(data):
    (train, measured, query), (y, y_measured, _) = data
    for wrong, error in ((0, ValueError), (-3, ValueError), (2.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match=f"n_neighbors must be an integer of at least 1, got {wrong}"):
            Imputer(train, measured, query, n_neighbors=wrong)
    with pytest.raises(TypeError, match=r"random_state must be an integer .* got 'a'"):
        Imputer(train, measured, query, random_state="a")
    with pytest.raises(ValueError, match="500 training and 3 measured cells are too few"):
        Imputer(train, Source(measured.embedding[:3], measured.inputs[:3]), query)
    imputer = Imputer(train, measured, query)
    with pytest.raises(ValueError, match=r"method must be one of \['auto', 'knn', .* got 'forest'"):
        imputer.impute(y, y_measured, method="forest")
    with pytest.raises(ValueError, match=r"expected values of 500 cells.*got shape \(400, 5\)"):
        imputer.impute(y[:400], y_measured)
    with pytest.raises(ValueError, match=r"got shape \(200,\)"):
        imputer.impute(y, y_measured[:, 0])
