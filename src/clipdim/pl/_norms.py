import numpy as np
from matplotlib.axes import Axes
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import pair, paired_embeddings
from clipdim.pl._cells import choose_cells
from clipdim.pl._style import FAINT, filled_histogram, finish, legend_above, modality_colors, single_axes, styled


@styled
def norms(
    mdata: MuData, *, key: str = _keys.KEY, cells: str | None = None, bins: int = 40, ax: Axes | None = None
) -> Axes:
    """
    Draw the norms of each modality's embedding before normalisation, over their mean.

    Each histogram has area 1. In the paper they gather at 1 though nothing constrains them
    (Gui, Ma and Ma, NeurIPS 2025, section G.1); the legend has their standard deviations.

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`; not changed.
    key
        The ``key_added`` of the fit: ``obs["{key}_norm"]`` of the modalities and ``mdata.obs["{key}_split"]`` are read.
    cells
        ``"held-out"``, ``"train"``, ``"norm set"`` or ``"all"``. By default the held-out cells, or, where none
        were held out, the training cells, which the title then says.
    bins
        Number of bins, from the lowest norm to the highest.
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
        If the fit has no such ``cells``.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> ax = clipdim.pl.norms(mdata)
    >>> ax.get_xlabel()
    'norm over its mean, ‖f‖ / E‖f‖'
    """
    embeddings = paired_embeddings(mdata, key)
    chosen, which = choose_cells(embeddings.split, cells)
    rows = pair(mdata, embeddings.modalities)
    values = {}
    for column, name in enumerate(embeddings.modalities):
        of_modality = rows[chosen, column]
        values[name] = mdata[name].obs[_keys.norm(key)].to_numpy()[of_modality[of_modality >= 0]]

    ax = single_axes(ax, (5.0, 3.4))
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins=bins)
    colors = modality_colors(embeddings.modalities)
    for name, sample in values.items():
        filled_histogram(ax, sample, edges, color=colors[name], label=f"{name} (sd {sample.std():.2f})")
    ax.axvline(1, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    ax.set(xlabel="norm over its mean, ‖f‖ / E‖f‖", ylabel="density")
    ax.margins(x=0.01)
    legend_above(ax, title=f"{int(chosen.sum()):,} {which}")
    finish(ax)
    return ax
