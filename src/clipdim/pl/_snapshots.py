from collections.abc import Sequence
from itertools import combinations
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from mudata import MuData

from clipdim import _check, _keys
from clipdim._mudata import Fit, Snapshots, read_fit
from clipdim.pl._cells import main_cells
from clipdim.pl._points import color_points
from clipdim.pl._style import FAINT, INK, styled

_ENTRIES_OF_A_COLUMN = 15


@styled
def snapshots(
    mdata: MuData,
    *,
    key: str = _keys.KEY,
    color: str | None = None,
    n_pairs: int = 30,
    ax: Sequence[Axes] | np.ndarray | Axes | None = None,
) -> np.ndarray:
    """
    Draw the embeddings in three dimensions along training, a panel for each snapshot.

    Each cell has a point for each modality. Lines join the points of one cell; they get shorter as the modalities are
    aligned (Gui, Ma and Ma, NeurIPS 2025, section G.1). Above each panel are the mean similarities, across modalities
    and in all dimensions, of the same cell and of two cells. The circles lie on the unit sphere, where all points lie
    by the cosine and where they gather by the inner product.

    With more than three dimensions the axes are the first three principal axes of the last snapshot, not centred, the
    same in all panels and for all modalities. Their labels have the share of the squared norms that each shows. Points
    then lie within the sphere.

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit` with ``n_snapshots``; not changed.
    key
        The ``key_added`` of the fit: ``mdata.uns[key]["snapshots"]`` is read.
    color
        Column of ``.obs`` of the MuData or of a modality, labels or numbers. By default points have the colours of
        their modalities. Classes have the colours of ``.uns["{color}_colors"]`` where scanpy left them; the points of
        the first modality are then filled, those of others hollow.
    n_pairs
        Cells whose points are joined by lines.
    ax
        Array of three-dimensional Axes to draw on, one for each snapshot; by default those of a new figure.

    Returns
    -------
    Array of Axes, one for each snapshot.

    Raises
    ------
    KeyError
        If there is no fit under ``key``, it has no snapshots, or there is no column ``color``.
    TypeError
        If ``n_pairs`` is not an integer.
    ValueError
        If ``n_pairs`` is below 0, or ``ax`` is not an array of so many three-dimensional Axes.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.linear(n_cells=300, n_shared=2)
    >>> clipdim.tl.fit(mdata, out_dim=3, max_epochs=2, n_snapshots=3, progress=False)
    >>> axes = clipdim.pl.snapshots(mdata)
    >>> [ax.get_title().splitlines()[0] for ax in axes]
    ['untrained', 'after 1 epoch', 'after 2 epochs']
    """
    n_pairs = _check.integer("n_pairs", n_pairs, least=0)
    fit = read_fit(mdata, key)
    stored = _read(fit, key)
    modalities = fit.params.modalities
    # (snapshots x modalities x cells x out_dim)
    points = np.stack([stored.embeddings[name] for name in modalities], axis=1).astype(np.float64)
    shown, labels = _in_three_dimensions(points)
    # few points lie outside, and are drawn all the same
    limit = max(1.0, float(np.quantile(np.abs(shown), 0.999)))
    colors = color_points(mdata, stored.cells.tolist(), modalities, color)

    axes = _axes(ax, len(points))
    for one, cells, in_all, epoch in zip(axes, shown, points, stored.epochs, strict=True):
        _space(one, labels, limit)
        one.scatter(
            *cells.reshape(-1, 3).T,
            s=8,
            facecolors=colors.faces.reshape(-1, 4),
            edgecolors=colors.edges.reshape(-1, 4),
            linewidth=0.5,
        )
        # NaN breaks the line between two cells
        corners = np.concatenate([cells[:, :n_pairs], np.full_like(cells[:1, :n_pairs], np.nan)])
        one.plot(*corners.transpose(1, 0, 2).reshape(-1, 3).T, color=INK, linewidth=0.8)
        name = "untrained" if epoch == 0 else f"after {epoch} epoch{'s' if epoch > 1 else ''}"
        positive, negative = np.mean([_similarities(u, v) for u, v in combinations(in_all, 2)], axis=0)
        one.set_title(f"{name}\nsimilarity {positive:z.2f}, different cells {negative:z.2f}", pad=-8)
    which = main_cells({stored.split})
    pair = [Line2D([], [], color=INK, linewidth=0.8, label="the same cell")] if n_pairs else []
    _legend(axes[-1], [*colors.handles, *pair], f"{len(stored.cells):,} {which}")
    if colors.mappable is not None:
        axes[0].figure.colorbar(colors.mappable, ax=list(axes), label=color, shrink=0.6)
    return axes


def _read(fit: Fit, key: str) -> Snapshots:
    if fit.snapshots is not None:
        return fit.snapshots
    # double quotes only: the text of a KeyError is shown with a backslash before each single quote otherwise
    if fit.params.reduced_from is not None:
        source = fit.params.reduced_from
        msg = f'no snapshots in mdata.uns["{key}"], since clipdim.tl.reduce stores none; pass key="{source}"'
        raise KeyError(msg)
    of_key = "" if key == _keys.KEY else f', key_added="{key}"'
    call = f"clipdim.tl.fit(mdata, {fit.params.out_dim}, n_snapshots=6{of_key})"
    msg = f'no snapshots in mdata.uns["{key}"]; run {call}'
    raise KeyError(msg)


def _in_three_dimensions(points: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Coordinates to draw, (... x 3), and the labels of their axes."""
    n_dims = points.shape[-1]
    if n_dims <= 3:
        padded = np.pad(points, [(0, 0)] * (points.ndim - 1) + [(0, 3 - n_dims)])
        return padded, [f"dimension {place + 1}" if place < n_dims else "" for place in range(3)]
    last = points[-1].reshape(-1, n_dims)
    # not centred, so that the origin and the sphere stay where they are
    squares, axes = np.linalg.eigh(last.T @ last)
    shares, axes = squares[::-1][:3] / squares.sum(), axes[:, ::-1][:, :3]
    # either sign would do: take the one that does not depend on the linear algebra library
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(3)])
    return points @ axes, [f"axis {place + 1} ({share:.0%})" for place, share in enumerate(shares)]


def _similarities(u: np.ndarray, v: np.ndarray) -> tuple[float, float]:
    """Mean similarity of the same rows, and of different rows."""
    same, every = float((u * v).sum()), float(u.sum(axis=0) @ v.sum(axis=0))
    n_cells = len(u)
    return same / n_cells, (every - same) / max(n_cells * (n_cells - 1), 1)


def _axes(ax: Sequence[Axes] | np.ndarray | Axes | None, n_panels: int) -> np.ndarray:
    """Return the given Axes as an array, or those of a new figure in rows of three."""
    if ax is None:
        n_columns = min(n_panels, 3)
        n_rows = -(-n_panels // n_columns)
        figure = plt.figure(figsize=(3.4 * n_columns + 2, 3.6 * n_rows), layout="constrained")
        return np.array(
            [figure.add_subplot(n_rows, n_columns, place + 1, projection="3d") for place in range(n_panels)],
            dtype=object,
        )
    axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(axes) != n_panels or not all(isinstance(one, Axes) and one.name == "3d" for one in axes):
        msg = (
            f"ax must be an array of {n_panels} three-dimensional matplotlib Axes, one for each snapshot, got "
            f"{len(axes)} of {sorted({type(one).__name__ for one in axes})}; make them with "
            f"matplotlib.pyplot.subplots(1, {n_panels}, subplot_kw={{'projection': '3d'}})"
        )
        raise ValueError(msg)
    return axes


def _space(ax: Any, labels: list[str], limit: float) -> None:
    """Empty axes, one unit as long in each direction, and great circles of the unit sphere, which are the scale."""
    for axis, label in zip((ax.xaxis, ax.yaxis, ax.zaxis), labels, strict=True):
        axis.set_pane_color((1, 1, 1, 0))
        axis.set_ticks([])
        axis.set_label_text(label)
        axis.labelpad = -16
    ax.grid(False)
    ax.patch.set_visible(False)  # it would cover a neighbour's label
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), zlim=(-limit, limit))
    ax.set_box_aspect((1, 1, 1), zoom=1.1)
    angle = np.linspace(0, 2 * np.pi, 121)
    circle = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)])
    for turn in range(3):
        ax.plot(*np.roll(circle, turn, axis=0), color=FAINT, linewidth=0.6)


def _legend(ax: Axes, handles: list[Line2D], title: str) -> None:
    """Put the legend to the right of the last panel."""
    ax.legend(
        handles=handles,
        title=title,
        loc="center left",
        bbox_to_anchor=(1.12, 0.5),
        ncols=-(-len(handles) // _ENTRIES_OF_A_COLUMN),
        handlelength=1.2,
    )
