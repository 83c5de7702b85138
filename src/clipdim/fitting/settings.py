"""What a run is told besides its inputs: checked arguments, a recipe, device, seed, processes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.distributed import ProcessGroup

from clipdim import _check, _keys
from clipdim._warn import warn
from clipdim.contrast import RECIPES, Recipe


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run is told besides its inputs and its model."""

    device: torch.device
    random_state: int
    progress: bool = False
    n_snapshots: int = 0
    group: ProcessGroup | None = None
    """Processes that train together."""
    keep_interrupted: bool = True
    """Whether a KeyboardInterrupt ends the training and keeps what was learned, or goes on to the caller."""


def choose_recipe(recipe: str | Recipe, *, batches: bool = False, **overrides: Any) -> Recipe:
    """Return the recipe of that name, or the given one, with the overrides that are not None.

    ``"default"`` stands for ``"batches"`` where there are batches.
    """
    if not isinstance(recipe, Recipe):
        name = _check.choice("recipe", recipe, RECIPES, hint="or pass a clipdim.contrast.Recipe")
        recipe = RECIPES["batches" if name == "default" and batches else name]
    return replace(recipe, **{name: value for name, value in overrides.items() if value is not None})


def warn_of_one_dimension(out_dim: int, recipe: Recipe, mend: str) -> None:
    """Warn of a cosine similarity that can only be 1 or -1."""
    if out_dim == 1 and recipe.similarity == "cosine":
        warn(f"with out_dim=1 and cosine similarity cells lie at 1 or -1; {mend}")


def check_out_dim(out_dim: Any) -> int:
    """Return the number of dimensions of an embedding."""
    return _check.integer("out_dim", out_dim, least=1, hint="32 is a good start")


def check_holdout(holdout: Any) -> float:
    """Return a share of the cells."""
    return _check.number("holdout", holdout, least=0, below=1, hint="it is a share of the cells, 0.1 is usual")


def check_snapshots(n_snapshots: Any, n_epochs: int) -> int:
    """Return a number of snapshots that the training has epochs for."""
    n = _check.integer("n_snapshots", n_snapshots)
    if n != 0 and n_epochs == 0:
        msg = f"max_epochs=0 trains nothing that {n} snapshots could follow; pass n_snapshots=0, or more epochs"
        raise ValueError(msg)
    if n != 0 and not 2 <= n <= n_epochs + 1:
        msg = (
            f"n_snapshots must be 0, or 2 (untrained and trained) to {n_epochs + 1} (untrained and after each of the "
            f"{n_epochs} epochs), got {n}; 6 is a good start, max_epochs changes the number of epochs"
        )
        raise ValueError(msg)
    return n


def check_key_added(key_added: Any, use_rep: Mapping[str, str] | None = None) -> str:
    """Return a name under which a fit can be stored without taking away other results or what it was fitted on."""
    key = _check.slot("key_added", key_added)
    if _keys.collides(key):
        msg = (
            f"key_added={key!r} is a name of clipdim.model, or ends like results of clipdim.tl.private, embed or "
            "impute; pass another name"
        )
        raise ValueError(msg)
    for name in (_keys.embedding(key), _keys.private(key)):
        if name in (use_rep or {}).values():
            msg = f"key_added={key!r} would overwrite the representation {name!r}; pass another name"
            raise ValueError(msg)
    return key
