from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import read_fit
from clipdim.pl._style import FAINT, INK, finish, single_axes, styled

COUNTED = "#2A6F97"


@styled
def shared_dimension(
    mdata: MuData,
    *,
    modalities: Sequence[str] | None = None,
    groupby: bool = False,
    key: str = _keys.KEY,
    ax: Axes | None = None,
) -> Axes:
    """
    Draw what modalities share, direction by direction, above the floor of chance.

    Each point is the information of one direction in the median neighbourhood, with its 95 % interval. The grey floor
    is what cells with random signs have. Filled points are counted: their number is the shared dimension. A cliff
    behind the last of them means a sharp number; a slope, as real cells have it, that the number depends on how little
    information still counts.

    To see where the modalities share more, draw the column that :func:`clipdim.tl.shared_dimension` writes:
    ``muon.pl.embedding(mdata, "X_umap", color="clipdim_shared_information")``.

    Parameters
    ----------
    mdata
        After :func:`clipdim.tl.fit`, or better :func:`clipdim.tl.shared_dimension`; not changed.
    modalities
        The two modalities, or ``["all"]`` for what all of three and more share. By default the first pair.
    groupby
        Draw a line for each group that :func:`clipdim.tl.shared_dimension` measured with ``groupby``.
    key
        The ``key_added`` of the fit.
    ax
        Axes to draw on; by default those of a new figure.

    Returns
    -------
    The Axes.

    Raises
    ------
    KeyError
        If there is no fit under ``key``.
    TypeError
        If ``mdata`` is not a MuData, or ``ax`` not an Axes.
    ValueError
        If shared dimensions were not counted for the pair, or with ``groupby`` for groups.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.linear(n_cells=2_000, n_shared=3)
    >>> clipdim.tl.fit(mdata, max_epochs=2, progress=False)
    >>> ax = clipdim.pl.shared_dimension(mdata)
    >>> ax.get_xlabel()
    'direction'
    """
    fit = read_fit(mdata, key)
    table, spectrum = _of_pair(fit.shared_dimension, modalities, key), fit.shared_spectrum
    first, second = table[["first", "second"]].iloc[0]
    own = pd.DataFrame() if spectrum is None else spectrum.query("first == @first and second == @second")
    groups = [name for name in table["group"] if name != "all"]
    if groupby and not groups:
        msg = "no groups were measured; run clipdim.tl.shared_dimension(mdata, groupby=...)"
        raise ValueError(msg)
    drawn = own[own["group"] != "all"] if groupby else own[own["group"] == "all"] if len(own) else own
    if not len(drawn):
        msg = f"{table['reading'].iloc[0]} Run clipdim.tl.shared_dimension(mdata, key={key!r})"
        raise ValueError(msg)
    ax = single_axes(ax, (5.6, 3.8))
    if groupby:
        _draw_groups(ax, drawn, table.set_index("group"))
    else:
        _draw_one(ax, drawn)
    both = "all modalities" if first == second else _keys.pair_name(first, second)
    ax.set_title(both if groupby else f"{both}: {_told(table.iloc[0])} shared")
    ax.set(xlabel="direction", ylabel="information (nats)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylim(bottom=0)
    finish(ax)
    return ax


def _of_pair(table: pd.DataFrame | None, modalities: Sequence[str] | None, key: str) -> pd.DataFrame:
    """Rows of one pair, the one of all cells first."""
    if table is None:
        msg = f"shared dimensions were not counted; run clipdim.tl.shared_dimension(mdata, key={key!r})"
        raise ValueError(msg)
    pairs = list(dict.fromkeys(zip(table["first"], table["second"], strict=True)))
    wanted = pairs[0] if modalities is None else tuple(modalities)
    found = [pair for pair in pairs if set(pair) == set(wanted)]
    if not found:
        msg = f"modalities={list(wanted)} were not measured together; there are {[list(pair) for pair in pairs]}"
        raise ValueError(msg)
    return table[(table["first"] == found[0][0]) & (table["second"] == found[0][1])]


def _draw_one(ax: Axes, rows: pd.DataFrame) -> None:
    direction, chance = rows["direction"].to_numpy(), rows["chance"].to_numpy()
    edges = np.append(direction - 0.5, direction[-1] + 0.5)
    ax.stairs(chance, edges, fill=True, color="0.9", label="by chance")
    ax.plot(direction, rows["information"] + chance, color=FAINT, linewidth=1, zorder=1)
    for counted, name, face in ((True, "counted", COUNTED), (False, "not counted", "white")):
        own = rows[rows["counted"].astype(bool) == counted]
        total = own["information"] + own["chance"]
        ends = [(own["information"] - own["low"]).clip(lower=0), (own["high"] - own["information"]).clip(lower=0)]
        style: dict[str, Any] = {"fmt": "o", "color": COUNTED, "markerfacecolor": face, "markersize": 6}
        if len(own):
            ax.errorbar(own["direction"], total, yerr=ends, label=name, **style)
    ax.set_xlim(edges[0], edges[-1])
    handles, names = ax.get_legend_handles_labels()
    ax.legend(handles, names, loc="upper right")


def _draw_groups(ax: Axes, rows: pd.DataFrame, table: pd.DataFrame) -> None:
    names = rows.groupby("group", sort=False)["information"].sum().sort_values(ascending=False).index
    colors = [INK] if len(names) == 1 else sns.color_palette("husl", len(names)).as_hex()
    for name, color in zip(names, colors, strict=True):
        own = rows[rows["group"] == name]
        label = f"{name}: {_told(table.loc[name])}"
        ax.plot(own["direction"], own["information"].clip(lower=0), color=color, marker="o", label=label)
    ax.legend(loc="upper right", title="shared dimensions")


def _told(row: pd.Series) -> str:
    """Return the bounds of a row of the table."""
    least, most = int(row["at_least"]), int(row["at_most"])
    return f"{least}" if least == most else f"{least} to {most}"
