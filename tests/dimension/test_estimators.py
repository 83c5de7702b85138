from statistics import NormalDist

import numpy as np
import pytest
import skdim
from scipy.stats import t

from clipdim.dimension import estimate, lpca, mle, twonn
from clipdim.dimension.estimators import ESTIMATORS, Estimator
from clipdim.dimension.intervals import compact_blocks, jackknife_standard_error, overlap_standard_error
from clipdim.neighbors import nearest_neighbors
from clipdim.pl._dimension_text import dimension_label


@pytest.fixture(params=[(400, 3), (500, 12), (600, 32)], ids=str)
def cloud(request):
    return np.random.default_rng(1).normal(size=request.param)


@pytest.mark.parametrize("n_neighbors", [5, 20])
def test_mle_equals_scikit_dimension(cloud, n_neighbors):
    harmonic = skdim.id.MLE().fit(cloud, n_neighbors=n_neighbors)
    arithmetic = skdim.id.MLE().fit_transform(cloud, n_neighbors=n_neighbors)
    assert mle(cloud, n_neighbors=n_neighbors) == pytest.approx(harmonic.dimension_, abs=1e-6)
    assert mle(cloud, n_neighbors=n_neighbors, aggregation="arithmetic") == pytest.approx(arithmetic, abs=1e-6)
    pointwise = estimate(cloud, n_neighbors=n_neighbors).pointwise
    np.testing.assert_allclose(pointwise, harmonic.dimension_pw_, rtol=1e-7)


def test_mle_equals_scikit_dimension_in_float32(cloud):
    single = cloud.astype(np.float32)
    assert mle(single) == pytest.approx(skdim.id.MLE().fit(single.astype(np.float64)).dimension_, abs=1e-6)


def test_twonn_and_lpca_equal_scikit_dimension(cloud):
    cloud = cloud[:100]
    assert twonn(cloud) == pytest.approx(skdim.id.TwoNN().fit(cloud).dimension_, abs=1e-6)
    pointwise = skdim.id.lPCA().fit_pw(cloud, n_neighbors=15).dimension_pw_
    assert lpca(cloud, n_neighbors=15, aggregation="arithmetic") == pytest.approx(pointwise.mean(), abs=1e-6)
    assert lpca(cloud, n_neighbors=15) == pytest.approx(1 / np.mean(1 / pointwise), abs=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("n_copies", [1, 3, 30])
def test_repeated_cells_change_nothing(estimator, n_copies):
    X = np.random.default_rng(0).normal(size=(150, 6))
    repeated = np.concatenate([X, *[X[:40]] * n_copies])
    once, twice = estimate(X, estimator=estimator), estimate(repeated, estimator=estimator)
    assert twice.estimate == pytest.approx(once.estimate, rel=1e-9)
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high), rel=1e-9)
    assert twice.n_points == 150
    if once.pointwise is not None:
        np.testing.assert_allclose(twice.pointwise, np.concatenate([once.pointwise, *[once.pointwise[:40]] * n_copies]))


def test_one_repeated_cell_breaks_the_oracle_but_not_us():
    X = np.random.default_rng(0).normal(size=(200, 20))
    X[1] = X[0]
    with np.errstate(divide="ignore"):
        assert skdim.id.MLE().fit(X).dimension_ == 0
    assert mle(X) == pytest.approx(mle(X[1:]), rel=1e-9)


@pytest.mark.parametrize("dimension", [1, 2, 5])
@pytest.mark.parametrize("estimator", ["mle", "twonn"])
def test_known_dimension(dimension, estimator):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, dimension)) @ rng.normal(size=(dimension, 32))
    assert estimate(X, estimator=estimator).estimate == pytest.approx(dimension, rel=0.08)


def test_anchors_are_close_to_all_points():
    X = np.random.default_rng(0).normal(size=(4000, 8))
    found = estimate(X, n_anchors=1000)
    assert np.isfinite(found.pointwise).sum() == 1000
    assert found.estimate == pytest.approx(mle(X), abs=0.15)
    assert found.high - found.low > estimate(X).high - estimate(X).low
    assert estimate(X, n_anchors=9000).estimate == mle(X)


@pytest.mark.parametrize("function", [mle, twonn, lpca])
def test_anchors_are_drawn_by_the_seed(function):
    X = np.random.default_rng(0).normal(size=(300, 9))
    first, again, other = (function(X, n_anchors=50, random_state=seed) for seed in (3, 3, 4))
    assert len({first, other, function(X)}) == 3
    assert first == again
    # found anew: neighbours from all points, around the cells that numpy draws
    rows = np.random.default_rng(3).choice(300, 50, replace=False)  # pointwise values of lpca are integers
    if function is twonn:
        distances = np.sort(np.linalg.norm(X[rows, None] - X, axis=2), axis=1)[:, 1:3]
        expected = skdim.id.TwoNN(dist=True).fit(distances).dimension_
    else:
        pointwise = estimate(X, estimator=function.__name__).pointwise
        expected = 1 / np.mean(1 / pointwise[rows])
    assert first == pytest.approx(expected, rel=1e-9)


def test_a_new_estimator_is_one_entry(monkeypatch):
    spread = Estimator(
        "spread", "spread", pointwise=lambda points, found: np.linalg.norm(points[found.queries], axis=1)
    )
    monkeypatch.setitem(ESTIMATORS, "spread", spread)
    X = np.random.default_rng(0).normal(size=(60, 3))
    found = estimate(X, estimator="spread", aggregation="arithmetic")
    assert found.estimate == pytest.approx(np.linalg.norm(X, axis=1).mean())
    assert found.low < found.estimate < found.high
    assert dimension_label("spread") == "intrinsic dimension (spread)"


def test_integers_and_other_input_types():
    X = np.random.default_rng(0).integers(0, 1000, size=(200, 3))
    assert mle(X) == mle(X.astype(float)) == mle(X.tolist())


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scale_and_shift_do_not_matter(scale):
    X = np.random.default_rng(0).normal(size=(300, 5))
    assert mle(scale * X) == pytest.approx(mle(X), rel=1e-9)
    assert mle(X + 100) == pytest.approx(mle(X), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros(30)}, r"shape \(points, columns\)"),
        ({"X": np.zeros((30, 0))}, r"shape \(points, columns\)"),
        ({"X": np.zeros((0, 3))}, "no rows"),
        ({"X": np.eye(3), "estimator": "twonn"}, "3 distinct points"),
        ({"X": np.array([["a", "b"]])}, "numeric"),
        ({"X": np.full((30, 2), np.nan)}, "NaN or infinity in 30 of 30 rows"),
        ({"n_neighbors": 30}, "30 distinct points .* too few for n_neighbors=30"),
        ({"X": np.ones((100, 2))}, r"1 distinct points \(100 rows\)"),
        ({"n_neighbors": 1}, "n_neighbors must be an integer of at least 2, got 1"),
        ({"n_neighbors": 2.5}, "n_neighbors must be .* got 2.5"),
        ({"n_anchors": 0}, "n_anchors must be an integer of at least 4, got 0; or None for all points"),
        ({"n_anchors": True}, "n_anchors must be .* got True"),
        ({"random_state": -1}, "random_state must be an integer of at least 0 .* got -1"),
        ({"random_state": "a"}, "random_state must be an integer .* got 'a'"),
        ({"estimator": None}, "estimator must be one of .* got None"),
        ({"backend": "faiss"}, r"backend must be one of \['auto', 'exact'"),
        ({"aggregation": "median"}, r"aggregation must be one of \['harmonic', 'arithmetic'\], got 'median'"),
        ({"estimator": "danco"}, r"estimator must be one of \['mle', 'twonn', 'lpca'\], got 'danco'"),
        ({"X": np.arange(30.0)[:, None], "estimator": "lpca"}, "at least 2 columns"),
    ],
)
def test_bad_input(change, message):
    arguments = {"X": np.random.default_rng(0).normal(size=(30, 4)), **change}
    with pytest.raises((TypeError, ValueError), match=message):
        estimate(arguments.pop("X"), **arguments)


def test_smallest_clouds_work():
    X = np.random.default_rng(0).normal(size=(5, 2))
    assert all(np.isfinite(estimate(X, estimator=name, n_neighbors=3).estimate) for name in ESTIMATORS)
    assert np.isfinite(twonn(X[:4]))


@pytest.mark.parametrize("aggregation", ["harmonic", "arithmetic"])
def test_interval_is_one_of_95_percent(aggregation):
    X = np.random.default_rng(0).normal(size=(200, 3))
    found, power = estimate(X, aggregation=aggregation), -1 if aggregation == "harmonic" else 1
    error = overlap_standard_error(found.pointwise**power, nearest_neighbors(X, 20))
    quantile = NormalDist().inv_cdf(0.975)
    ends = np.sort([found.low**power, found.high**power])
    np.testing.assert_allclose(ends, found.estimate**power + quantile * error * np.array([-1, 1]), rtol=1e-9)


def test_interval_of_twonn_is_one_of_95_percent():
    X = np.random.default_rng(0).normal(size=(200, 3))
    found, distances = estimate(X, estimator="twonn"), nearest_neighbors(X, 2).distances

    def dimension(values):
        return skdim.id.TwoNN(dist=True).fit(values).dimension_

    error = jackknife_standard_error(dimension, distances, compact_blocks(X, 20))
    expected = found.estimate + t.ppf(0.975, 19) * error * np.array([-1, 1])
    np.testing.assert_allclose([found.low, found.high], expected, rtol=1e-9)


def test_interval_holds_the_expectation_where_the_naive_one_does_not():
    rng = np.random.default_rng(0)
    found = [estimate(rng.uniform(size=(300, 2))) for _ in range(200)]
    expectation = np.mean([one.estimate for one in found])
    held = np.mean([one.low < expectation < one.high for one in found])
    inverse = 1 / np.array([one.pointwise for one in found])
    naive = np.mean(np.abs(inverse.mean(axis=1) - inverse.mean()) < 1.96 * inverse.std(axis=1) / np.sqrt(300))
    assert naive < 0.9 < held


def test_interval_of_twonn_holds_the_expectation():
    rng = np.random.default_rng(0)
    found = [estimate(rng.normal(size=(200, 3)), estimator="twonn") for _ in range(60)]
    expectation = np.mean([one.estimate for one in found])
    assert np.mean([one.low < expectation < one.high for one in found]) > 0.85
