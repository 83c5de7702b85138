from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import read_fit, read_norms, read_split
from clipdim.pl._cells import choose_cells
from clipdim.pl._fits import fit_names
from clipdim.pl._style import (
    FAINT,
    filled_histogram,
    finish,
    legend_above,
    modality_colors,
    panel_axes,
    single_axes,
    styled,
)


@styled
def norms(
    mdata: MuData,
    *,
    key: str | Sequence[str] = _keys.KEY,
    cells: str | None = None,
    bins: int = 40,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
) -> Axes | np.ndarray:
    """
    Draw the norms of each modality's embedding before normalisation, over their mean.

    Each histogram has area 1, and the axis begins at 0, so that the width of a histogram is what it looks. In the paper
    norms gather at 1 though nothing constrains them (Gui, Ma and Ma, NeurIPS 2025, section G.1); the legend has their
    standard deviations.

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`; not changed.
    key
        The ``key_added`` of the fit: ``obs["{key}_norm"]`` of the modalities and ``mdata.obs["{key}_split"]`` are read.
        Or those of several fits, for a panel each on one horizontal axis, in order of their ``out_dim``.
    cells
        ``"held-out"``, ``"train"``, ``"norm set"`` or ``"all"``. By default the held-out cells, or, where none
        were held out, the training cells, which the title then says.
    bins
        Number of bins, from the lowest norm to the highest.
    ax
        Axes to draw on, or an array with one for each of several fits; by default those of a new figure.

    Returns
    -------
    The Axes; an array of them when ``key`` is a sequence.

    Raises
    ------
    KeyError
        If there is no fit under ``key``.
    TypeError
        If ``ax`` is not an Axes.
    ValueError
        If the fit has no such ``cells``, ``key`` is empty, or ``ax`` has another number of Axes than there are keys.

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
    if isinstance(key, str):
        samples, which = _read(mdata, key, cells)
        ax = single_axes(ax, (5.0, 3.4))  # type: ignore[arg-type]
        _histograms(ax, samples, bins=bins, title=which)
        ax.set_xlim(0, _right_end(samples))
        return ax
    names = fit_names(mdata, list(key))
    panels = {name: _read(mdata, one, cells) for one, name in names.items()}
    axes = panel_axes(ax, len(panels), (4.0, 3.2))
    for one, (name, (samples, which)) in zip(axes, panels.items(), strict=True):
        _histograms(one, samples, bins=bins, title=f"{name}, {which}")
        one.set_xlim(0, max(_right_end(others) for others, _ in panels.values()))
    return axes


def _read(mdata: MuData, key: str, cells: str | None) -> tuple[dict[str, np.ndarray], str]:
    """Norms of the chosen cells by modality, and how many they are and which."""
    names = read_fit(mdata, key).params.modalities
    chosen, which = choose_cells(read_split(mdata, key), cells)
    norms = {name: own[chosen] for name, own in read_norms(mdata, names, key).items()}
    return {name: own[np.isfinite(own)] for name, own in norms.items()}, f"{int(chosen.sum()):,} {which}"


def _right_end(samples: dict[str, np.ndarray]) -> float:
    """Where the axis ends: 1 is in its middle, unless norms lie farther to the right."""
    return max(2.0, *(1.02 * float(sample.max()) for sample in samples.values()))


def _histograms(ax: Axes, samples: dict[str, np.ndarray], *, bins: int, title: str) -> None:
    edges = np.histogram_bin_edges(np.concatenate(list(samples.values())), bins=bins)
    colors = modality_colors(list(samples))
    for name, sample in samples.items():
        filled_histogram(ax, sample, edges, color=colors[name], label=f"{name} (sd {sample.std():.2f})")
    ax.axvline(1, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    ax.set(xlabel="norm over its mean, ‖f‖ / E‖f‖", ylabel="density")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    legend_above(ax, title=title)
    finish(ax)
