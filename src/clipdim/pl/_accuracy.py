import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from mudata import MuData

from clipdim import _keys
from clipdim.pl._labels import JOINT, class_colors, classification, main_split
from clipdim.pl._style import FAINT, HELD_OUT, INK, TRAIN, finish, legend_above, single_axes, styled


@styled
def accuracy(
    mdata: MuData,
    label_key: str | None = None,
    *,
    key: str = _keys.KEY,
    method: str = JOINT,
    ax: Axes | None = None,
) -> Axes:
    """
    Draw the cell-type accuracy of each class, of all cells, and balanced over the classes.

    Bars are held-out cells, with the number of them beside the class and their accuracy at the right; circles are
    training cells, whose own label does not vote. Classes are in order of size and have the colours of
    ``.uns["{label_key}_colors"]`` where scanpy left them, in the MuData or in a modality.

    Parameters
    ----------
    mdata
        Scored by :func:`clipdim.tl.classify`; not changed.
    label_key
        Which label, when several were scored.
    key
        The ``key_added`` of the fit: ``mdata.uns[key]["classify"]`` is read.
    method
        ``"joint k-NN"``, or a label match across modalities, such as ``"rna to prot"``.
    ax
        Axes to draw on; by default those of a new figure, taller the more classes there are.

    Returns
    -------
    The Axes.

    Raises
    ------
    KeyError
        If there is no fit under ``key``, or no accuracy of this label or by this method.
    TypeError
        If ``ax`` is not an Axes.
    ValueError
        If several labels were scored and none is given.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> _ = clipdim.tl.classify(mdata, "cell_type")
    >>> ax = clipdim.pl.accuracy(mdata)
    >>> ax.get_xlim() == (0, 1)
    True
    """
    rows, label_key = classification(mdata, "classify", key=key, label_key=label_key, method=method)
    split, which = main_split(rows)
    bars = rows[rows["split"] == split].set_index("label")
    summary = bars[bars["kind"] != "class"].loc[["overall", "balanced"]]
    every_class = rows.loc[rows["kind"] == "class", "label"].unique()
    classes = bars[bars["kind"] == "class"].reindex(every_class).fillna({"n_cells": 0})
    classes = classes.sort_values("n_cells", ascending=False, kind="stable")

    n_rows = len(summary) + len(classes)
    ax = single_axes(ax, (6.4, 1.2 + 0.25 * n_rows))
    heights = np.r_[np.arange(len(summary)), len(summary) + 0.5 + np.arange(len(classes))]
    colors = class_colors(mdata, label_key)
    neutral = HELD_OUT if split == _keys.HELD_OUT else TRAIN
    names = [*summary.index, *classes.index]
    widths = np.r_[summary["accuracy"], classes["accuracy"]]
    ax.barh(
        heights,
        widths,
        height=0.72,
        color=[neutral] * len(summary) + [colors.get(str(name), neutral) for name in classes.index],
        edgecolor=INK,
        linewidth=0.4,
    )
    for height, width in zip(heights, widths, strict=True):
        shown = "–" if np.isnan(width) else f"{width:.3f}"
        ax.text(1.03, height, shown, va="center", fontsize=9)
    handles: list[Artist] = [Patch(facecolor=neutral, edgecolor=INK, linewidth=0.4, label=which)]
    train = rows[rows["split"] == _keys.TRAIN].set_index("label")
    if split != _keys.TRAIN and len(train):
        (circles,) = ax.plot(
            train["accuracy"].reindex(names),
            heights,
            linestyle="",
            marker="o",
            markersize=5.5,
            color="white",
            markeredgecolor=INK,
            clip_on=False,
            label="training cells",
        )
        handles.append(circles)

    ax.axhline(len(summary) - 0.25, color=FAINT, linewidth=0.8)
    sizes = [*summary["n_cells"], *classes["n_cells"]]
    ax.set_yticks(heights, [f"{name}  (n = {int(size):,})" for name, size in zip(names, sizes, strict=True)])
    for text in ax.get_yticklabels()[: len(summary)]:
        text.set_fontweight("bold")
    ax.set_ylim(heights[-1] + 0.6, -0.6)
    ax.set_xlim(0, 1)
    ax.set_xlabel(f"accuracy of {label_key} ({method})")
    legend_above(ax, handles=handles)
    finish(ax)
    ax.tick_params(axis="y", length=0)
    return ax
