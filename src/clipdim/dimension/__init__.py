"""Dimension of plain arrays: of one, and of what several share."""

from typing import TYPE_CHECKING

from clipdim._lazy import attach

__all__ = [
    "Estimate",
    "SharedDimension",
    "TooFewPointsError",
    "estimate",
    "estimate_in_parts",
    "lpca",
    "mle",
    "shared_dimension",
    "twonn",
]

if TYPE_CHECKING:
    from clipdim.dimension.counting import SharedDimension, shared_dimension
    from clipdim.dimension.estimation import Estimate, TooFewPointsError, estimate
    from clipdim.dimension.one_number import lpca, mle, twonn
    from clipdim.dimension.parts import estimate_in_parts
else:  # a type checker that saw this would take any name for one of the package
    __getattr__, __dir__ = attach(
        __name__,
        {
            "Estimate": "estimation",
            "SharedDimension": "counting",
            "TooFewPointsError": "estimation",
            "estimate": "estimation",
            "estimate_in_parts": "parts",
            "lpca": "one_number",
            "mle": "one_number",
            "shared_dimension": "counting",
            "twonn": "one_number",
        },
    )
