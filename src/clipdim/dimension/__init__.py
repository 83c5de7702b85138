"""Intrinsic dimension of plain arrays."""

from typing import TYPE_CHECKING

from clipdim._lazy import attach

__all__ = ["Estimate", "TooFewPointsError", "estimate", "estimate_in_parts", "lpca", "mle", "twonn"]

if TYPE_CHECKING:
    from clipdim.dimension.estimation import Estimate, TooFewPointsError, estimate
    from clipdim.dimension.one_number import lpca, mle, twonn
    from clipdim.dimension.parts import estimate_in_parts
else:  # a type checker that saw this would take any name for one of the package
    __getattr__, __dir__ = attach(
        __name__,
        {
            "Estimate": "estimation",
            "TooFewPointsError": "estimation",
            "estimate": "estimation",
            "estimate_in_parts": "parts",
            "lpca": "one_number",
            "mle": "one_number",
            "twonn": "one_number",
        },
    )
