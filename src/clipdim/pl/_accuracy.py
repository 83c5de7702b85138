import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from mudata import MuData

from clipdim import _keys
from clipdim.pl._labels import class_colors, classification, main_split
from clipdim.pl._style import FAINT, HELD_OUT, INK, TRAIN, finish, legend_above, single_axes, styled


@styled
def accuracy(
    mdata: MuData,
    label_key: str | None = None,
    *,
    key: str = _keys.KEY,
    method: str = _keys.JOINT_KNN,
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
    table = rows.set_index(["split", "kind", "label"])[["accuracy", "n_cells"]]
    bars = table.loc[split].reindex(table.index.droplevel("split").unique()).fillna({"n_cells": 0})
    is_class = bars.index.get_level_values("kind") == "class"
    bars = pd.concat([bars[~is_class], bars[is_class].sort_values("n_cells", ascending=False, kind="stable")])
    names, n_summary = bars.index.get_level_values("label"), int((~is_class).sum())

    ax = single_axes(ax, (6.4, 1.2 + 0.25 * len(bars)))
    heights = np.arange(len(bars)) + 0.5 * (np.arange(len(bars)) >= n_summary)
    colors = class_colors(mdata, label_key)
    neutral = HELD_OUT if split == _keys.HELD_OUT else TRAIN
    ax.barh(
        heights,
        bars["accuracy"],
        height=0.72,
        color=[neutral] * n_summary + [colors.get(name, neutral) for name in names[n_summary:]],
        edgecolor=INK,
        linewidth=0.4,
    )
    for height, width in zip(heights, bars["accuracy"], strict=True):
        ax.text(1.03, height, "–" if np.isnan(width) else f"{width:.3f}", va="center", fontsize=9)
    handles: list[Artist] = [Patch(facecolor=neutral, edgecolor=INK, linewidth=0.4, label=which)]
    if split != _keys.TRAIN and (rows["split"] == _keys.TRAIN).any():
        (circles,) = ax.plot(
            table.loc[_keys.TRAIN].reindex(bars.index)["accuracy"],
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

    ax.axhline(n_summary - 0.25, color=FAINT, linewidth=0.8)
    ax.set_yticks(heights, [f"{name}  (n = {int(n):,})" for name, n in zip(names, bars["n_cells"], strict=True)])
    for text in ax.get_yticklabels()[:n_summary]:
        text.set_fontweight("bold")
    ax.set_ylim(heights[-1] + 0.6, -0.6)
    ax.set_xlim(0, 1)
    ax.set_xlabel(f"accuracy of {label_key} ({method})")
    legend_above(ax, handles=handles)
    finish(ax)
    ax.tick_params(axis="y", length=0)
    return ax
