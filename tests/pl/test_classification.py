"""Figures of the cell-type accuracy: accuracy and confusion."""

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from clipdim import pl


def _names(labels):
    return [text.get_text().split("  (n")[0] for text in labels]


def _table(mdata, split, method="joint k-NN"):
    table = mdata.uns["clipdim"]["classify"]
    return table[(table["split"] == split) & (table["method"] == method)].set_index("label")


@pytest.mark.parametrize("method", ["joint k-NN", "rna to prot"])
def test_bars_and_circles_are_the_table(fitted, method):
    ax = pl.accuracy(fitted, method=method)
    names = _names(ax.get_yticklabels())
    held_out, train = _table(fitted, "held-out", method), _table(fitted, "train", method)
    np.testing.assert_array_equal([bar.get_width() for bar in ax.patches], held_out.loc[names, "accuracy"])
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), train.loc[names, "accuracy"])
    assert names[:2] == ["overall", "balanced"]
    sizes = held_out.loc[names[2:], "n_cells"]
    assert sizes.is_monotonic_decreasing
    assert ax.get_yticklabels()[2].get_text() == f"{names[2]}  (n = {sizes.iloc[0]})"


def test_a_class_without_held_out_cells_has_a_row(fitted):
    table = fitted.uns["clipdim"]["classify"]
    fitted.uns["clipdim"]["classify"] = table[(table["label"] != "DC") | (table["split"] == "train")]
    ax = pl.accuracy(fitted)
    assert ax.get_yticklabels()[-1].get_text() == "DC  (n = 0)"
    assert ax.texts[-1].get_text() == "–"
    assert np.isnan(ax.patches[-1].get_width())


def test_a_class_may_be_named_overall(fitted):
    table = fitted.uns["clipdim"]["classify"]
    table.loc[table["label"] == "NK", "label"] = "overall"
    expected = table[table["split"].eq("held-out") & table["method"].eq("joint k-NN") & table["label"].eq("overall")]
    ax = pl.accuracy(fitted)
    drawn = [
        bar.get_width() for bar, name in zip(ax.patches, _names(ax.get_yticklabels()), strict=True) if name == "overall"
    ]
    assert drawn == expected["accuracy"].tolist()


def test_figure_grows_with_the_classes(make_fitted):
    few = pl.accuracy(make_fitted(2500)).figure.get_size_inches()
    many = pl.accuracy(make_fitted(2500, n_classes=27)).figure.get_size_inches()
    assert many[1] - few[1] > 0.2 * (27 - 8)
    assert many[0] == few[0]


@pytest.mark.parametrize("split", ["held-out", "train"])
def test_confusion_is_that_of_scikit_learn(make_fitted, split):
    mdata = make_fitted(holdout=0.3 if split == "held-out" else 0)
    ax = pl.confusion(mdata)
    truth = mdata.uns["truth"]["cell_type"].query("split == @split")
    names = _names(ax.get_yticklabels())
    assert names == _names(ax.get_xticklabels())
    expected = confusion_matrix(truth["label"], truth["predicted"], labels=names, normalize="true")
    drawn = ax.collections[0].get_array().reshape(expected.shape)
    np.testing.assert_allclose(drawn.filled(np.nan), expected)
    assert truth["label"].value_counts().loc[names].is_monotonic_decreasing
    assert ax.texts[0].get_text() == f"{expected[0, 0]:.2f}"


def test_many_classes_have_no_numbers_but_every_name(make_fitted):
    mdata = make_fitted(2500, n_classes=27)
    ax = pl.confusion(mdata)
    classes = set(mdata.uns["truth"]["cell_type"]["label"])
    assert not ax.texts
    assert set(_names(ax.get_yticklabels())) == classes
    assert set(_names(ax.get_xticklabels())) == classes


def test_names_of_few_classes_are_horizontal(fitted):
    fitted.uns["clipdim"]["confusion"] = fitted.uns["clipdim"]["confusion"].query(
        "label in ['B', 'NK'] and predicted in ['B', 'NK']"
    )
    ax = pl.confusion(fitted)
    assert len(ax.get_yticklabels()) == 2
    assert {text.get_rotation() for text in ax.get_yticklabels()} == {0}


@pytest.mark.parametrize("place", ["mdata", "modality"])
def test_colours_of_scanpy(make_fitted, place):
    mdata = make_fitted(colors=True)
    categories = mdata.obs["cell_type"].cat.categories
    colors = dict(zip(categories, mdata.uns["cell_type_colors"], strict=True))
    if place == "modality":
        mdata["rna"].uns["cell_type_colors"] = mdata.uns.pop("cell_type_colors")
        mdata["rna"].obs["cell_type"] = mdata.obs["cell_type"].reindex(mdata["rna"].obs_names)
        del mdata.obs["cell_type"]
    ax = pl.accuracy(mdata)
    names = _names(ax.get_yticklabels())[2:]
    drawn = [mpl.colors.to_hex(bar.get_facecolor()) for bar in ax.patches[2:]]
    assert drawn == [colors[name] for name in names]

    ax = pl.confusion(mdata)
    names = _names(ax.get_yticklabels())
    patches = [mpl.colors.to_hex(patch.get_facecolor()) for patch in ax.patches]
    assert patches[0::2] == [colors[name] for name in names]
    assert patches[1::2] == [colors[name] for name in names]


@pytest.mark.parametrize("colors", [["red", "blue"], ["no colour"] * 8, None])
def test_colours_that_do_not_fit_are_not_used(fitted, colors):
    if colors is not None:
        fitted.uns["cell_type_colors"] = np.array(colors)
    assert len({bar.get_facecolor() for bar in pl.accuracy(fitted).patches}) == 1
    assert not pl.confusion(fitted).patches


def test_colours_of_a_column_that_muon_pulled_from_a_modality(make_fitted):
    mdata = make_fitted(label_keys=("rna:cell_type",), colors=True)
    column = mdata.obs["rna:cell_type"]
    mdata["rna"].obs["cell_type"] = column.reindex(mdata["rna"].obs_names)
    mdata["rna"].uns["cell_type_colors"] = mdata.uns.pop("rna:cell_type_colors")
    assert len({bar.get_facecolor() for bar in pl.accuracy(mdata).patches[2:]}) == 8


@pytest.mark.parametrize(("figure", "table"), [(pl.accuracy, "classify"), (pl.confusion, "confusion")])
def test_not_scored(figure, table, fitted):
    with pytest.raises(KeyError, match='no accuracy of label_key="donor", only of cell_type; run'):
        figure(fitted, "donor")
    with pytest.raises(KeyError, match='no accuracy by method="svm", only by joint k-NN'):
        figure(fitted, method="svm")
    del fitted.uns["clipdim"][table]
    with pytest.raises(KeyError, match=r'run clipdim.tl.classify\(mdata, "cell_type"\)'):
        figure(fitted)
    with pytest.raises(KeyError, match=r'run clipdim.tl.classify\(mdata, "donor"\)'):
        figure(fitted, "donor")


@pytest.mark.parametrize("figure", [pl.accuracy, pl.confusion])
def test_several_labels(figure, make_fitted):
    mdata = make_fitted(label_keys=("level1", "level2"))
    with pytest.raises(ValueError, match="level1, level2; choose one"):
        figure(mdata)
    assert "level2" in figure(mdata, "level2").get_xlabel()
