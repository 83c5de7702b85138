"""The look of every figure: one colour for each meaning, sizes, and where axes and legends go."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

INK = "#262626"
FAINT = "#8C8C8C"

# Okabe and Ito's colours, told apart with any colour vision; none has two meanings
TRAIN = "#A6A6A6"
HELD_OUT = "#D55E00"
POSITIVE = "#009E73"
NEGATIVE = "#CC79A7"
JOINT = "#000000"
_MODALITIES = ("#0072B2", "#E69F00", "#56B4E9", "#8C564B", "#F0E442", "#7F7F7F")

_TICKS = 9


@contextmanager
def _settings() -> Iterator[None]:
    with rc_context(
        {
            "figure.facecolor": "white",
            "axes.facecolor": "white",
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.linewidth": 0.8,
            "axes.grid": False,
            "axes.labelsize": 10,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "font.size": 10,
            "legend.fontsize": _TICKS,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "patch.linewidth": 0.8,
            "text.color": INK,
        }
    ):
        yield
        # the first figure of a notebook loads the backend, which turns this on; the end of rc_context turns it off
        interactive = matplotlib.is_interactive()
    matplotlib.interactive(interactive)


styled = _settings()
"""Decorator: draw with clipdim's settings, and leave the user's as they were."""


def modality_colors(modalities: Sequence[str]) -> dict[str, str]:
    """Colour of each modality of a fit, by its place among them, and of the joint embedding."""
    colors = {name: _MODALITIES[place % len(_MODALITIES)] for place, name in enumerate(modalities)}
    return {**colors, "joint": JOINT}


def single_axes(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """Return the given Axes, or those of a new figure."""
    if ax is None:
        return plt.subplots(figsize=figsize, layout="constrained")[1]
    if not isinstance(ax, Axes):
        msg = f"ax must be one matplotlib Axes, got {type(ax).__name__}; make one with matplotlib.pyplot.subplots()"
        raise TypeError(msg)
    return ax


def panel_axes(ax: Sequence[Axes] | np.ndarray | Axes | None, n_panels: int, size: tuple[float, float]) -> np.ndarray:
    """Return the given Axes as an array of ``n_panels``, or those of a new figure in rows of three."""
    if ax is None:
        n_columns = min(n_panels, 3)
        n_rows = -(-n_panels // n_columns)
        figsize = (size[0] * n_columns, size[1] * n_rows)
        grid = plt.subplots(n_rows, n_columns, figsize=figsize, layout="constrained", squeeze=False)[1]
        for spare in grid.flat[n_panels:]:
            spare.remove()
        return grid.ravel()[:n_panels]
    axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(axes) != n_panels or not all(isinstance(one, Axes) for one in axes):
        msg = (
            f"ax must be an array of {n_panels} matplotlib Axes, one for each panel, got {len(axes)} of "
            f"{sorted({type(one).__name__ for one in axes})}; make them with matplotlib.pyplot.subplots(1, {n_panels})"
        )
        raise ValueError(msg)
    return axes


def finish(ax: Axes) -> None:
    """Remove the upper and right spines and set the ticks, which matplotlib makes only when it draws."""
    sns.despine(ax=ax)
    ax.tick_params(labelsize=_TICKS, width=0.8, length=3, color=INK, labelcolor=INK)
    ax.tick_params(which="minor", width=0.6, length=2, color=INK)


def epoch_axis(ax: Axes) -> None:
    """Label the horizontal axis as epochs, with ticks at whole numbers."""
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def legend_above(ax: Axes, *, handles: Sequence[Artist] | None = None, title: str | None = None) -> None:
    """Put the legend between the axes and the title, where it covers no data."""
    if handles is None:
        handles = ax.get_legend_handles_labels()[0]
    n_rows = max(-(-len(handles) // 3), 1)
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=max(-(-len(handles) // n_rows), 1),
        borderaxespad=0.2,
        handlelength=1.4,
        columnspacing=1.2,
    )
    if title:
        ax.set_title(title, pad=6 + 15 * n_rows)


def curve(ax: Axes, values: pd.Series, *, color: str, label: str | None = None) -> None:
    """Draw the values of a column of the history that were recorded, by epoch."""
    recorded = values.dropna()
    if len(recorded):
        ax.plot(recorded.index, recorded, color=color, label=label, marker="o" if len(recorded) == 1 else None)


def filled_histogram(ax: Axes, sample: np.ndarray, edges: np.ndarray, *, color: str, label: str) -> None:
    """Draw the density of a sample so that another one shows through."""
    ax.hist(
        sample,
        bins=edges.tolist(),
        density=True,
        histtype="stepfilled",
        linewidth=1.2,
        facecolor=(color, 0.3),
        edgecolor=color,
        label=label,
    )
