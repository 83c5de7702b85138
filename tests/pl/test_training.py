"""Figures of the training history: history, temperature, intrinsic_dimension."""

import numpy as np
import pytest

from clipdim import pl


def _line(ax, label):
    return next(line for line in ax.get_lines() if line.get_label() == label).get_ydata()


def test_history_draws_what_is_stored(fitted):
    stored = fitted.uns["clipdim"]["history"]
    loss, similarity, norms = pl.history(fitted)
    np.testing.assert_array_equal(_line(loss, "training"), stored["loss"])
    np.testing.assert_array_equal(_line(loss, "held-out"), stored["held_out_loss"])
    for name in ("positive", "negative"):
        np.testing.assert_array_equal(_line(similarity, name), stored[f"{name}_similarity"])
    band = similarity.collections[0].get_paths()[0].vertices
    mean, spread = stored["positive_similarity"], stored["positive_similarity_sd"]
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [(mean - spread).min(), (mean + spread).max()])
    for name in ("rna", "prot"):
        np.testing.assert_array_equal(_line(norms, name), stored[f"norm_spread_{name}"])


def test_history_marks_the_loss_of_chance(fitted, make_fitted):
    few = make_fitted(100, holdout=0.2)  # minibatches are not larger than the training cells
    assert pl.history(few)[0].get_lines()[2].get_ydata()[0] == pytest.approx(np.log(80))
    levels = [line.get_ydata() for line in pl.history(fitted)[0].get_lines()[2:]]
    np.testing.assert_allclose(levels, [[np.log(256)] * 2])
    assert len(pl.history(fitted, chance=False)[0].get_lines()) == 2
    fitted.uns["clipdim"]["params"]["batch_key"] = "donor"
    assert len(pl.history(fitted)[0].get_lines()) == 2


def test_history_without_held_out_cells(make_fitted):
    loss, similarity, norms = pl.history(make_fitted(200, holdout=0))
    assert not any(line.get_label() == "held-out" for line in loss.get_lines())
    for ax in (similarity, norms):
        assert not ax.get_lines()
        assert [text.get_text() for text in ax.texts] == ["no cells were held out"]


def test_temperature_draws_what_is_stored_on_a_log_axis(fitted):
    ax = pl.temperature(fitted)
    stored = fitted.uns["clipdim"]["history"]["temperature"]
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), stored)
    assert ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.texts] == [f"{stored.iloc[-1]:.3g}"]


@pytest.fixture
def add_fit(make_fit):
    """Return a function that puts another fit beside the first, its history cut."""

    def add(mdata, key, out_dim, n_epochs):
        history = mdata.uns["clipdim"]["history"].iloc[:n_epochs]
        mdata.uns[key] = make_fit({"rna": 1, "prot": 1}, out_dim, history=history).to_uns()

    return add


def _names(ax):
    return [text.get_text().split(" (")[0] for text in ax.get_legend().get_texts()]


def test_temperature_of_several_fits_has_a_line_for_each(fitted, add_fit):
    add_fit(fitted, "small", 4, 12)
    ax = pl.temperature(fitted, key=["clipdim", "small"])
    lines = [line for line in ax.get_lines() if "out_dim" in line.get_label()]
    for line, key in zip(lines, ("small", "clipdim"), strict=True):  # by out_dim
        stored = fitted.uns[key]["history"]["temperature"]
        np.testing.assert_array_equal(line.get_ydata(), stored)
        np.testing.assert_array_equal(line.get_xdata(), stored.index)
        assert line.get_label().endswith(f"(τ = {stored.iloc[-1]:.3g})")
    assert _names(ax) == ["out_dim 4", "out_dim 32"]
    assert len({line.get_color() for line in lines}) == 2
    assert not ax.texts


def test_fits_of_the_same_out_dim_are_named_by_their_keys(fitted, add_fit):
    add_fit(fitted, "again", 32, 20)
    add_fit(fitted, "small", 4, 20)
    assert _names(pl.temperature(fitted, key=("again", "small", "clipdim"))) == ["again", "small", "clipdim"]


def test_temperature_of_a_list_of_one_fit_looks_like_that_of_its_key(fitted):
    ax = pl.temperature(fitted, key=["clipdim"])
    assert ax.get_legend() is None
    assert [text.get_text() for text in ax.texts] == [text.get_text() for text in pl.temperature(fitted).texts]


@pytest.mark.parametrize("figure", [pl.temperature, pl.norms])
def test_several_fits_one_of_which_is_missing_or_none(figure, fitted):
    with pytest.raises(KeyError, match=r"no fit in mdata.uns\['other'\].*clipdim.tl.fit"):
        figure(fitted, key=["clipdim", "other"])
    with pytest.raises(ValueError, match="key is empty"):
        figure(fitted, key=[])


@pytest.mark.parametrize("name", ["history", "temperature", "intrinsic_dimension"])
def test_one_epoch(name, make_fitted):
    ax = np.atleast_1d(getattr(pl, name)(make_fitted(200, n_epochs=1)))[0]
    ax.figure.canvas.draw()
    assert any(line.get_marker() not in ("None", "", None) for line in ax.get_lines())


def test_intrinsic_dimension_draws_history_and_final_estimates(fitted):
    fit = fitted.uns["clipdim"]
    ax = pl.intrinsic_dimension(fitted)
    # the shape of the history, brought to the final estimates
    for line, name in zip(ax.get_lines()[:2], ("rna", "prot"), strict=True):
        recorded = fit["history"][f"intrinsic_dimension_{name}"].to_numpy()
        np.testing.assert_allclose(line.get_ydata() / line.get_ydata()[-1], recorded / recorded[-1])
        assert line.get_ydata()[-1] == pytest.approx(fit["intrinsic_dimension"][name]["estimate"])
    for container, name in zip(ax.containers, ("rna", "prot", "joint"), strict=True):
        record = fit["intrinsic_dimension"][name]
        point, _, (interval,) = container.lines
        assert point.get_ydata().tolist() == [record["estimate"]]
        np.testing.assert_allclose(interval.get_segments()[0][:, 1], [record["low"], record["high"]])


@pytest.mark.parametrize(("out_dim", "inside"), [(18, True), (512, False)])
def test_out_dim_is_marked_and_the_axis_stays_readable(make_fitted, out_dim, inside):
    ax = pl.intrinsic_dimension(make_fitted(200, out_dim=out_dim))
    assert any(list(line.get_ydata()) == [out_dim, out_dim] for line in ax.get_lines())
    assert (ax.get_ylim()[1] > out_dim) == inside
    assert ax.get_ylim()[1] < 25
    assert any(f"= {out_dim}" in text.get_text() for text in ax.texts)


def test_intrinsic_dimension_without_its_history(fitted):
    stored = fitted.uns["clipdim"]["history"]
    fitted.uns["clipdim"]["history"] = stored.drop(columns=["intrinsic_dimension_rna", "intrinsic_dimension_prot"])
    assert len(pl.intrinsic_dimension(fitted).containers) == 3


def test_too_few_cells_for_an_intrinsic_dimension(fitted):
    fit = fitted.uns["clipdim"]
    fit["history"][["intrinsic_dimension_rna", "intrinsic_dimension_prot"]] = np.nan
    for record in fit["intrinsic_dimension"].values():
        record.update(estimate=np.nan, low=np.nan, high=np.nan)
    ax = pl.intrinsic_dimension(fitted)
    ax.figure.canvas.draw()
    assert ax.get_legend().get_texts()[0].get_text() == "rna (too few cells)"
    assert ax.get_ylim() == (0, pytest.approx(1.1 * 32))


def test_one_colour_for_a_modality_in_all_figures(fitted):
    norm_spread = pl.history(fitted)[2].get_lines()
    dimension = pl.intrinsic_dimension(fitted).get_lines()
    histograms = pl.norms(fitted).patches
    for place in range(2):
        assert norm_spread[place].get_color() == dimension[place].get_color()
        face = histograms[place].get_facecolor()[:3]
        np.testing.assert_allclose(face, np.array(_rgb(dimension[place].get_color())), atol=1e-6)


def _rgb(color):
    return [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
