import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle
from mudata import MuData

from clipdim import _keys
from clipdim.pl._labels import class_colors, classification, main_split
from clipdim.pl._style import finish, single_axes, styled

_MAX_CLASSES_WITH_NUMBERS = 12


@styled
def confusion(
    mdata: MuData,
    label_key: str | None = None,
    *,
    key: str = _keys.KEY,
    method: str = _keys.JOINT_KNN,
    ax: Axes | None = None,
) -> Axes:
    """
    Draw which classes are taken for which: the share of each class's held-out cells by predicted class.

    Rows sum to 1; a class without held-out cells has an empty row. The shade follows the square root, so that few
    mistaken cells show. Classes are in order of size, and marked with the
    colours of ``.uns["{label_key}_colors"]`` where scanpy left them, in the MuData or in a modality. Numbers are
    written into the cells when there are at most 12 classes.

    Parameters
    ----------
    mdata
        Scored by :func:`clipdim.tl.classify`; not changed.
    label_key
        Which label, when several were scored.
    key
        The ``key_added`` of the fit: ``mdata.uns[key]["confusion"]`` is read.
    method
        ``"joint k-NN"``, or a label match across modalities, such as ``"rna to prot"``, where it was stored.
    ax
        Axes to draw on; by default those of a new figure, larger the more classes there are.

    Returns
    -------
    The Axes.

    Raises
    ------
    KeyError
        If there is no fit under ``key``, or no predictions of this label or by this method.
    TypeError
        If ``ax`` is not an Axes.
    ValueError
        If several labels were scored and none is given.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> _ = clipdim.tl.classify(mdata, "cell_type")
    >>> ax = clipdim.pl.confusion(mdata)
    >>> ax.get_xlabel()
    'predicted cell_type'
    """
    rows, label_key = classification(mdata, "confusion", key=key, label_key=label_key, method=method)
    split, which = main_split(rows)
    classes = np.union1d(rows["label"], rows["predicted"])
    rows = rows[rows["split"] == split]
    sizes = rows.groupby("label")["n_cells"].sum().reindex(classes, fill_value=0)
    sizes = sizes.sort_values(ascending=False, kind="stable")
    counts = rows.pivot_table(index="label", columns="predicted", values="n_cells", aggfunc="sum", fill_value=0)
    counts = counts.reindex(index=sizes.index, columns=sizes.index, fill_value=0)
    shares = counts.div(counts.sum(axis=1).replace(0, np.nan), axis=0)

    n_classes = len(shares)
    names = [f"{name}  (n = {size:,})" for name, size in sizes.items()]
    side = max(0.46, 2.4 / n_classes) if n_classes <= _MAX_CLASSES_WITH_NUMBERS else 0.24
    longest = 0.075 * max(len(name) for name in names)  # inches: a letter of 9 points is about .075 wide
    ax = single_axes(ax, (side * n_classes + longest + 1.2, side * n_classes + 0.5 * longest + 0.4))
    sns.heatmap(
        shares,
        ax=ax,
        norm=PowerNorm(0.5, vmin=0, vmax=1),
        cmap="Blues",
        linewidths=0.5,
        linecolor="0.92",
        annot=_numbers(shares.to_numpy()) if n_classes <= _MAX_CLASSES_WITH_NUMBERS else None,
        fmt="",
        annot_kws={"fontsize": 9},
        xticklabels=False,
        yticklabels=False,
        cbar_kws={"label": "share of the class", "aspect": 30, "pad": 0.02, "ticks": [0, 0.05, 0.2, 0.5, 1]},
    )
    colors = class_colors(mdata, label_key)
    if colors:
        _mark_classes(ax, [colors.get(name, "none") for name in shares.index])
    ax.set_title(which)
    ax.set_xlabel(f"predicted {label_key}", labelpad=8)
    ax.set_ylabel(label_key, labelpad=8)
    centres = np.arange(n_classes) + 0.5
    ax.set_yticks(centres, names)
    ax.set_xticks(centres, list(sizes.index), rotation=45, ha="right", rotation_mode="anchor")
    finish(ax)
    sns.despine(ax=ax, left=True, bottom=True)
    ax.tick_params(length=0)
    return ax


def _numbers(shares: np.ndarray) -> np.ndarray:
    """Shares as text, with nothing where they round to 0."""
    return np.array([[f"{value:.2f}" if value >= 0.005 else "" for value in row] for row in shares])


def _mark_classes(ax: Axes, colors: list[str]) -> None:
    """Widen the axes by strips at the left and below, with the colour of each class."""
    n_classes = len(colors)
    width, gap = 0.35, 0.15
    for place, color in enumerate(colors):
        ax.add_patch(Rectangle((-gap - width, place + 0.06), width, 0.88, facecolor=color, edgecolor="none"))
        ax.add_patch(Rectangle((place + 0.06, n_classes + gap), 0.88, width, facecolor=color, edgecolor="none"))
    ax.set_xlim(-gap - width, n_classes)
    ax.set_ylim(n_classes + gap + width, 0)
