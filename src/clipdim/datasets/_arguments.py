"""Checks of the arguments of simulated data sets."""

from operator import index


def integer(value: int, name: str, *, at_least: int = 1) -> int:
    """Return the value as an int if it is an integer that is large enough."""
    try:
        number = index(value)
    except TypeError:
        number = None
    if number is None or number < at_least or isinstance(value, bool):
        msg = f"{name}={value!r} is given; it must be an integer of at least {at_least}"
        raise ValueError(msg)
    return number
