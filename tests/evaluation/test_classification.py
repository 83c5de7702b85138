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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: label_match(np.ones((3, 2)), np.ones((3, 2)), ["a"]), "3 cells need as many labels"),
        (lambda: knn_labels(np.ones((3, 2)), ["a", "b"]), "3 cells need as many labels"),
        (lambda: knn_labels(np.ones((3, 2)), ["a"] * 3, n_neighbors=0), "n_neighbors=0 must"),
        (lambda: knn_labels(np.ones((1, 2)), ["a"]), "too few to learn labels from"),
        (lambda: knn_labels(np.ones((0, 2)), [], np.ones((1, 2))), "too few to learn labels from"),
        (lambda: class_scores(["a"], ["a", "b"]), "1 cells need as many labels"),
        (lambda: class_scores([], []), "no cells to score"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
