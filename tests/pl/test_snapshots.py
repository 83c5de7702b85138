import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from clipdim import pl


def _points(ax):
    """Coordinates of the points drawn, (modalities x cells, 3)."""
    return np.stack([np.asarray(values) for values in ax.collections[0]._offsets3d], axis=1)


def _pairs(ax):
    """Coordinates of the ends of the lines between the points of a cell, (cells x modalities x 3)."""
    corners = np.stack(ax.get_lines()[-1].get_data_3d(), axis=1).reshape(-1, 3, 3)
    assert np.isnan(corners[:, 2]).all()
    return corners[:, :2]


def _stored(mdata):
    """Snapshots as stored, (snapshots x modalities x cells x out_dim)."""
    return np.stack([*mdata.uns["clipdim"]["snapshots"]["embeddings"].values()], axis=1)


def test_a_panel_for_each_snapshot_that_says_when(fitted):
    axes = pl.snapshots(fitted)
    titles = [ax.get_title().splitlines() for ax in axes]
    assert [title[0] for title in titles] == ["untrained", "after 10 epochs", "after 20 epochs"]
    for title, (u, v) in zip(titles, _stored(fitted), strict=True):
        product = u @ v.T
        different = product[~np.eye(len(u), dtype=bool)].mean()
        assert title[1] == f"similarity {product.diagonal().mean():z.2f}, different cells {different:z.2f}"
    texts = [text.get_text() for text in axes[-1].get_legend().get_texts()]
    assert texts == ["rna", "prot", "the same cell"]
    assert axes[-1].get_legend().get_title().get_text() == "100 held-out cells"


@pytest.mark.parametrize("out_dim", [1, 2, 3])
def test_up_to_three_dimensions_are_drawn_as_they_are(make_fitted, out_dim):
    mdata = make_fitted(200, out_dim=out_dim)
    axes = pl.snapshots(mdata)
    for ax, stored in zip(axes, _stored(mdata), strict=True):
        np.testing.assert_allclose(_points(ax)[:, :out_dim], stored.reshape(-1, out_dim), rtol=1e-6)
        assert (_points(ax)[:, out_dim:] == 0).all()
    labels = [axes[0].get_xlabel(), axes[0].get_ylabel(), axes[0].get_zlabel()]
    assert labels == ["dimension 1", "dimension 2", "dimension 3"][:out_dim] + [""] * (3 - out_dim)


def test_more_dimensions_are_projected_on_the_axes_of_the_last_snapshot(fitted):
    """The drawn axes are orthonormal, the same in all panels, and keep the most of the last snapshot."""
    stored, drawn = _stored(fitted).astype(float), [_points(ax) for ax in pl.snapshots(fitted)]
    last = stored[-1].reshape(-1, 32)
    axes = np.linalg.lstsq(last, drawn[-1], rcond=None)[0]
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-8)
    for points, shown in zip(stored, drawn, strict=True):
        np.testing.assert_allclose(points.reshape(-1, 32) @ axes, shown, atol=1e-8)
    kept = (drawn[-1] ** 2).sum(axis=0)
    np.testing.assert_allclose(kept, np.linalg.svd(last, compute_uv=False)[:3] ** 2)
    ax = pl.snapshots(fitted)[0]
    assert ax.get_xlabel() == f"axis 1 ({kept[0] / len(last):.0%})"


@pytest.mark.parametrize(("n_pairs", "n_lines"), [(0, 0), (7, 7), (500, 100)])
def test_lines_join_the_points_of_a_cell(make_fitted, n_pairs, n_lines):
    mdata = make_fitted(500, out_dim=3)
    axes = pl.snapshots(mdata, n_pairs=n_pairs)
    for ax, stored in zip(axes, _stored(mdata), strict=True):
        np.testing.assert_allclose(_pairs(ax), stored.transpose(1, 0, 2)[:n_lines], rtol=1e-6)
    legend = [text.get_text() for text in axes[-1].get_legend().get_texts()]
    assert ("the same cell" in legend) == (n_pairs > 0)


def test_labels_give_the_colours_and_the_first_modality_is_filled(make_fitted):
    mdata = make_fitted(400, colors=True)
    cells = mdata.uns["clipdim"]["snapshots"]["cells"]
    mdata.obs["cell_type"] = mdata.obs["cell_type"].where(mdata.obs_names != cells[0])
    axes = pl.snapshots(mdata, color="cell_type")
    palette = dict(zip(mdata.obs["cell_type"].cat.categories, mdata.uns["cell_type_colors"], strict=True))
    expected = [palette.get(label, "#D9D9D9") for label in mdata.obs["cell_type"].loc[cells]]
    axes[1].figure.canvas.draw()
    scatter = axes[1].collections[0]
    edges, faces = scatter.get_edgecolor(), scatter.get_facecolor()
    # matplotlib sorts points by depth: compare as sets of colours
    for colors in (edges[:, :3], faces[faces[:, 3] > 0][:, :3]):
        found, counts = np.unique(np.round(colors, 6), axis=0, return_counts=True)
        wanted, n = np.unique(np.round(mpl.colors.to_rgba_array(expected)[:, :3], 6), axis=0, return_counts=True)
        np.testing.assert_allclose(found, wanted)
        np.testing.assert_array_equal(counts, n * len(colors) // len(cells))
    assert (faces[:, 3] > 0).sum() == len(cells)
    assert "missing" in [text.get_text() for text in axes[-1].get_legend().get_texts()]


def test_labels_without_colours_of_their_own(make_fitted):
    mdata = make_fitted(2000, n_classes=27)
    axes = pl.snapshots(mdata, color="cell_type")
    present = mdata.obs["cell_type"].loc[mdata.uns["clipdim"]["snapshots"]["cells"]].nunique()
    assert len(axes[-1].get_legend().get_texts()) == 2 + present + 1


def test_numbers_have_a_colour_bar(fitted):
    fitted["rna"].obs["counts"] = np.arange(900.0)
    axes = pl.snapshots(fitted, color="counts")
    bars = [ax for ax in axes[0].figure.axes if ax not in list(axes)]
    assert [bar.get_ylabel() for bar in bars] == ["counts"]


def test_cells_that_were_left_out_since_are_drawn_all_the_same(fitted):
    cells = fitted.uns["clipdim"]["snapshots"]["cells"]
    part = fitted[~fitted.obs_names.isin(cells[:40])].copy()
    axes = pl.snapshots(part, color="cell_type")
    assert len(_points(axes[0])) == 200
    assert "missing" in [text.get_text() for text in axes[-1].get_legend().get_texts()]


@pytest.mark.parametrize(
    ("key", "params", "message"),
    [
        ("clipdim", {}, r"clipdim.tl.fit\(mdata, 32, n_snapshots=6\)"),
        ("second", {}, r'clipdim.tl.fit\(mdata, 32, n_snapshots=6, key_added="second"\)'),
        ("second", {"reduced_from": "clipdim"}, r'clipdim.tl.reduce stores none; pass key="clipdim"'),
    ],
)
def test_a_fit_without_snapshots(make_fitted, key, params, message):
    mdata = make_fitted(200, key=key)
    del mdata.uns[key]["snapshots"]
    mdata.uns[key]["params"].update(params)
    with pytest.raises(KeyError, match=rf'no snapshots in mdata.uns\["{key}"\].*{message}'):
        pl.snapshots(mdata, key=key)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_pairs": -1}, ValueError, "n_pairs must be an integer of at least 0, got -1"),
        ({"n_pairs": 2.5}, TypeError, "n_pairs must be an integer .*got 2.5"),
        ({"color": "donor"}, KeyError, "no column 'donor' in mdata.obs"),
    ],
)
def test_bad_arguments(fitted, arguments, error, message):
    with pytest.raises(error, match=message):
        pl.snapshots(fitted, **arguments)
    assert plt.get_fignums() == []


def test_flat_axes(fitted):
    _, given = plt.subplots(1, 3)
    with pytest.raises(ValueError, match=r"array of 3 three-dimensional matplotlib Axes.*'projection': '3d'"):
        pl.snapshots(fitted, ax=given)
