"""The colours of a scatter plot with a point for each cell and modality."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.lines import Line2D
from mudata import MuData

from clipdim._mudata import obs_column
from clipdim.pl._labels import class_colors
from clipdim.pl._style import FAINT, modality_colors

_MISSING = "#D9D9D9"
_ALPHA = 0.7


@dataclass(frozen=True)
class PointColors:
    """Colours, and what explains them."""

    faces: np.ndarray
    """(modalities x cells x 4)."""
    edges: np.ndarray
    """(modalities x cells x 4)."""
    handles: list[Line2D]
    mappable: ScalarMappable | None = None
    """Scale of the colour bar, of numbers only."""


def color_points(mdata: MuData, cells: Sequence[str], modalities: Sequence[str], color: str | None) -> PointColors:
    """Colour points by modality, or by a column of ``.obs``: those of the first modality are filled, others hollow."""
    if color is None:
        names = modality_colors(modalities)
        faces = np.array([[to_rgba(names[name], _ALPHA)] * len(cells) for name in modalities])
        return PointColors(faces, faces, [_dot(name, names[name]) for name in modalities])
    handles = [_dot(name, FAINT, hollow=place > 0) for place, name in enumerate(modalities)]
    column = obs_column(mdata, color).reindex(cells)
    mappable = None
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        mappable = ScalarMappable(Normalize(column.min(), column.max()), "viridis")
        of_cells = mappable.to_rgba(column.to_numpy(dtype=float), alpha=_ALPHA)
        of_cells[column.isna()] = to_rgba(_MISSING, _ALPHA)
    else:
        palette = _palette(mdata, color, column)
        labels = column.astype(object).where(column.notna(), "missing").astype(str)
        if column.isna().any():
            palette["missing"] = _MISSING
        of_cells = np.array([to_rgba(palette[label], _ALPHA) for label in labels])
        handles += [_dot(label, of_label) for label, of_label in palette.items()]
    edges = np.stack([of_cells] * len(modalities))
    faces = edges.copy()
    faces[1:, :, 3] = 0
    return PointColors(faces, edges, handles, mappable)


def _palette(mdata: MuData, color: str, column: pd.Series) -> dict[str, str]:
    """Colour of each class that the cells have."""
    classes = [str(name) for name in column.astype("category").cat.remove_unused_categories().cat.categories]
    known = class_colors(mdata, color)
    if set(classes) <= set(known):
        return {name: known[name] for name in classes}
    few = {10: "tab10", 20: "tab20"}
    name = next((name for most, name in few.items() if len(classes) <= most), "husl")
    return dict(zip(classes, sns.color_palette(name, len(classes)).as_hex(), strict=True))


def _dot(label: str, color: str, *, hollow: bool = False) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="",
        marker="o",
        markersize=5,
        color=color,
        markerfacecolor="none" if hollow else color,
        label=label,
    )
