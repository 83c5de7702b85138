"""The intrinsic dimension by group and on a map."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import mudata
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from clipdim import pl, tl

# the modalities of the made-up fit have features of the same names
pytestmark = pytest.mark.filterwarnings("ignore:Cannot join columns with the same name")


@pytest.fixture
def by_type(make_fitted):
    """Types of 8 of which two or three are too small, measured from equally many cells."""
    mdata = make_fitted(900)
    with pytest.warns(UserWarning, match="too few"):
        tl.intrinsic_dimension(mdata, groupby="cell_type", n_per_group=60, cells="all", key_added="intrinsic_dimension")
    return mdata


@pytest.fixture
def on_map(make_fitted):
    """Held-out cells with a dimension around them, all cells on a map."""
    mdata = make_fitted(600)
    mdata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32)
    tl.intrinsic_dimension(mdata, key_added="intrinsic_dimension")
    return mdata


def test_groups_in_order_with_their_intervals_and_sizes(by_type):
    table = by_type.uns["intrinsic_dimension"]
    joint = table.query("representation == 'joint'").dropna().sort_values("estimate").set_index("group")
    ax = pl.intrinsic_dimension(by_type, groupby="cell_type")
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == [f"{name}  (n = {n:,})" for name, n in joint["n_cells"].items()]
    assert len(joint) < 8
    for container, name in zip(ax.containers, ("rna", "prot", "joint"), strict=True):
        rows = table[table["representation"] == name].set_index("group").loc[joint.index]
        points, _, (intervals,) = container.lines
        assert container.get_label() == name
        np.testing.assert_allclose(points.get_xdata().astype(float), rows["estimate"])
        ends = [segment[:, 0] for segment in intervals.get_segments()]
        np.testing.assert_allclose(ends, rows[["low", "high"]].to_numpy())
        np.testing.assert_allclose(np.round(points.get_ydata()), np.arange(len(joint)))
    assert ax.get_title(loc="left") == "60 cells of each at a time, 20 neighbours"
    assert ax.get_xlabel().splitlines()[1] == f"not shown: {8 - len(joint)} groups of too few cells"


def test_modalities_have_the_colours_of_the_other_figures(by_type):
    ax = pl.intrinsic_dimension(by_type, groupby="cell_type")
    along_training = pl.intrinsic_dimension(by_type)
    for one, other in zip(ax.containers, along_training.containers, strict=True):
        assert one.lines[0].get_color() == other.lines[0].get_color()


def test_all_cells_of_each_group(make_fitted):
    mdata = make_fitted(900, n_classes=8)
    mdata.obs["half"] = np.arange(900) % 2
    tl.intrinsic_dimension(mdata, groupby="half", key_added="halves")
    ax = pl.intrinsic_dimension(mdata, groupby="half", key="halves")
    assert ax.get_title(loc="left") == "all held-out cells of each, 20 neighbours"
    assert ax.get_xlabel() == "intrinsic dimension (MLE)"


def test_one_representation_and_an_endless_interval(by_type):
    table = by_type.uns["intrinsic_dimension"].query("representation == 'rna'").reset_index(drop=True)
    table.loc[table["estimate"].idxmax(), "high"] = np.inf
    by_type.uns["intrinsic_dimension"] = table
    ax = pl.intrinsic_dimension(by_type, groupby="cell_type")
    ax.figure.canvas.draw()
    assert len(ax.containers) == 1
    assert np.isfinite(ax.get_xlim()).all()


def test_each_cell_has_the_harmonic_mean_of_its_neighbours_on_the_map(on_map):
    ax = pl.intrinsic_dimension(on_map, basis="X_umap")
    values = on_map.obs["intrinsic_dimension"].to_numpy()
    known = np.isfinite(values)
    points = on_map.obsm["X_umap"]
    near = NearestNeighbors(n_neighbors=50).fit(points[known]).kneighbors(points[known], return_distance=False)
    expected = 1 / np.mean(1 / values[known][near], axis=1)
    grey, colored = ax.collections
    np.testing.assert_allclose(np.sort(colored.get_offsets()[:, 0]), np.sort(points[known, 0]), rtol=1e-6)
    order = np.argsort(colored.get_offsets()[:, 0])
    np.testing.assert_allclose(colored.get_array()[order], expected[np.argsort(points[known, 0])], rtol=1e-6)
    assert len(grey.get_offsets()) == 600 - known.sum()
    assert ax.get_title(loc="left") == f"{known.sum()} held-out cells, mean over 50 neighbours on this map"
    assert ax.get_xlabel() == "UMAP 1"
    bars = [one for one in ax.figure.axes if one is not ax]
    assert [bar.get_ylabel() for bar in bars] == ["intrinsic dimension (MLE), joint"]


def test_other_maps_and_few_cells(on_map):
    on_map.obsm["X_tsne"] = on_map.obsm["X_umap"][:, ::-1].copy()
    on_map.obsm["X_tsne"][:10] = np.nan
    few = np.flatnonzero(on_map.obs["intrinsic_dimension"].notna())[:30]
    on_map.obs["few"] = on_map.obs["intrinsic_dimension"].where(np.isin(np.arange(600), few))
    on_map.uns["few"] = on_map.uns["intrinsic_dimension"]
    ax = pl.intrinsic_dimension(on_map, basis="tsne", key="few")
    shown = int((few >= 10).sum())
    assert len(ax.collections[1].get_offsets()) == shown
    assert f"mean over {shown} neighbours" in ax.get_title(loc="left")


def test_values_of_a_modality_where_there_is_no_joint_embedding(on_map):
    on_map["rna"].obsm["X_rna"] = on_map["rna"].obsm["X_clipdim"][:, :5].copy()
    tl.intrinsic_dimension(on_map, use_rep="X_rna", key_added="of_rna")
    ax = pl.intrinsic_dimension(on_map, basis="X_umap", key="of_rna")
    assert len(ax.collections[1].get_offsets()) == 600
    assert ax.figure.axes[1].get_ylabel() == "intrinsic dimension (MLE), rna"


@pytest.mark.parametrize("arguments", [{"groupby": "cell_type"}, {"basis": "X_umap"}])
def test_drawn_on_given_axes_the_same_after_the_file_and_nothing_changed(by_type, tmp_path, arguments):
    by_type.obsm["X_umap"] = np.random.default_rng(0).normal(size=(900, 2))
    del by_type.uns["truth"]
    by_type.write_h5mu(tmp_path / "m.h5mu")
    settings, columns = dict(mpl.rcParams), (list(by_type.obs), list(by_type.uns), list(by_type.obsm))
    pictures = []
    for mdata in (by_type, mudata.read_h5mu(tmp_path / "m.h5mu")):
        figure, given = plt.subplots(figsize=(7, 4), layout="constrained")
        assert pl.intrinsic_dimension(mdata, **arguments, ax=given) is given
        figure.canvas.draw()
        pictures.append(np.asarray(figure.canvas.buffer_rgba()))
    np.testing.assert_array_equal(*pictures)
    assert dict(mpl.rcParams) == settings
    assert (list(by_type.obs), list(by_type.uns), list(by_type.obsm)) == columns


@pytest.mark.parametrize("arguments", [{"groupby": "cell_type"}, {"basis": "X_umap"}])
def test_text_is_legible_and_inside_the_figure(make_fitted, arguments):
    mdata = make_fitted(2500, n_classes=27, modalities=("rna", "prot", "atac"))
    mdata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(2500, 2))
    with pytest.warns(UserWarning, match="too few"):
        tl.intrinsic_dimension(
            mdata, groupby="cell_type", n_per_group=40, n_anchors=40, key_added="intrinsic_dimension"
        )
    figure = pl.intrinsic_dimension(mdata, **arguments).figure
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(mpl.text.Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= 9
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= -0.02
    assert box.y0 >= -0.02
    assert box.x1 <= width + 0.02
    assert box.y1 <= height + 0.02


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"groupby": "cell_type", "basis": "X_umap"}, ValueError, "groupby='cell_type' and basis='X_umap' are two"),
        ({"groupby": "donor"}, KeyError, "no column 'donor' in mdata.obs"),
        ({"groupby": "clipdim_split"}, KeyError, r'not by group, not by "clipdim_split"; run clipdim.tl.*n_per_group'),
        ({"groupby": "cell_type", "key": "other"}, KeyError, r'no table .*uns\["other"\]; run .*key_added="other"'),
        ({"basis": "X_umap", "key": "clipdim"}, KeyError, r'no table of dimensions in mdata.uns\["clipdim"\]'),
        ({"basis": "X_tsne"}, KeyError, r"has X_clipdim, X_umap, X_line; run scanpy.pp.neighbors.*scanpy.tl.umap"),
        ({"basis": "X_line"}, ValueError, r"'X_line'\] has shape \(600, 1\); a map needs two columns"),
        ({"basis": "X_umap", "key": "twonn"}, KeyError, "no values around cells"),
        ({"basis": "X_umap", "ax": "here"}, TypeError, "matplotlib Axes"),
    ],
)
def test_errors(on_map, arguments, error, message):
    on_map.obsm["X_line"] = np.zeros((600, 1))
    tl.intrinsic_dimension(on_map, estimator="twonn", key_added="twonn")
    with pytest.raises(error, match=message):
        pl.intrinsic_dimension(on_map, **arguments)
    assert plt.get_fignums() == []


def test_nothing_to_draw(on_map, by_type):
    by_type.uns["intrinsic_dimension"]["estimate"] = np.nan
    with pytest.raises(ValueError, match=r"no group of 'cell_type' had cells enough .* with fewer cells of each"):
        pl.intrinsic_dimension(by_type, groupby="cell_type")
    on_map.obsm["X_umap"][:] = np.nan
    with pytest.raises(ValueError, match=r"and a place in 'X_umap'; run clipdim.tl.*cells=\"all\""):
        pl.intrinsic_dimension(on_map, basis="X_umap")
    with pytest.raises(TypeError, match="expected a MuData"):
        pl.intrinsic_dimension(on_map["rna"], basis="X_umap")
