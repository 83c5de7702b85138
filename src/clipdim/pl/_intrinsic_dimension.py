import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import read_fit
from clipdim.pl._style import FAINT, curve, epoch_axis, finish, legend_above, modality_colors, single_axes, styled

_ESTIMATORS = {"mle": "MLE", "twonn": "TwoNN", "lpca": "local PCA"}


@styled
def intrinsic_dimension(mdata: MuData, *, key: str = _keys.KEY, ax: Axes | None = None) -> Axes:
    """
    Draw the intrinsic dimension of each modality's embedding along training, and the final estimates.

    The final estimates, of each modality and of the joint embedding, stand to the right of the last epoch with
    their intervals. The curves are of at most 5,000 cells and usually 1,000, around 200 of them, so they are rougher.
    The dashed line marks ``out_dim``; where that is far above the estimates it lies outside, and is only named.
    The theory has the intrinsic dimension settle at the number of shared dimensions, whatever ``out_dim`` is
    (Gui, Ma and Ma, NeurIPS 2025, section 3.2).

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`; not changed.
    key
        The ``key_added`` of the fit: ``mdata.uns[key]`` is read.
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
    >>> ax = clipdim.pl.intrinsic_dimension(mdata)
    >>> ax.get_xlabel()
    'epoch'
    """
    fit = read_fit(mdata, key)
    table, final = fit["history"], fit["intrinsic_dimension"]
    modalities = [str(name) for name in fit["params"]["modalities"]]
    colors = modality_colors(modalities)
    ax = single_axes(ax, (6.0, 3.8))
    last, step = float(table.index[-1]), 0.045 * max(len(table) - 1, 1)
    top = 0.0
    for name in modalities:
        column = f"intrinsic_dimension_{name}"
        if column in table:
            curve(ax, table[column], color=colors[name])
            top = np.nanmax([top, table[column].max()])
    shown = [name for name in (*modalities, "joint") if name in final]
    for place, name in enumerate(shown):
        record = final[name]
        estimate, low, high = (float(record[field]) for field in ("estimate", "low", "high"))
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
    _mark_out_dim(ax, int(fit["params"]["out_dim"]), float(top))

    epoch_axis(ax)
    ax.set_xticks([tick for tick in MaxNLocator(integer=True, nbins=6).tick_values(0, last) if 0 <= tick <= last])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    record = final[shown[0]]
    ax.set_ylabel(f"intrinsic dimension ({_ESTIMATORS.get(record['estimator'], record['estimator'])})")
    cells = "training" if record["cells"] == _keys.TRAIN else record["cells"]
    legend_above(ax, title=f"{int(record['n_cells']):,} {cells} cells, {int(record['n_neighbors'])} neighbours")
    finish(ax)
    return ax


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
