"""Packages that load what they have when it is first used: torch, scanpy and matplotlib take seconds."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attach(package: str, names: Mapping[str, str | None]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of a package from the submodule of each public name, None if it is one."""

    def __getattr__(name: str) -> Any:
        if name not in names:
            msg = f"module {package!r} has no attribute {name!r}; it has {', '.join(names)}"
            raise AttributeError(msg)
        submodule = names[name]
        if submodule is None:
            return import_module(f"{package}.{name}")
        value = getattr(import_module(f"{package}.{submodule}"), name)
        setattr(sys.modules[package], name, value)  # found without this function from now on
        return value

    def __dir__() -> list[str]:
        return [*names, *(name for name in vars(sys.modules[package]) if name.startswith("__"))]

    return __getattr__, __dir__
