"""Warnings that point at the line of the user's that led to them."""

import sys
import warnings

_PACKAGE = __name__.partition(".")[0]


def warn(msg: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the first line on the way here that is not of this package."""
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(msg, category, stacklevel=level)
