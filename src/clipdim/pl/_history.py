from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import read_fit, read_split
from clipdim.pl._cells import NONE_HELD_OUT
from clipdim.pl._style import (
    FAINT,
    HELD_OUT,
    NEGATIVE,
    POSITIVE,
    TRAIN,
    curve,
    epoch_axis,
    finish,
    legend_above,
    modality_colors,
    panel_axes,
    styled,
)


@styled
def history(
    mdata: MuData,
    *,
    key: str = _keys.KEY,
    chance: bool = True,
    ax: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """
    Draw how training went: the loss, the similarities, and the spread of the norms, by epoch.

    Similarities (mean and one standard deviation either side) and norms are those of held-out cells. The held-out
    loss is that of minibatches of the same size, or of all held-out cells where they are fewer: it then lies lower,
    since a smaller batch is an easier one. The training loss includes the noise that keeps the encoders from
    overfitting, so it can lie above the held-out one. In the paper
    (Gui, Ma and Ma, NeurIPS 2025, sections 1.1 and G.1) positive similarities gather near 1, above the negative ones,
    and the spread of the norms falls though nothing constrains them.

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`; not changed.
    key
        The ``key_added`` of the fit: ``mdata.uns[key]["history"]`` is read.
    chance
        Mark the loss of an encoder that has learned nothing, the logarithm of the batch size. Not drawn for a fit
        with a ``batch_key``, where it depends on how many cells of each batch a minibatch holds.
    ax
        Array of three Axes to draw on; by default those of a new figure.

    Returns
    -------
    Array of three Axes: loss, similarity, norm spread.

    Raises
    ------
    KeyError
        If there is no fit under ``key``.
    ValueError
        If ``ax`` is not an array of three Axes.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> axes = clipdim.pl.history(mdata)
    >>> axes.shape
    (3,)
    """
    fit = read_fit(mdata, key)
    table, params = fit.history, fit.params
    axes = panel_axes(ax, 3, (3.7, 3.1))
    held_out = bool(table["held_out_loss"].notna().any())
    chance = chance and params.batch_key is None
    n_train = int((read_split(mdata, key) == _keys.TRAIN).sum())
    _loss(axes[0], table, min(params.recipe.batch_size, n_train) if chance else None)
    _similarity(axes[1], table)
    _norms(axes[2], table, params.modalities)
    for one in axes:
        epoch_axis(one)
        finish(one)
        handles = one.get_legend_handles_labels()[0]
        legend_above(one, handles=handles)
        if not handles:
            one.text(0.5, 0.5, "no cells were held out", transform=one.transAxes, ha="center", color=FAINT)
            one.set(xticks=[], yticks=[])
    if not held_out:
        legend_above(axes[0], title=NONE_HELD_OUT)
    return axes


def _loss(ax: Axes, table: pd.DataFrame, batch_size: int | None) -> None:
    ax.set_ylabel("loss (symmetric InfoNCE, nats)")
    curve(ax, table["loss"], color=TRAIN, label="training")
    curve(ax, table["held_out_loss"], color=HELD_OUT, label="held-out")
    if batch_size is not None:
        level = float(np.log(batch_size))
        ax.axhline(level, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        ax.annotate(
            f"chance: log {int(batch_size):,}",
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(0, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            color=FAINT,
            fontsize=9,
        )


def _similarity(ax: Axes, table: pd.DataFrame) -> None:
    ax.set_ylabel("similarity (mean ± sd)")
    for name, color in (("positive", POSITIVE), ("negative", NEGATIVE)):
        mean, spread = table[f"{name}_similarity"], table[f"{name}_similarity_sd"]
        curve(ax, mean, color=color, label=name)
        band = pd.DataFrame({"low": mean - spread, "high": mean + spread}).dropna()
        ax.fill_between(band.index, band["low"], band["high"], color=color, alpha=0.2, linewidth=0)


def _norms(ax: Axes, table: pd.DataFrame, modalities: list[str]) -> None:
    ax.set_ylabel("norm spread (sd of ‖f‖ / E‖f‖)")
    colors = modality_colors(modalities)
    for name in modalities:
        curve(ax, table[_keys.of_modality("norm_spread", name)], color=colors[name], label=name)
    highest = table[[_keys.of_modality("norm_spread", name) for name in modalities]].max(axis=None)
    if np.isfinite(highest):
        ax.set_ylim(0, 1.08 * highest)
