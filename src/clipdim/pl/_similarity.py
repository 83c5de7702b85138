from collections.abc import Sequence
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import read_embeddings, read_fit
from clipdim.evaluation.similarity import draw_negatives
from clipdim.pl._cells import choose_cells
from clipdim.pl._style import NEGATIVE, POSITIVE, filled_histogram, finish, legend_above, panel_axes, styled

_MAX_NEGATIVES = 200_000


@styled
def similarity(
    mdata: MuData,
    *,
    key: str = _keys.KEY,
    cells: str | None = None,
    bins: int = 50,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
) -> Axes | np.ndarray:
    """
    Draw the similarities across modalities of the same cell (positive) and of two cells (negative).

    Both histograms have area 1, and the line is the mean positive similarity. Of the negative pairs at most 200,000 are
    drawn at random, always the same ones. Positives gather near 1, above the negatives, where the encoders can align
    the modalities, and at a lower value where they cannot (Gui, Ma and Ma, NeurIPS 2025, sections 1.1 and 4).

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`; not changed.
    key
        The ``key_added`` of the fit: ``obsm["X_{key}"]`` of the modalities and ``mdata.obs["{key}_split"]`` are read.
    cells
        ``"held-out"``, ``"train"``, ``"norm set"`` or ``"all"``. By default the held-out cells, or, where none
        were held out, the training cells, which the title then says. Cells that lack one of the pair are left out.
    bins
        Number of bins, from the lowest similarity to the highest.
    ax
        Axes to draw on, or an array with one for each pair of modalities; by default those of a new figure.

    Returns
    -------
    The Axes; an array of them, one for each pair, when the fit has more than two modalities.

    Raises
    ------
    KeyError
        If there is no fit under ``key``.
    ValueError
        If the fit has no such ``cells``, if fewer than two cells have both modalities, or if ``ax`` has another number
        of Axes than there are pairs.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> ax = clipdim.pl.similarity(mdata)
    >>> ax.get_ylabel()
    'density'
    """
    embeddings = read_embeddings(mdata, read_fit(mdata, key), key)
    chosen, which = choose_cells(embeddings.split, cells)
    values = []
    for first, second in combinations(embeddings.modalities, 2):
        u, v = embeddings.by_modality[first][chosen], embeddings.by_modality[second][chosen]
        both = np.isfinite(u).all(axis=1) & np.isfinite(v).all(axis=1)
        if both.sum() > 1:
            values.append((f"{first} and {second}", *_similarities(u[both], v[both])))
    if not values:
        msg = f"of the {which} less than 2 have two of the modalities {embeddings.modalities}; try cells='all'"
        raise ValueError(msg)

    axes = panel_axes(ax, len(values), (5.0, 3.4) if len(values) == 1 else (4.0, 3.2))
    edges = np.histogram_bin_edges(np.concatenate([sample for _, *both in values for sample in both]), bins=bins)
    for one, (pair, positive, negative) in zip(axes, values, strict=True):
        for name, sample, color in (
            (f"same cell (mean {positive.mean():.2f})", positive, POSITIVE),
            ("different cells", negative, NEGATIVE),
        ):
            filled_histogram(one, sample, edges, color=color, label=name)
        one.axvline(positive.mean(), color=POSITIVE, linewidth=1.2, linestyle=(0, (4, 3)))
        one.set(xlabel=f"similarity of {pair}", ylabel="density")
        one.margins(x=0.01)
        one.xaxis.set_major_locator(MaxNLocator(6))
        legend_above(one, title=f"{len(positive):,} {which}")
        finish(one)
    return axes[0] if len(values) == 1 else axes


def _similarities(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inner products of the same rows, and of different rows: all of them, or a fixed random sample."""
    row, column = draw_negatives(len(u), _MAX_NEGATIVES)
    return np.einsum("ij,ij->i", u, v), np.einsum("ij,ij->i", u[row], v[column])
