from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import read_fit
from clipdim.pl._fits import fit_names
from clipdim.pl._style import INK, curve, epoch_axis, finish, single_axes, styled


@styled
def temperature(mdata: MuData, *, key: str | Sequence[str] = _keys.KEY, ax: Axes | None = None) -> Axes:
    """
    Draw the temperature along training, on a logarithmic axis.

    It falls towards 0 where the modalities can be aligned (Gui, Ma and Ma, NeurIPS 2025, sections 1.1 and G.4),
    whatever ``out_dim`` is. The last value stands at the end of the line, or, with several fits, in the legend.

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`; not changed.
    key
        The ``key_added`` of the fit: ``mdata.uns[key]["history"]`` is read. Or those of several fits, for a line each:
        the legend has their ``out_dim``, or the keys where two have the same.
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
        If ``ax`` is not an Axes.
    ValueError
        If ``key`` is empty.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> ax = clipdim.pl.temperature(mdata)
    >>> ax.get_yscale()
    'log'

    Several fits in one figure:

    >>> clipdim.tl.fit(mdata, out_dim=4, max_epochs=2, key_added="small", progress=False)
    >>> ax = clipdim.pl.temperature(mdata, key=["small", "clipdim"])
    >>> [text.get_text().split(" (")[0] for text in ax.get_legend().get_texts()]
    ['out_dim 4', 'out_dim 8']
    """
    names = fit_names(mdata, [key] if isinstance(key, str) else list(key))
    values = pd.DataFrame({one: read_fit(mdata, one).history["temperature"] for one in names})
    colors = [INK] if len(names) == 1 else sns.color_palette("viridis_r", len(names) + 1).as_hex()[1:]
    ax = single_axes(ax, (5.0, 3.4))
    ax.set_yscale("log")
    for (one, name), color in zip(names.items(), colors, strict=True):
        recorded = values[one].dropna()
        epoch, last = recorded.index[-1], recorded.iloc[-1]
        curve(ax, recorded, color=color, label=f"{name} (τ = {last:.3g})")
        ax.plot(epoch, last, color=color, marker="o", markersize=5, clip_on=False)
        if len(names) == 1:
            ax.annotate(f"{last:.3g}", (epoch, last), xytext=(8, 0), textcoords="offset points", va="center")
    decades = np.log10(values.max(axis=None) / values.min(axis=None))
    if decades < 3:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 6, 8) if decades < 1 else (1, 2, 5)))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylabel("temperature τ")
    epoch_axis(ax)
    if len(names) > 1:
        ax.legend()  # inside, upper right as a rule: lines fall
    finish(ax)
    return ax
