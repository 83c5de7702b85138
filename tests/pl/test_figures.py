"""What holds for every figure."""

import inspect

import matplotlib as mpl
import matplotlib.pyplot as plt
import mudata
import numpy as np
import pytest
from matplotlib.axes import Axes

from clipdim import pl

# of several fits and of new cells: test_sweep.py, test_reliability.py; without axes: test_sharing.py
FIGURES = [name for name in pl.__all__ if name not in ("sweep", "reliability", "diagnose")]
PANELS = {"history": 3, "snapshots": 3, "loadings": 2}
PROJECTIONS = {"snapshots": "3d"}


def _state(mdata):
    """Everything that a figure could change, as bytes and text."""
    frames = {"mdata": mdata.obs, **{name: adata.obs for name, adata in mdata.mod.items()}}
    frames |= {
        name: mdata.uns["clipdim"][name]
        for name in ("history", "classify", "confusion", "loadings", "shared_dimension", "shared_spectrum")
    }
    arrays = [mdata.obsm["X_clipdim"], *(adata.obsm["X_clipdim"] for adata in mdata.mod.values())]
    uns = {name: value for name, value in mdata.uns["clipdim"].items() if name not in frames}
    return (
        {name: frame.to_csv() for name, frame in frames.items()},
        [a.tobytes() for a in arrays],
        repr(uns),
        [*mdata.uns],
    )


def _picture(axes):
    canvas = np.atleast_1d(axes)[0].figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.fixture(scope="module")
def second(make_fitted, tmp_path_factory):
    """The made-up fit under another name, read from a file."""
    mdata = make_fitted(key="second")
    del mdata.uns["truth"]
    path = tmp_path_factory.mktemp("figures") / "fitted.h5mu"
    mdata.write_h5mu(path)
    return mudata.read_h5mu(path)


@pytest.mark.parametrize("name", FIGURES)
def test_leaves_settings_and_mdata_alone_and_is_the_same_of_another_key_after_a_file(name, fitted, second, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(plt, "show", refuse)
    settings, state = dict(mpl.rcParams), _state(fitted)
    axes = getattr(pl, name)(fitted)
    picture = _picture(axes)
    assert dict(mpl.rcParams) == settings
    assert _state(fitted) == state
    assert len(plt.get_fignums()) == 1
    np.testing.assert_array_equal(_picture(getattr(pl, name)(second, key="second")), picture)
    if name in PANELS:
        assert isinstance(axes, np.ndarray)
        assert axes.shape == (PANELS[name],)
    for ax in np.atleast_1d(axes):
        assert isinstance(ax, Axes)
        assert ax.figure.get_layout_engine().__class__.__name__ == "ConstrainedLayoutEngine"
        assert ax.get_xlabel()


@pytest.mark.parametrize("name", FIGURES)
def test_draws_on_the_given_axes(name, fitted):
    figure, given = plt.subplots(1, PANELS.get(name, 1), subplot_kw={"projection": PROJECTIONS.get(name)})
    returned = getattr(pl, name)(fitted, ax=given)
    assert all(one is other for one, other in zip(np.atleast_1d(returned), np.atleast_1d(given), strict=True))
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("name", FIGURES)
def test_refuses_other_axes(name, fitted):
    _, given = plt.subplots(1, 4)
    with pytest.raises((TypeError, ValueError), match="matplotlib Axes"):
        getattr(pl, name)(fitted, ax=given)


@pytest.mark.parametrize("name", FIGURES)
def test_no_fit_under_that_name(name, fitted):
    with pytest.raises(KeyError, match=r"no fit in mdata.uns\['other'\].*clipdim.tl.fit"):
        getattr(pl, name)(fitted, key="other")


@pytest.mark.parametrize("name", FIGURES)
def test_text_is_legible_and_inside_the_figure(name, make_fitted):
    mdata = make_fitted(2500, n_classes=27, colors=True, modalities=("rna", "prot", "atac"))
    axes = getattr(pl, name)(mdata)
    figure = np.atleast_1d(axes)[0].figure
    figure.draw_without_rendering()
    for text in figure.findobj(mpl.text.Text):
        if text.get_text() and text.get_visible():
            assert text.get_fontsize() >= 9
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= -0.02
    assert box.y0 >= -0.02
    assert box.x1 <= width + 0.02
    assert box.y1 <= height + 0.02


@pytest.mark.parametrize(
    "name", [name for name in FIGURES if name not in ("temperature", "loadings", "shared_dimension")]
)
def test_says_that_no_cells_were_held_out(name, make_fitted):
    axes = np.atleast_1d(getattr(pl, name)(make_fitted(200, holdout=0)))
    shown = [text.get_text() for text in axes[0].figure.findobj(mpl.text.Text)]
    assert any("training cells" in text for text in shown)


@pytest.mark.parametrize("name", FIGURES)
def test_at_most_three_positional_parameters(name):
    parameters = inspect.signature(getattr(pl, name)).parameters
    assert next(iter(parameters)) == "mdata"
    assert sum(one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters.values()) <= 3
    assert {"key", "ax"} <= set(parameters)
