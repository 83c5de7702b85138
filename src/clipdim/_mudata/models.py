"""The model in a file of ``clipdim.model``, ``.uns["clipdim_model"]``: how it was made, and the split of its cells."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from mudata import MuData

from clipdim import _keys
from clipdim._mudata.extracts import without_cells
from clipdim._mudata.fits import Fit
from clipdim._mudata.params import read_recipe
from clipdim._mudata.records import Record
from clipdim.contrast.recipes import Recipe


@dataclass(frozen=True)
class Arguments:
    """What a model was made with."""

    n_latent: int
    similarity: Literal["cosine", "inner"] | None
    recipe: str | Recipe
    key_added: str


@dataclass(frozen=True)
class Model:
    """What a saved model has besides its fit."""

    arguments: Arguments
    cells: np.ndarray
    """Names of the cells that the model was trained with."""
    split: np.ndarray
    """Split of each of them, ``""`` for those without."""

    def to_uns(self) -> dict[str, Any]:
        """Return what files can hold."""
        recipe, similarity = self.arguments.recipe, self.arguments.similarity
        if isinstance(recipe, Recipe):
            recipe = {name: value for name, value in asdict(recipe).items() if value is not None}  # type: ignore[assignment]
        written = {"key": self.arguments.key_added, "n_latent": self.arguments.n_latent, "recipe": recipe}
        written |= {"cells": self.cells, "split": self.split}
        return written if similarity is None else written | {"similarity": similarity}

    @classmethod
    def from_uns(cls, values: Mapping[str, Any]) -> "Model":
        """Inverse of :meth:`to_uns`."""
        record = Record(values, f".uns[{_keys.MODEL!r}]", "save the model again")
        whole = isinstance(record.values.get("recipe"), Mapping)
        arguments = Arguments(
            record.integer("n_latent", least=1),
            record.text("similarity") if "similarity" in record else None,  # type: ignore[arg-type]
            read_recipe(record) if whole else record.text("recipe"),
            record.text("key"),
        )
        cells, split = (np.array(record.texts(name), dtype=object) for name in ("cells", "split"))
        return cls(arguments, cells, split)


def read_model(mdata: MuData, where: str = "the model") -> Model:
    """Return what was saved with a model."""
    if _keys.MODEL not in mdata.uns:
        msg = (
            f"{where} has no .uns[{_keys.MODEL!r}], so it was not written by model.save; a MuData with a fit "
            "needs no model: clipdim.tl.embed(query, mudata.read(path))"
        )
        raise ValueError(msg)
    return Model.from_uns(mdata.uns[_keys.MODEL])


def model_without_cells(mdata: MuData, fit: Fit, model: Model) -> MuData:
    """Return a MuData of no cells that holds a fit, its model, and all that new cells are preprocessed by."""
    uns = {model.arguments.key_added: fit.to_uns(), _keys.MODEL: model.to_uns()}
    return without_cells(mdata, list(fit.encoders), uns)
