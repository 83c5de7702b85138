"""The intrinsic dimension around each cell on an embedding, as ``pl.intrinsic_dimension`` draws it."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import basis_points, obs_column
from clipdim.neighbors import nearest_points
from clipdim.pl._dimension_text import cells_text, dimension_label, measure_call, stored_table
from clipdim.pl._style import finish, single_axes

# around one cell the estimate errs by a quarter
N_SMOOTH = 50
_MISSING = "#E3E3E3"
# a few cells would otherwise use up the colours
_QUANTILES = (0.01, 0.99)
_POINTS = 40_000


def draw_on_basis(mdata: MuData, basis: str, key: str | None, ax: Axes | None) -> Axes:
    """Draw the first two columns of an embedding, each cell in the colour of the dimension around it."""
    table = stored_table(mdata, key, "")
    values, points = _values(mdata, key), basis_points(mdata, basis)
    shown = np.isfinite(points).all(axis=1)
    known = shown & ~np.isnan(values)
    if not known.any():
        call = measure_call(key, 'cells="all", ')
        msg = f"no cell has both a dimension around it and a place in {basis!r}; run {call}"
        raise ValueError(msg)
    k = min(N_SMOOTH, int(known.sum()))
    near = nearest_points(points[known], points[known], k)[1]
    smooth = 1 / (1 / values[known])[near].mean(axis=1)

    ax = single_axes(ax, (5.6, 4.4))
    size = float(np.clip(_POINTS / shown.sum(), 1, 20))
    style: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": True}
    x, y = points[shown & ~known].T
    ax.scatter(x, y, color=_MISSING, **style)
    low, high = np.quantile(smooth, _QUANTILES)
    # cells in random order: none hides the others
    order = np.random.default_rng(0).permutation(len(smooth))
    x, y = points[known][order].T
    mappable = ax.scatter(x, y, c=smooth[order], vmin=low, vmax=high, cmap="viridis", **style)
    record = table.iloc[0]
    names = table["representation"].tolist()
    name = _keys.JOINT if _keys.JOINT in names else names[0]
    ax.figure.colorbar(mappable, ax=ax, label=f"{dimension_label(record['estimator'])}, {name}", shrink=0.8)
    ax.set_title(f"{known.sum():,} {cells_text(record['cells'])}, mean over {k} neighbours on this map")
    label = basis.removeprefix("X_").replace("umap", "UMAP")
    ax.set(xlabel=f"{label} 1", ylabel=f"{label} 2", xticks=[], yticks=[])
    finish(ax)
    return ax


def _values(mdata: MuData, key: str | None) -> np.ndarray:
    """Dimension around each cell, of the joint embedding where it was measured; NaN where it was not."""
    try:
        return obs_column(mdata, _keys.DIMENSION if key is None else key).to_numpy(dtype=float)
    except KeyError:
        msg = f'the table of dimensions has no values around cells ("twonn" gives none); run {measure_call(key, "")}'
        raise KeyError(msg) from None
