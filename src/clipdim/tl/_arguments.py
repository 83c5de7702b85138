"""Arguments of ``tl.fit``: checked, and turned into a recipe."""

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

from clipdim import _keys
from clipdim.contrast import RECIPES, Recipe


def choose_settings(recipe: str | Recipe, *, batches: bool = False, **overrides: Any) -> Recipe:
    """
    Return the recipe of that name, or the given one, with the overrides that are not None.

    ``"default"`` stands for ``"batches"`` where there are batches.
    """
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            msg = f"recipe={recipe!r} is unknown; choose one of {list(RECIPES)} or pass a clipdim.contrast.Recipe"
            raise ValueError(msg)
        recipe = RECIPES["batches" if recipe == "default" and batches else recipe]
    if not isinstance(recipe, Recipe):
        msg = f"recipe must be one of {list(RECIPES)} or a clipdim.contrast.Recipe, got {type(recipe).__name__}"
        raise TypeError(msg)
    return replace(recipe, **{name: value for name, value in overrides.items() if value is not None})


def check_snapshots(n_snapshots: int, n_epochs: int) -> None:
    """Refuse a number of snapshots that the training has no epochs for."""
    if not isinstance(n_snapshots, Integral) or isinstance(n_snapshots, bool):
        msg = f"n_snapshots must be an integer, got {n_snapshots!r}"
        raise TypeError(msg)
    if n_snapshots != 0 and not 2 <= n_snapshots <= n_epochs + 1:
        msg = (
            f"n_snapshots must be 0, or 2 (untrained and trained) to {n_epochs + 1} (untrained and after each of the "
            f"{n_epochs} epochs), got {n_snapshots}; 6 is a good start, max_epochs changes the number of epochs"
        )
        raise ValueError(msg)


def check_arguments(*, out_dim: int, holdout: float, random_state: int, key_added: str) -> None:
    """Refuse arguments of the wrong type or out of range."""
    for name, value in (("out_dim", out_dim), ("random_state", random_state)):
        if not isinstance(value, Integral) or isinstance(value, bool):
            msg = f"{name} must be an integer, got {value!r}"
            raise TypeError(msg)
    if out_dim < 1:
        msg = f"out_dim must be at least 1, got {out_dim}; 32 is a good start"
        raise ValueError(msg)
    if not 0 <= random_state < 2**63:
        msg = f"random_state must be at least 0 and below 2**63, got {random_state}"
        raise ValueError(msg)
    if not isinstance(holdout, Real) or not 0 <= holdout < 1:
        msg = f"holdout must be a share of the cells in [0, 1), got {holdout!r}"
        raise ValueError(msg)
    if not isinstance(key_added, str) or not key_added or "/" in key_added:
        msg = f"key_added must be a non-empty string without '/', which files cannot hold, got {key_added!r}"
        raise ValueError(msg)
    if _keys.collides(key_added):
        msg = (
            f"key_added={key_added!r} is a name of clipdim.model, or ends like results of clipdim.tl.private, embed or "
            "impute; pass another name"
        )
        raise ValueError(msg)


def refuse_overwriting(key_added: str, use_rep: Mapping[str, str]) -> None:
    """Refuse a name whose results would lie where a representation of the fit does, or take it away."""
    for slot in (_keys.embedding(key_added), _keys.private(key_added)):
        if slot in use_rep.values():
            msg = f"key_added={key_added!r} would overwrite the representation {slot!r}; pass another name"
            raise ValueError(msg)
