import matplotlib as mpl
import matplotlib.pyplot as plt
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex

from clipdim import pl

OUT_DIMS = [1, 4, 8, 16, 31, 44]


def build(*, modalities=("rna", "prot"), label_keys=("cell_type",), out_dims=OUT_DIMS, n_repeats=4, held_out=True):
    """A MuData as `tl.sweep` leaves it, with made-up values that level off."""
    rng = np.random.default_rng(0)
    rows = []
    for out_dim in out_dims:
        level = 1 - np.exp(-out_dim / 4)
        for repeat in range(n_repeats):
            values = {}
            for split in ("held-out", "train") if held_out else ("train",):
                better = 0.05 * (split == "train")
                for place, direction in enumerate(f"{a} to {b}" for a in modalities for b in modalities if a != b):
                    for name, height in (("top_alpha", 0.3), ("recall_at_1", 0.1), ("foscttm", 0.04)):
                        values[name, direction, "", split] = (height + better - 0.01 * place) * level
                    for label_key in label_keys:
                        values["label_match", direction, label_key, split] = 0.8 * level + better - 0.02 * place
                for label_key in label_keys:
                    values["accuracy", "joint", label_key, split] = 0.9 * level + better
                    values["balanced_accuracy", "joint", label_key, split] = 0.1
            for place, name in enumerate((*modalities, "joint")):
                values["intrinsic_dimension", name, "", "held-out" if held_out else "train"] = (6 + place / 2) * level
            noise = 1 + 0.01 * rng.normal(size=len(values))
            rows += [(out_dim, repeat, 7, *what, x * e) for (what, x), e in zip(values.items(), noise, strict=True)]
    columns = ["out_dim", "repeat", "random_state", "measure", "modality", "label_key", "split", "value"]
    mdata = mudata.MuData({name: AnnData(obs=pd.DataFrame(index=["a", "b"])) for name in modalities})
    mdata.uns["clipdim_sweep"] = {
        "table": pd.DataFrame(rows, columns=columns),
        "failures": pd.DataFrame({"out_dim": [], "error": []}),
        "settings": {
            "alpha": 0.005,
            "modalities": np.array(modalities, dtype=object),
            "label_keys": np.array(label_keys, dtype=object),
        },
    }
    return mdata


def labels_of(axes):
    return [ax.get_ylabel() for ax in axes]


@pytest.mark.parametrize("label_keys", [(), ("cell_type",), ("l1", "l2")])
def test_panels(label_keys):
    axes = pl.sweep(build(label_keys=label_keys))
    of_labels = [text for key in label_keys for text in (f"accuracy of {key} (15-NN)", f"label match of {key}")]
    assert labels_of(axes) == [*of_labels, "top-0.5 % matching", "intrinsic dimension (MLE)"]
    assert len(axes[0].figure.axes) == len(axes)
    assert all(ax.get_xlabel() for ax in axes)


def test_lines_are_means_and_bands_percentiles():
    mdata = build()
    table = mdata.uns["clipdim_sweep"]["table"]
    accuracy, _, matching, _ = pl.sweep(mdata)
    held_out, train = accuracy.lines
    for line, split in ((held_out, "held-out"), (train, "train")):
        rows = table.query("measure == 'accuracy' and split == @split")
        np.testing.assert_array_equal(line.get_xdata(), OUT_DIMS)
        np.testing.assert_allclose(line.get_ydata(), rows.groupby("out_dim")["value"].mean())
        assert line.is_dashed() == (split == "train")
    band = accuracy.collections[0].get_paths()[0].vertices
    values = table.query("measure == 'accuracy' and split == 'held-out' and out_dim == 16")["value"]
    at_16 = band[band[:, 0] == 16, 1]
    np.testing.assert_allclose([at_16.min(), at_16.max()], np.percentile(values, [5, 95]))
    assert [to_hex(line.get_color()) for line in matching.lines] == ["#0072b2", "#0072b2", "#e69f00", "#e69f00"]
    assert [text.get_text() for text in matching.get_legend().get_texts()] == [
        "rna to prot",
        "prot to rna",
        "held-out",
        "training",
    ]


def test_colours_of_the_legend_are_those_of_the_lines():
    modalities = ("rna", "prot", "atac")
    for ax in pl.sweep(build(modalities=modalities))[1:]:
        of_lines = list(dict.fromkeys(to_hex(line.get_color()) for line in ax.lines if line.get_marker() == "o"))
        handles = ax.get_legend().legend_handles[: len(of_lines)]
        assert len(of_lines) >= 3
        assert [to_hex(handle.get_color()) for handle in handles] == of_lines
        assert [handle.get_label().split(" to ")[0] for handle in handles][:3] == list(modalities)


def test_several_targets_are_averaged():
    mdata = build(modalities=("rna", "prot", "atac"))
    table = mdata.uns["clipdim_sweep"]["table"]
    matching = pl.sweep(mdata)[2]
    rows = table.query("measure == 'top_alpha' and split == 'held-out' and modality in ('rna to prot', 'rna to atac')")
    np.testing.assert_allclose(matching.lines[0].get_ydata(), rows.groupby("out_dim")["value"].mean())
    assert matching.get_legend().get_texts()[0].get_text() == "rna to others"


def test_identity_line_shows_the_saturation():
    ax = pl.sweep(build())[-1]
    identity = ax.lines[-1]
    np.testing.assert_array_equal(identity.get_xdata(), identity.get_ydata())
    assert identity.is_dashed()
    assert 7 < ax.get_ylim()[1] < 12
    assert "= out_dim" in [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(
    ("matching", "label"), [("recall_at_1", "top-1 matching"), ("foscttm", "FOSCTTM (0 is perfect)")]
)
def test_other_matching(matching, label):
    mdata = build()
    ax = pl.sweep(mdata, matching=matching)[2]
    rows = mdata.uns["clipdim_sweep"]["table"].query("measure == @matching and modality == 'rna to prot'")
    expected = rows[rows["split"] == "held-out"].groupby("out_dim")["value"].mean()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), expected)
    assert ax.get_ylabel() == label


def test_none_held_out():
    axes = pl.sweep(build(held_out=False))
    for ax in axes:
        names = [text.get_text() for text in ax.get_legend().get_texts()]
        assert names[-1] == "training"
        assert "held-out" not in names


@pytest.mark.parametrize("arguments", [{"out_dims": [8]}, {"out_dims": [2, 8], "n_repeats": 1}])
def test_few_fits(arguments):
    for ax in pl.sweep(build(**arguments)):
        assert ax.lines[0].get_marker() == "o"


def test_dimension_that_was_never_estimated():
    """Too few cells held out for the neighbours."""
    mdata = build()
    table = mdata.uns["clipdim_sweep"]["table"]
    table.loc[table["measure"] == "intrinsic_dimension", "value"] = np.nan
    ax = pl.sweep(mdata)[-1]
    ax.figure.canvas.draw()
    assert ax.get_ylim()[1] == 44


@pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")
def test_same_figure_after_reading_from_a_file(tmp_path):
    mdata = build()
    mdata.write_h5mu(tmp_path / "sweep.h5mu")
    mdata.write_zarr(tmp_path / "sweep.zarr")
    pictures = []
    for one in (mdata, mudata.read_h5mu(tmp_path / "sweep.h5mu"), mudata.read_zarr(tmp_path / "sweep.zarr")):
        figure = pl.sweep(one)[0].figure
        figure.canvas.draw()
        pictures.append(np.asarray(figure.canvas.buffer_rgba()))
    for picture in pictures[1:]:
        np.testing.assert_array_equal(picture, pictures[0])


def test_leaves_settings_and_table_alone():
    mdata, settings = build(), dict(mpl.rcParams)
    table = mdata.uns["clipdim_sweep"]["table"].copy()
    pl.sweep(mdata)
    assert dict(mpl.rcParams) == settings
    pd.testing.assert_frame_equal(mdata.uns["clipdim_sweep"]["table"], table)
    assert len(plt.get_fignums()) == 1


def test_draws_on_the_given_axes():
    figure, given = plt.subplots(1, 4)
    returned = pl.sweep(build(), ax=given)
    assert all(one is other for one, other in zip(returned, given, strict=True))
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("label_keys", [(), ("a_label_with_a_long_name", "cell_type")])
def test_text_is_legible_and_inside_the_figure(label_keys):
    figure = pl.sweep(build(modalities=("rna", "prot", "atac"), label_keys=label_keys))[0].figure
    figure.draw_without_rendering()
    for text in figure.findobj(mpl.text.Text):
        assert text.get_fontsize() >= 9 or not text.get_text()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= -0.02
    assert box.x1 <= width + 0.02
    assert box.y1 <= height + 0.02


def test_bad_input():
    mdata = build()
    with pytest.raises(KeyError, match=r'no sweep in mdata.uns\["other"\]; pass key="clipdim_sweep"'):
        pl.sweep(mdata, key="other")
    with pytest.raises(ValueError, match="matching='top_5' is not known; choose one of"):
        pl.sweep(mdata, matching="top_5")
    with pytest.raises(ValueError, match="ax must be an array of 4 matplotlib Axes"):
        pl.sweep(mdata, ax=plt.subplots(1, 2)[1])
    with pytest.raises(TypeError, match="expected a MuData"):
        pl.sweep(mdata["rna"])
    own = mdata.uns["clipdim_sweep"]
    own["table"] = own["table"].iloc[:0]
    own["failures"] = pd.DataFrame({"out_dim": [2], "error": ["MemoryError: "]})
    with pytest.raises(ValueError, match="no fit of this sweep finished; the first of 1 failed with MemoryError"):
        pl.sweep(mdata)
    del mdata.uns["clipdim_sweep"]
    with pytest.raises(KeyError, match=r"no sweep in .*run clipdim.tl.sweep\(mdata"):
        pl.sweep(mdata)
