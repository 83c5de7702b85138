"""The intrinsic dimension of groups of cells, as ``pl.intrinsic_dimension`` draws it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import obs_column
from clipdim.pl._dimension_text import cells_text, dimension_label, measure_call, stored_table
from clipdim.pl._style import finish, legend_above, modality_colors, single_axes

# between the embeddings of a group; groups are 1 apart
_SHIFT = 0.24


def draw_by_group(mdata: MuData, groupby: str, key: str | None, ax: Axes | None) -> Axes:
    """Draw a row for each group, the highest dimension on top, with a point and an interval for each embedding."""
    table = _read(mdata, groupby, key)
    names = table["representation"].unique().tolist()
    first = _keys.JOINT if _keys.JOINT in names else names[0]
    main = table[table["representation"] == first].set_index("group")
    found = table.groupby("group")["estimate"].count() > 0
    order = main[found[main.index]].sort_values("estimate", na_position="first")
    if order.empty:
        call = measure_call(key, f'groupby="{groupby}", n_per_group=..., cells="all", ')
        msg = f"no group of {groupby!r} had cells enough for a dimension; run {call} with fewer cells of each"
        raise ValueError(msg)
    ax = single_axes(ax, (6.4, 1.3 + 0.34 * len(order)))
    colors = modality_colors([name for name in names if name != _keys.JOINT])
    # from top to bottom, in the middle where there is one
    shifts = (np.arange(len(names))[::-1] - (len(names) - 1) / 2) * _SHIFT
    heights = np.arange(len(order), dtype=float)
    ax.hlines(heights[1:] - 0.5, 0, 1, transform=ax.get_yaxis_transform(), color="0.92", linewidth=0.8, zorder=0)
    for name, shift in zip(names, shifts, strict=True):
        rows = table[table["representation"] == name].set_index("group").loc[order.index]
        estimate = rows["estimate"]
        ax.errorbar(
            estimate,
            heights + shift,
            xerr=np.maximum([estimate - rows["low"], rows["high"] - estimate], 0),
            color=colors[name],
            fmt="o",
            markersize=4.5,
            elinewidth=1.6,
            capsize=0,
            label=name,
        )
    ax.set_yticks(heights, [f"{group}  (n = {n:,})" for group, n in order["n_cells"].items()])
    ax.set_ylim(-0.6, heights[-1] + 0.6)
    record = table.iloc[0]
    left_out = f"\nnot shown: {n} groups of too few cells" if (n := len(main) - len(order)) else ""
    ax.set_xlabel(dimension_label(record["estimator"]) + left_out)
    of_each = f"all {cells_text(record['cells'])} of each"
    if (table["n_at_a_time"] == record["n_at_a_time"]).all():
        of_each = f"{record['n_at_a_time']:,} {cells_text(record['cells'])} of each at a time"
    legend_above(ax, title=f"{of_each}, {record['n_neighbors']} neighbours")
    finish(ax)
    ax.tick_params(axis="y", length=0)
    return ax


def _read(mdata: MuData, groupby: str, key: str | None) -> pd.DataFrame:
    arguments = f'groupby="{groupby}", n_per_group="equal", '
    table = stored_table(mdata, key, arguments)
    obs_column(mdata, groupby)  # says which columns there are
    made_by = table["groupby"].iloc[0] if "groupby" in table else None
    if made_by != groupby:
        what = f'by "{made_by}"' if made_by else "not by group"
        msg = f'the dimensions stored are {what}, not by "{groupby}"; run {measure_call(key, arguments)}'
        raise KeyError(msg)
    return table
