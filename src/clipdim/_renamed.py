"""Old names of keyword arguments, which work for one release more."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from clipdim._warn import warn

P = ParamSpec("P")
R = TypeVar("R")


def renamed(**new_names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take arguments by their old names too, with a FutureWarning: ``@renamed(old="new")``."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in new_names.items():
                if old not in kwargs:
                    continue
                msg = (
                    f"{function.__name__}({old}=) is now {function.__name__}({new}=); the old name goes in version 0.3"
                )
                warn(msg, FutureWarning)
                if new in kwargs:
                    msg = f"{function.__name__} got {new}= and its old name {old}=; pass {new}= only"
                    raise TypeError(msg)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
