import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import read_fit
from clipdim.pl._style import INK, curve, epoch_axis, finish, single_axes, styled


@styled
def temperature(mdata: MuData, *, key: str = _keys.KEY, ax: Axes | None = None) -> Axes:
    """
    Draw the temperature along training, on a logarithmic axis.

    It falls towards 0 where the modalities can be aligned (Gui, Ma and Ma, NeurIPS 2025, sections 1.1 and G.4).

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`; not changed.
    key
        The ``key_added`` of the fit: ``mdata.uns[key]["history"]`` is read.
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

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> ax = clipdim.pl.temperature(mdata)
    >>> ax.get_yscale()
    'log'
    """
    values = read_fit(mdata, key)["history"]["temperature"]
    ax = single_axes(ax, (5.0, 3.4))
    ax.set_yscale("log")
    curve(ax, values, color=INK)
    ax.plot(values.index[-1:], values.iloc[-1:], color=INK, marker="o", markersize=5, clip_on=False)
    last = values.iloc[-1]
    ax.annotate(f"{last:.3g}", (values.index[-1], last), xytext=(8, 0), textcoords="offset points", va="center")
    decades = np.log10(values.max() / values.min())
    if decades < 3:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 6, 8) if decades < 1 else (1, 2, 5)))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylabel("temperature τ")
    epoch_axis(ax)
    finish(ax)
    return ax
