"""The intrinsic dimension along training, as ``pl.intrinsic_dimension`` draws it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from clipdim import _keys
from clipdim._mudata import Fit
from clipdim.pl._dimension_text import cells_text, dimension_label
from clipdim.pl._style import FAINT, curve, epoch_axis, finish, legend_above, modality_colors, single_axes


def draw_training(fit: Fit, ax: Axes | None) -> Axes:
    """Draw a curve for each modality, and the final estimates with their intervals to the right of it."""
    table, final, modalities = fit.history, fit.intrinsic_dimension, fit.params.modalities
    colors = modality_colors(modalities)
    ax = single_axes(ax, (6.0, 3.8))
    last, step = float(table.index[-1]), 0.045 * max(len(table) - 1, 1)
    top = 0.0
    for name in modalities:
        column = _keys.of_modality("intrinsic_dimension", name)
        if column in table:
            values = table[column] * _to_all_cells(table[column], final[name].estimate)
            curve(ax, values, color=colors[name])
            top = np.nanmax([top, values.max()])
    shown = [name for name in (*modalities, _keys.JOINT) if name in final]
    for place, name in enumerate(shown):
        record = final[name]
        estimate, low, high = record.estimate, record.low, record.high
        ax.errorbar(
            last + step * (place + 1.5),
            estimate,
            yerr=[[max(estimate - low, 0)], [max(high - estimate, 0)]],
            color=colors[name],
            fmt="o",
            markersize=5,
            elinewidth=1.8,
            capsize=3,
            label=f"{name} (too few cells)" if np.isnan(estimate) else f"{name} {estimate:.1f} ({low:.1f}–{high:.1f})",
        )
        top = np.nanmax([top, estimate, high])
    right = last + step * (len(shown) + 1.5)
    ax.axvspan(last + step / 2, right, color="0.95", linewidth=0, zorder=0)
    ax.text((last + step / 2 + right) / 2, 0.02, "final", transform=ax.get_xaxis_transform(), ha="center", color=FAINT)
    ax.set_xlim(right=right)
    _mark_out_dim(ax, fit.params.out_dim, float(top))

    epoch_axis(ax)
    ax.set_xticks([tick for tick in MaxNLocator(integer=True, nbins=6).tick_values(0, last) if 0 <= tick <= last])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    record = final[shown[0]]
    ax.set_ylabel(dimension_label(record.estimator))
    legend_above(ax, title=f"{record.n_cells:,} {cells_text(record.cells)}, {record.n_neighbors} neighbours")
    finish(ax)
    return ax


def _to_all_cells(around_some: pd.Series, around_all: float) -> float:
    """Ratio of the estimate around all cells to that around the few of each epoch, which are always the same."""
    recorded = around_some.dropna()
    ratio = around_all / recorded.iloc[-1] if len(recorded) else np.nan
    return float(ratio) if np.isfinite(ratio) else 1.0


def _mark_out_dim(ax: Axes, out_dim: int, top: float) -> None:
    near = top == 0 or out_dim <= 1.5 * top  # 0: nothing could be estimated
    ax.axhline(out_dim, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    ax.set_ylim(0, 1.1 * max(out_dim, top) if near else 1.15 * top)
    ax.annotate(
        f"out_dim\n= {out_dim}" if near else f"out_dim\n= {out_dim} ↑",
        (1, out_dim if near else 1.15 * top),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center" if near else "top",
        color=FAINT,
        fontsize=9,
    )
