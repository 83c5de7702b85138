import numpy as np
from matplotlib.axes import Axes
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import find_transfer, obs_column, read_confidence
from clipdim.evaluation import Reliability
from clipdim.evaluation import reliability as measure
from clipdim.pl._style import FAINT, INK, finish, single_axes, styled

MIN_CELLS_OF_BIN = 10
Z95 = 1.96


@styled
def reliability(
    mdata: MuData,
    label_key: str,
    *,
    key_added: str | None = None,
    n_bins: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """
    Draw how often transferred labels are right against the confidence in them.

    On the diagonal the confidence is what it claims to be: the chance that the label is right. Error bars are 95 %
    intervals by Wilson, and bins of fewer than 10 cells are not drawn; the histogram above counts the cells by
    confidence. Cells below ``min_confidence`` have no label to compare and are left out; to see them too, transfer with
    ``min_confidence=0``.

    Parameters
    ----------
    mdata
        New cells after :func:`clipdim.tl.transfer_labels`; not changed.
    label_key
        Column of ``mdata.obs`` or of a modality's ``.obs`` with the true labels.
    key_added
        That of :func:`clipdim.tl.transfer_labels`; by default of the only transfer there is.
    n_bins
        Bins of equal width of the confidence.
    ax
        Axes to draw on; by default those of a new figure.

    Returns
    -------
    The Axes.

    Raises
    ------
    KeyError
        If no labels were transferred under this name, or there is no column of true labels.
    TypeError
        If ``ax`` is not an Axes, or ``mdata`` not a MuData.
    ValueError
        If there are several transfers and none is given, no cell has both labels, or ``n_bins`` is below 1.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017.

    Examples
    --------
    >>> import clipdim
    >>> cells = clipdim.datasets.simulate_citeseq(n_cells=400)
    >>> reference, query = cells[:300].copy(), cells[300:].copy()
    >>> clipdim.pp.citeseq(reference)
    >>> clipdim.tl.fit(reference, out_dim=8, holdout=0.4, max_epochs=4, progress=False)
    >>> clipdim.pp.citeseq(query, reference=reference)
    >>> clipdim.tl.embed(query, reference)
    >>> clipdim.tl.transfer_labels(query, reference, "cell_type", key_added="transferred")
    >>> ax = clipdim.pl.reliability(query, "cell_type")
    >>> ax.get_xlim() == (0, 1)
    True
    """
    key_added = find_transfer(mdata, key_added)
    truth, label = (obs_column(mdata, name).astype(object) for name in (label_key, key_added))
    compared = (truth.notna() & label.notna() & (label != _keys.UNASSIGNED)).to_numpy()
    if not compared.any():
        msg = f"no cell has a label in both {label_key!r} and {key_added!r}; name the column of the true labels"
        raise ValueError(msg)
    confidence, threshold = read_confidence(mdata, key_added)
    confidence = confidence[compared]
    right = truth[compared].map(str).to_numpy() == label[compared].map(str).to_numpy()
    curve = measure(confidence, right, n_bins=n_bins)

    ax = single_axes(ax, (4.2, 5.1))
    ax.axvspan(0, threshold, color=FAINT, alpha=0.12, linewidth=0)
    if threshold >= 0.2:
        ax.text(threshold / 2, 0.97, _keys.UNASSIGNED, ha="center", va="top", fontsize=9, color=FAINT)
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle="--")
    ax.text(0.11, 0.14, "as claimed", rotation=45, ha="center", va="center", fontsize=9, color=FAINT)
    shown = curve.n_cells >= min(MIN_CELLS_OF_BIN, curve.n_cells.max())
    ax.errorbar(
        curve.confidence[shown],
        curve.accuracy[shown],
        yerr=_wilson(curve)[:, shown],
        color=INK,
        marker="o",
        markersize=5,
        linewidth=1.4,
        elinewidth=1,
        clip_on=False,
    )
    numbers = f"{len(right):,} cells\n{right.mean():.3f} of them right\ncalibration error {curve.expected_error:.3f}"
    ax.text(0.97, 0.03, numbers, ha="right", va="bottom", fontsize=9)

    above = ax.inset_axes((0, 1.03, 1, 0.17), sharex=ax)
    above.hist(confidence, bins=np.linspace(0, 1, n_bins + 1).tolist(), log=True, color=INK, alpha=0.7, rwidth=0.92)
    above.set_ylim(bottom=0.8)
    above.set_ylabel("cells")
    finish(above)
    above.tick_params(axis="x", labelbottom=False)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_aspect("equal")
    ax.set_xlabel("confidence")
    ax.set_ylabel(f"fraction with the right {label_key}")
    finish(ax)
    return ax


def _wilson(curve: Reliability) -> np.ndarray:
    """Lengths of the error bars below and above each accuracy, (2, bins)."""
    n, p = curve.n_cells, curve.accuracy
    centre = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * np.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return np.maximum(np.stack([p - (centre - half), centre + half - p]), 0)
