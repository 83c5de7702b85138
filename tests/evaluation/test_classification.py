import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from clipdim.evaluation import class_scores, knn_labels, label_match


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    labels = np.array(["B", "NK", "T"])[rng.integers(3, size=90)]
    return rng.normal(size=(90, 4)) + 2 * (labels == "T")[:, None], labels


def test_label_match_equals_argmax_of_all_pairs(cells):
    u, labels = cells
    v = u + np.random.default_rng(1).normal(size=u.shape)
    np.testing.assert_array_equal(label_match(u, v, labels), labels[np.argmax(u @ v.T, axis=1)])


def test_knn_equals_scikit_learn(cells):
    X, labels = cells
    expected = KNeighborsClassifier(15).fit(X[:60], labels[:60]).predict(X[60:])
    np.testing.assert_array_equal(knn_labels(X[:60], labels[:60], X[60:]), expected)


def test_training_cells_do_not_decide_their_own_label(cells):
    X, labels = cells
    expected = cross_val_predict(KNeighborsClassifier(5), X, labels, cv=LeaveOneOut())
    np.testing.assert_array_equal(knn_labels(X, labels, n_neighbors=5), expected)
    assert np.mean(knn_labels(X, labels, n_neighbors=1) == labels) < 1


def test_fewer_training_cells_than_neighbors():
    assert knn_labels([[0.0], [1.0], [2.0]], ["a", "a", "b"], [[5.0]]).tolist() == ["a"]
    assert knn_labels([[0.0], [1.0]], ["a", "b"]).tolist() == ["b", "a"]


def test_scores_equal_scikit_learn(cells):
    X, labels = cells
    predicted = knn_labels(X, labels, n_neighbors=3)
    scores = class_scores(labels, predicted)
    assert scores.overall == pytest.approx(accuracy_score(labels, predicted))
    assert scores.balanced == pytest.approx(balanced_accuracy_score(labels, predicted))
    by_class = recall_score(labels, predicted, labels=["B", "NK", "T"], average=None)
    assert list(scores.by_class.values()) == pytest.approx(by_class)
    assert scores.n_cells == {name: int(np.sum(labels == name)) for name in ("B", "NK", "T")}


def test_class_that_was_never_seen_counts_as_wrong():
    scores = class_scores(["a", "new"], ["a", "a"])
    assert (scores.by_class["new"], scores.balanced) == (0, 0.5)


@pytest.mark.parametrize("n_columns", [4, 12])
def test_some_rows_are_predicted_from_all(n_columns):
    rng = np.random.default_rng(0)
    # several tiles of targets
    X, labels = rng.normal(size=(9000, n_columns)), rng.choice(["a", "b", "c"], 9000)
    rows = np.array([8999, 0, 40, 41])
    v = X + rng.normal(size=X.shape)
    np.testing.assert_array_equal(label_match(X, v, labels, rows=rows), labels[np.argmax(X[rows] @ v.T, axis=1)])
    knn = KNeighborsClassifier(15).fit(X[:8000], labels[:8000])
    found = knn_labels(X[:8000], labels[:8000], X[8000:], rows=[3, 1])
    np.testing.assert_array_equal(found, knn.predict(X[8000:][[3, 1]]))
    expected = [
        KNeighborsClassifier(15).fit(np.delete(X, row, axis=0), np.delete(labels, row)).predict(X[[row]])[0]
        for row in rows
    ]
    np.testing.assert_array_equal(knn_labels(X, labels, rows=rows), expected)


def test_equal_votes_go_to_the_label_that_sorts_first():
    assert knn_labels([[0.0], [1.0]], ["T", "B"], [[0.1], [0.9]], n_neighbors=2).tolist() == ["B", "B"]


def test_equally_similar_targets():
    # all cells at one place, also in several tiles: the first target counts, and there are neighbours to vote
    names = np.arange(9_000)
    assert set(label_match(np.ones((9_000, 2)), np.ones((9_000, 2)), names, rows=[0, 8_500])) == {0}
    # each of five places has targets in both tiles
    places = np.eye(5)[names % 5]
    np.testing.assert_array_equal(label_match(places, places, names), names % 5)
    labels = np.repeat(["b", "a"], [200, 100])
    assert set(label_match(np.ones((300, 8)), np.ones((300, 8)), labels)) == {"b"}
    assert len(knn_labels(np.ones((300, 8)), labels)) == 300


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: label_match(np.ones((3, 2)), np.ones((3, 2)), ["a"]), "3 cells need as many labels"),
        (lambda: knn_labels(np.ones((3, 2)), ["a", "b"]), "3 cells need as many labels"),
        (
            lambda: knn_labels(np.ones((3, 2)), ["a"] * 3, n_neighbors=0),
            "n_neighbors must be an integer of at least 1, got 0",
        ),
        (lambda: knn_labels(np.ones((1, 2)), ["a"]), "too few to learn labels from"),
        (lambda: knn_labels(np.ones((0, 2)), [], np.ones((1, 2))), "too few to learn labels from"),
        (lambda: knn_labels(np.ones((3, 2)), ["a"] * 3, rows=[3]), "row numbers from 0 to 2"),
        (lambda: knn_labels(np.ones((3, 2)), ["a"] * 3, np.ones((3, 4))), "have 4 dimensions, the training cells 2"),
        (lambda: knn_labels(np.full((3, 2), np.nan), ["a"] * 3), "must be finite"),
        (lambda: label_match(np.ones((3, 2)), np.ones((3, 2)), ["a"] * 3, rows=[]), "row numbers from 0 to 2"),
        (lambda: class_scores(["a"], ["a", "b"]), "1 cells need as many labels"),
        (lambda: class_scores([], []), "no cells to score"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
