from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

from clipdim import pl


def rows(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def shown(ax):
    """Values of the cells, (features x directions)."""
    return ax.collections[0].get_array().reshape(len(rows(ax)), -1)


def matrix(mdata, modality):
    table = mdata.uns["clipdim"]["loadings"]
    return table[table["modality"] == modality].pivot_table(
        index="feature", columns="direction", values="loading", observed=True
    )


def test_shows_the_strongest_features_of_both_ends(fitted):
    axes = pl.loadings(fitted, n_features=3, directions=[4, 2])
    for ax, name in zip(axes, ("rna", "prot"), strict=True):
        assert ax.get_title(loc="left") == name
        expected = matrix(fitted, name)[[4, 2]]
        wanted = {
            feature
            for direction in expected
            for feature in [
                *expected[direction].nlargest(2).index,
                *expected[direction].nsmallest(1).index,
            ]
        }
        assert set(rows(ax)) == wanted
        np.testing.assert_allclose(shown(ax), expected.loc[rows(ax)])


def test_features_follow_their_directions_from_positive_to_negative(fitted):
    values = shown(pl.loadings(fitted)[0])
    assert values.shape[1] == 10
    main = np.abs(values).argmax(axis=1)
    assert (np.diff(main) >= 0).all()
    strongest = values[np.arange(len(values)), main]
    assert (np.diff(strongest)[np.diff(main) == 0] <= 0).all()


def test_colours_are_centred_and_the_same_in_all_panels(fitted):
    first, second = pl.loadings(fitted)
    norms = [ax.collections[0].norm for ax in (first, second)]
    largest = max(np.abs(shown(ax)).max() for ax in (first, second))
    assert [(norm.vmin, norm.vmax) for norm in norms] == [(-largest, largest)] * 2
    assert len(first.figure.axes) == 3
    first.figure.canvas.draw()
    # cells of one size, labels of different rows apart
    boxes = [ax.get_window_extent() for ax in (first, second)]
    sizes = [box.height / len(rows(ax)) for box, ax in zip(boxes, (first, second), strict=True)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)
    for ax in (first, second):
        labels = [label.get_window_extent() for label in ax.get_yticklabels()]
        assert all(upper.y0 >= lower.y0 + 0.9 * upper.height for upper, lower in pairwise(labels))
    assert max(label.get_window_extent().x1 for label in second.get_yticklabels()) <= boxes[1].x0
    assert min(label.get_window_extent().x0 for label in second.get_yticklabels()) >= boxes[0].x1


def test_names_directions_and_their_agreement(fitted):
    table = fitted.uns["clipdim"]["loadings"]
    table.loc[table["direction"] == 3, "agreement"] = np.nan
    table.loc[table["direction"] == 2, "agreement"] = -0.05
    ax = pl.loadings(fitted, directions=[1, 2, 3])[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1\n.90", "2\n-.05", "3\n"]


def test_more_features_than_there_are(fitted):
    axes = pl.loadings(fitted, n_features=100)
    assert set(rows(axes[1])) == set(matrix(fitted, "prot").index)
    assert len(rows(axes[1])) == 5  # one of the six is constant
    assert len(rows(pl.loadings(fitted, n_features=1, directions=[1])[0])) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"n_features": 0}, ValueError, "n_features must be an integer of at least 1, got 0"),
        ({"n_features": 2.5}, TypeError, r"n_features must be an integer .*got 2\.5"),
        ({"directions": [11]}, ValueError, r"directions=\[11\] must be some of those stored, 1 to 10.*n_directions="),
        ({"directions": [1, 1]}, ValueError, "each once"),
        ({"directions": [True]}, ValueError, r"directions=\[True\] must be some of those stored"),
        ({"directions": ["1"]}, ValueError, r"directions=\['1'\] must be some of those stored"),
        ({"directions": [[1, 2]]}, ValueError, r"directions=\[\[1, 2\]\] must be some of those stored"),
        ({"directions": []}, ValueError, "must be some of those stored"),
        ({"ax": "axes"}, ValueError, "array of 2 matplotlib Axes"),
    ],
)
def test_bad_arguments(fitted, arguments, error, match):
    with pytest.raises(error, match=match):
        pl.loadings(fitted, **arguments)
    assert plt.get_fignums() == []


def test_no_loadings(make_fitted):
    mdata = make_fitted(200, key="second")
    del mdata.uns["second"]["loadings"]
    with pytest.raises(KeyError, match=r'run clipdim.tl.loadings\(mdata, key="second"\)'):
        pl.loadings(mdata, key="second")
