from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import read_sweep
from clipdim.pl._style import FAINT, finish, legend_above, modality_colors, panel_axes, styled

_STYLES: dict[str, Any] = {_keys.HELD_OUT: "-", _keys.TRAIN: (0, (2, 1.5))}
_NAMES = {_keys.HELD_OUT: "held-out", _keys.TRAIN: "training"}


@dataclass(frozen=True)
class _Panel:
    """A measure of the table against ``out_dim``."""

    measure: str
    label: str
    label_key: str = ""


@styled
def sweep(
    mdata: MuData,
    *,
    key: str = _keys.SWEEP,
    matching: Literal["top_alpha", "recall_at_1", "foscttm"] = "top_alpha",
    ax: Sequence[Axes] | np.ndarray | Axes | None = None,
) -> np.ndarray:
    """
    Draw accuracy, label match, matching and intrinsic dimension against the output dimension.

    Lines are means over the repeats, solid for held-out cells and dashed for training cells; bands reach from the 5th
    to the 95th percentile of the repeats. The dashed line of the last panel is where the intrinsic dimension would
    equal ``out_dim``: estimates that leave it and level off are at the number of shared dimensions
    (Gui, Ma and Ma, NeurIPS 2025, section 4). Below, the embedding has no room for what is shared.

    Parameters
    ----------
    mdata
        After :func:`clipdim.tl.sweep`; not changed.
    key
        The ``key_added`` of the sweep: ``mdata.uns[key]`` is read.
    matching
        Which measure the matching panel shows.
    ax
        Array of Axes to draw on, two for each label key and two more; by default those of a new figure.

    Returns
    -------
    Array of Axes: for each label key accuracy and label match, then matching and intrinsic dimension.

    Raises
    ------
    KeyError
        If there is no sweep under ``key``.
    ValueError
        If every fit of it failed, ``matching`` is not known, or ``ax`` is not an array of so many Axes.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.linear(n_cells=300)
    >>> _ = clipdim.tl.sweep(mdata, [2, 8], n_repeats=2, max_epochs=2, n_jobs=1, progress=False)
    >>> axes = clipdim.pl.sweep(mdata)
    >>> axes.shape
    (2,)
    """
    table, settings = _read(mdata, key)
    titles = {
        "top_alpha": f"top-{100 * float(settings['alpha']):g} % matching",
        "recall_at_1": "top-1 matching",
        "foscttm": "FOSCTTM (0 is perfect)",
    }
    if matching not in titles:
        msg = f"matching={matching!r} is not known; choose one of {list(titles)}"
        raise ValueError(msg)
    panels = []
    for label_key in map(str, settings["label_keys"]):
        panels += [_Panel("accuracy", f"accuracy of {label_key} (15-NN)", label_key)]
        panels += [_Panel("label_match", f"label match of {label_key}", label_key)]
    panels += [_Panel(matching, titles[matching]), _Panel("intrinsic_dimension", "intrinsic dimension (MLE)")]

    axes = panel_axes(_new_axes(len(panels)) if ax is None else ax, len(panels), (4.0, 3.4))
    modalities = [str(name) for name in settings["modalities"]]
    for one, panel in zip(axes, panels, strict=True):
        rows = table[(table["measure"] == panel.measure) & (table["label_key"] == panel.label_key)]
        _curves(one, rows, modalities)
        one.set(xlabel="output dimension (out_dim)", ylabel=panel.label)
        one.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        one.set_xlim(left=0)
        if panel.measure == "intrinsic_dimension":
            _identity(one, table["out_dim"].max(), rows["value"].max())
        elif panel.label_key:
            one.set_ylim(0, 1.02)
        else:
            one.set_ylim(0, min(1.15 * rows["value"].max(), 1.02) or None)
        finish(one)
    return axes


def _read(mdata: MuData, key: str) -> tuple[pd.DataFrame, dict]:
    """Table and settings of a sweep in which a fit finished."""
    found = read_sweep(mdata, key)
    if not len(found.table):
        errors = found.failures["error"]
        msg = f"no fit of this sweep finished; the first of {len(errors)} failed with {errors.iloc[0]}"
        raise ValueError(msg)
    return found.table, found.settings


def _new_axes(n_panels: int) -> np.ndarray:
    """Axes of a new figure: two rows when there are labels, accuracy above label match and so on."""
    n_rows = 1 if n_panels == 2 else 2
    n_columns = n_panels // n_rows
    grid = plt.subplots(n_rows, n_columns, figsize=(4.4 * n_columns, 3.4 * n_rows), layout="constrained", squeeze=False)
    return grid[1].T.ravel()


def _curves(ax: Axes, rows: pd.DataFrame, modalities: list[str]) -> None:
    """Mean and band by out_dim of each modality, or of each direction by the modality that is searched from."""
    colors = modality_colors(modalities)
    directions = {f"{a} to {b}": a for a in modalities for b in modalities}
    rows = rows.assign(source=rows["modality"].map(lambda name: directions.get(name, name)))
    names = rows.groupby("source", sort=False)["modality"].unique()
    handles: list[Line2D] = []
    for source, of_source in rows.groupby("source", sort=False):
        for split, style in _STYLES.items():
            # with three modalities or more, a repeat's mean over the modalities that are searched
            values = of_source[of_source["split"] == split].groupby(["out_dim", "repeat"])["value"].mean()
            if values.isna().all():
                continue
            by_dim = values.groupby("out_dim")
            mean, band = by_dim.mean(), by_dim.quantile([0.05, 0.95]).unstack()
            ax.fill_between(band.index, band[0.05], band[0.95], color=colors[source], alpha=0.15, linewidth=0)
            ax.plot(mean.index, mean, color=colors[source], linestyle=style, marker="o", markersize=3.5, clip_on=False)
        name = names[source][0] if len(names[source]) == 1 else f"{source} to others"
        handles.append(Line2D([], [], color=colors[source], label=name))
    splits = [split for split in _STYLES if (rows["split"] == split).any()]
    shown = [Line2D([], [], color=FAINT, linestyle=_STYLES[split], label=_NAMES[split]) for split in splits]
    legend_above(ax, handles=[*(handles if len(handles) > 1 else []), *shown])


def _identity(ax: Axes, highest_dim: int, highest: float) -> None:
    """Draw the line where the intrinsic dimension is ``out_dim``."""
    top = 1.25 * highest if np.isfinite(highest) else highest_dim
    ax.plot([0, highest_dim], [0, highest_dim], color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    ax.set_ylim(0, top)
    end = min(top, highest_dim)
    ax.annotate(
        "= out_dim",
        (end, end),
        xytext=(4, -4),
        textcoords="offset points",
        va="top",
        color=FAINT,
        fontsize=9,
    )
