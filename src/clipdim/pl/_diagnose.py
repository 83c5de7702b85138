from textwrap import wrap

from matplotlib.axes import Axes
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import read_fit
from clipdim.pl._style import FAINT, INK, single_axes, styled

COLORS = {"ok": "#2E7D32", "note": "#C99700", "warning": "#C62828"}
# characters of a line
WIDTH = 92


@styled
def diagnose(mdata: MuData, *, key: str = _keys.KEY, ax: Axes | None = None) -> Axes:
    """
    Draw the checks of a fit, those that want a look first.

    Parameters
    ----------
    mdata
        After :func:`clipdim.tl.diagnose`; not changed.
    key
        The ``key_added`` of the fit.
    ax
        Axes to draw on; by default those of a new figure, as high as the readings are long.

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
        If the fit was not diagnosed.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> found = clipdim.tl.diagnose(mdata)
    >>> ax = clipdim.pl.diagnose(mdata)
    >>> len(ax.texts) > len(found.checks)
    True
    """
    table = read_fit(mdata, key).diagnose
    if table is None:
        msg = f"the fit {key!r} was not diagnosed; run clipdim.tl.diagnose(mdata, key={key!r})"
        raise ValueError(msg)
    order = table["verdict"].map({"warning": 0, "note": 1, "ok": 2}).sort_values(kind="stable").index
    readings = [wrap(str(text), WIDTH) for text in table.loc[order, "reading"]]
    n_lines = sum(map(len, readings)) + 0.5 * len(readings)
    ax = single_axes(ax, (10.0, 0.6 + 0.19 * n_lines))
    height = 0.0
    for check, verdict, lines in zip(table.loc[order, "check"], table.loc[order, "verdict"], readings, strict=True):
        ax.scatter(0.01, height + 0.5, color=COLORS[verdict], s=36)
        ax.text(0.03, height + 0.5, check.replace("_", " "), va="center", color=INK, weight="bold", fontsize=9)
        for i, line in enumerate(lines):
            ax.text(0.24, height + 0.5 + i, line, va="center", color=INK if verdict != "ok" else FAINT, fontsize=9)
        height += len(lines) + 0.5
    counts = table["verdict"].value_counts()
    ax.set_title(", ".join(f"{counts[name]} {name}" for name in COLORS if name in counts))
    ax.set(xlim=(0, 1), ylim=(height, 0))
    ax.set_axis_off()
    return ax
