"""``pl.loadings``: heat map of the features that go along with each direction of the joint embedding."""

from collections.abc import Sequence
from numbers import Integral
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from mudata import MuData

from clipdim import _check, _keys
from clipdim._mudata import read_fit
from clipdim.pl._style import INK, finish, panel_axes, styled

# inches
_ROW, _COLUMN, _LETTER, _AROUND = 0.185, 0.36, 0.085, 0.35
_MAP = "RdBu_r"


@styled
def loadings(
    mdata: MuData,
    *,
    n_features: int = 5,
    directions: Sequence[int] | None = None,
    dimensions: Literal["shared", "private"] = "shared",
    key: str = _keys.KEY,
    ax: Sequence[Axes] | np.ndarray | Axes | None = None,
) -> np.ndarray:
    """
    Draw which features go along with each direction of the joint embedding, a panel for each modality.

    A column for each direction, a row for each feature that is among the strongest of one of them, half of them at
    either end of the direction. Features are listed under the direction on which they are strongest, from its positive
    to its negative end, so that the map runs from upper left to lower right. Features of two modalities that have one
    colour in one column rise and fall together. Below each direction is how well this modality and the others agree
    where it puts a cell: the correlation of their positions, on held-out cells where there are enough.

    Parameters
    ----------
    mdata
        MuData after :func:`clipdim.tl.loadings`; not changed.
    n_features
        Features of each modality to show for each direction, all of a modality that has fewer.
    directions
        Numbers of the directions to show, from 1, in this order; by default all that are stored.
    dimensions
        ``"private"`` draws the loadings of :func:`clipdim.tl.loadings` with ``dimensions="private"``: each modality's
        columns are dimensions of its own.
    key
        The ``key_added`` of the fit: ``mdata.uns[key]["loadings"]`` is read, or ``"private_loadings"``.
    ax
        Array of Axes to draw on, one for each modality; by default those of a new figure, larger the more features.

    Returns
    -------
    Array of Axes, one for each modality.

    Raises
    ------
    KeyError
        If there is no fit under ``key``, or it has no loadings.
    TypeError
        If ``n_features`` is not an integer.
    ValueError
        If ``n_features`` is below 1, ``dimensions`` is unknown, a direction is not stored or named twice, or ``ax`` is
        not an array of so many Axes.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> _ = clipdim.tl.loadings(mdata)
    >>> axes = clipdim.pl.loadings(mdata, directions=[1, 2, 3])
    >>> [ax.get_title(loc="left") for ax in axes]
    ['rna', 'prot']
    """
    n_features = _check.integer("n_features", n_features, least=1)
    table = _read(mdata, dimensions, key)
    shown = _directions(table, directions)
    maps, agreement = {}, {}
    for name, rows in table.groupby("modality", sort=False):
        if not rows["direction"].isin(shown).any():
            msg = f"directions={shown}: modality {name!r} has none of them, only 1 to {rows['direction'].max()}; "
            msg += "name one of these too"
            raise ValueError(msg)
        # the order of the features is that of the modality
        matrix = rows.pivot_table(index="feature", columns="direction", values="loading", sort=False)
        matrix = matrix.reindex(columns=shown)  # one modality may have fewer private dimensions
        maps[name] = _strongest(matrix, n_features)
        agreement[name] = rows.groupby("direction")["agreement"].first().reindex(shown)
    limit = max(float(np.nanmax(np.abs(matrix.to_numpy()))) for matrix in maps.values())
    norm = Normalize(-limit, limit)
    axes = _figure(maps) if ax is None else panel_axes(ax, len(maps), (4.0, 4.0))
    for one, (name, matrix) in zip(axes, maps.items(), strict=True):
        sns.heatmap(matrix, ax=one, cmap=_MAP, norm=norm, linewidths=0.5, linecolor="white", cbar=False)
        one.set_title(name)
        one.set(xlabel="direction and agreement" if dimensions == "shared" else "private dimension", ylabel="")
        one.set_yticks(np.arange(len(matrix)) + 0.5, matrix.index, rotation=0)
        labels = [f"{number}\n{_short(agreement[name][number])}" for number in shown]
        labels = labels if dimensions == "shared" else [str(number) for number in shown]
        one.set_xticks(np.arange(len(shown)) + 0.5, labels, rotation=0)
        finish(one)
        sns.despine(ax=one, left=True, bottom=True)
        one.tick_params(length=0)
    bar = axes[0].figure.colorbar(
        ScalarMappable(norm, _MAP),
        ax=list(axes),
        label="loading (correlation)",
        shrink=0.5,
        aspect=25,
        anchor=(0, 1),
        panchor=False,
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9, color=INK, width=0.8, length=3)
    return axes


def _read(mdata: MuData, dimensions: str, key: str) -> pd.DataFrame:
    fit = read_fit(mdata, key)
    _check.choice("dimensions", dimensions, ("shared", "private"))
    slot: Literal["loadings", "private_loadings"] = "loadings" if dimensions == "shared" else "private_loadings"
    table = getattr(fit, slot)
    if table is None:
        # double quotes only: the text of a KeyError is shown with a backslash before each single quote otherwise
        of_key = "" if key == _keys.KEY else f', key="{key}"'
        of_key += "" if dimensions == "shared" else ', dimensions="private"'
        msg = f'no loadings in mdata.uns["{key}"]["{slot}"]; run clipdim.tl.loadings(mdata{of_key})'
        raise KeyError(msg)
    # a file gives back strings as categories or as another type
    return table.astype({"modality": str, "feature": str})


def _directions(table: pd.DataFrame, directions: Sequence[int] | None) -> list[int]:
    stored = [int(number) for number in table["direction"].unique()]
    if directions is None:
        return stored
    shown = np.atleast_1d(np.asarray(directions, dtype=object)).tolist()
    numbers = all(isinstance(number, Integral) and not isinstance(number, bool) for number in shown)
    if not shown or not numbers or not set(shown) <= set(stored) or len(set(shown)) < len(shown):
        msg = f"directions={shown} must be some of those stored, 1 to {len(stored)}, each once; others are computed by "
        msg += "clipdim.tl.loadings(mdata, n_directions=...)"
        raise ValueError(msg)
    return [int(number) for number in shown]


def _strongest(matrix: pd.DataFrame, n_features: int) -> pd.DataFrame:
    """Rows among the strongest of either end of a column, each under the column in which it is strongest."""
    matrix = matrix.dropna(how="all")
    values = np.nan_to_num(matrix.dropna(axis=1, how="all").to_numpy())
    n = min(n_features, len(values))
    order = values.argsort(axis=0, kind="stable")
    n_low = n // 2
    chosen = np.unique(np.concatenate([order[:n_low], order[len(order) - (n - n_low) :]]))
    values = values[chosen]
    main = np.abs(values).argmax(axis=1)
    places = np.lexsort([-values[np.arange(len(values)), main], main])
    return matrix.iloc[chosen[places]]


def _figure(maps: dict[str, pd.DataFrame]) -> np.ndarray:
    """Axes side by side whose cells are of one size, each as high as it has rows."""
    n_columns = next(iter(maps.values())).shape[1]
    wide = max(n_columns * _COLUMN, 2.2)
    labels = [_LETTER * max(map(len, matrix.index)) for matrix in maps.values()]
    rows = [len(matrix) for matrix in maps.values()]
    size = (sum(labels) + (wide + _AROUND) * len(maps) + 0.9, _ROW * max(*rows, 8) + 1.0)
    _, axes = plt.subplots(1, len(maps), figsize=size, layout="constrained", squeeze=False)
    for ax, n_rows in zip(axes[0], rows, strict=True):
        ax.set_box_aspect(n_rows * _ROW / wide)
        ax.set_anchor("NW")  # constrained layout leaves room for labels left of where the slot begins
    return axes[0]


def _short(value: float) -> str:
    """Two digits without the zero before the point."""
    return "" if np.isnan(value) else f"{value:.2f}".replace("0.", ".", 1)
