"""What users pass, checked: TypeError for a wrong type, ValueError for a wrong value, both say what is accepted."""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


def integer(name: str, value: Any, *, least: int | None = None, most: int | None = None, hint: str = "") -> int:
    """Return ``value`` as an int if it is a whole number from ``least`` to ``most``; ``hint`` ends the message."""
    limits = _limits(("at least", least), ("at most", most))
    msg = f"{name} must be an integer{' of ' * bool(limits)}{limits}, got {value!r}{'; ' * bool(hint)}{hint}"
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(msg)
    found = int(value)
    if (least is not None and found < least) or (most is not None and found > most):
        raise ValueError(msg)
    return found


def number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    hint: str = "",
) -> float:
    """Return ``value`` as a float if it is finite and within the limits; ``hint`` ends the message."""
    limits = _limits(("at least", least), ("above", above), ("at most", most), ("below", below))
    msg = f"{name} must be a number {limits}, got {value!r}{'; ' * bool(hint)}{hint}"
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(msg)
    found = float(value)
    outside = (
        not math.isfinite(found),
        least is not None and found < least,
        above is not None and found <= above,
        most is not None and found > most,
        below is not None and found >= below,
    )
    if any(outside):
        raise ValueError(msg)
    return found


def choice(name: str, value: Any, known: Iterable[str], *, hint: str = "") -> str:
    """Return ``value`` if it is one of the known words."""
    words = list(known)
    msg = f"{name} must be one of {words}, got {value!r}{'; ' * bool(hint)}{hint}"
    if not isinstance(value, str):
        raise TypeError(msg)
    if value not in words:
        raise ValueError(msg)
    return value


def slot(name: str, value: Any) -> str:
    """Return ``value`` if results can be stored under it, in memory and in files."""
    msg = f"{name} must be a non-empty string without '/', which files cannot hold, got {value!r}"
    if not isinstance(value, str):
        raise TypeError(msg)
    if not value or "/" in value:
        raise ValueError(msg)
    return value


def seed(value: Any, *, below: int = 2**63) -> int:
    """Return ``value`` as an int if it can seed a generator; torch refuses numpy integers, scikit-learn 2**32."""
    msg = f"random_state must be an integer of at least 0 and below 2**{below.bit_length() - 1}, got {value!r}"
    try:
        return integer("random_state", value, least=0, most=below - 1)
    except (TypeError, ValueError) as error:
        raise type(error)(msg) from None


def _limits(*limits: tuple[str, float | None]) -> str:
    return " and ".join(
        f"{word} {limit:,}" if limit >= 10_000 else f"{word} {limit:g}" for word, limit in limits if limit is not None
    )
