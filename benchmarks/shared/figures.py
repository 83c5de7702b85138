"""Figures that the documentation shows."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

STATIC = Path(__file__).parents[2] / "docs" / "_static"


def save(figure: Figure, name: str, *, dpi: int, **arguments: Any) -> None:
    """Write ``docs/_static/{name}.png``."""
    figure.savefig(STATIC / f"{name}.png", dpi=dpi, **arguments)
