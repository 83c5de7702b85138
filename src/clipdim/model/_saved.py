"""A model on disk: a MuData without cells that holds the fit, and beside it, if wanted, the cells."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import mudata
import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim.contrast import Recipe

MODEL_FILE = "model.h5mu"
CELLS_FILE = "mdata.h5mu"


@dataclass(frozen=True)
class Arguments:
    """What a model was made with."""

    n_latent: int
    similarity: Literal["cosine", "inner"] | None
    recipe: str | Recipe
    key_added: str


def extract_model(mdata: MuData, arguments: Arguments) -> MuData:
    """Return what was learned without the cells: a reference for ``tl.embed`` that holds all that a model has."""
    key, recipe = arguments.key_added, arguments.recipe
    fit, split = _mudata.read_fit(mdata, key), mdata.obs[_keys.split(key)].astype(object)
    record: _keys.Model = {
        "key": key,
        "n_latent": arguments.n_latent,
        "recipe": recipe if isinstance(recipe, str) else stored_recipe(recipe),
        "cells": mdata.obs_names.to_numpy(dtype=object),
        "split": split.where(split.notna(), "").to_numpy(dtype=object),
    }
    if arguments.similarity is not None:
        record["similarity"] = arguments.similarity
    return _mudata.without_cells(mdata, list(fit["encoders"]), {key: fit, _keys.MODEL: record})


def stored_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the fields of a recipe that are not None, the default of those that may be."""
    return {name: value for name, value in asdict(recipe).items() if value is not None}


def stored_arguments(model: MuData) -> Arguments:
    """Return what a model was made with, from its record."""
    record = model.uns[_keys.MODEL]
    recipe = record["recipe"]
    return Arguments(
        int(record["n_latent"]),
        str(record["similarity"]) if "similarity" in record else None,  # type: ignore[arg-type]
        Recipe.from_stored(recipe) if isinstance(recipe, Mapping) else str(recipe),
        str(record["key"]),
    )


def stored_setup(model: MuData) -> _mudata.Setup:
    """Return what a model was set up with, from the parameters of its fit."""
    params = model.uns[str(model.uns[_keys.MODEL]["key"])]["params"]
    batch_key = params["batch_key"]
    if batch_key is not None and not isinstance(batch_key, str):
        batch_key = [str(name) for name in batch_key]
    return _mudata.Setup({str(name): str(params["use_rep"][name]) for name in params["modalities"]}, batch_key)


def in_split(model: MuData, mdata: MuData | None, *splits: str) -> np.ndarray:
    """Positions of the cells of some splits in ``mdata.obs_names``, by name; without cells, in those of training."""
    record = model.uns[_keys.MODEL]
    cells = np.asarray(record["cells"], dtype=object)
    chosen = np.isin(np.asarray(record["split"], dtype=object).astype(str), splits)
    return np.flatnonzero(chosen if mdata is None else mdata.obs_names.isin(pd.Index(cells[chosen])))


def write_model(
    model: MuData, mdata: MuData | None, dir_path: str | Path, *, overwrite: bool, with_cells: bool
) -> None:
    """Write the model, with what was learned of its cells since, in a folder, and the cells if wanted."""
    folder = Path(dir_path)
    if folder.exists() and not overwrite:
        msg = f"{str(folder)!r} exists already; pass overwrite=True, or the name of a folder that is not there yet"
        raise FileExistsError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    if mdata is not None and holds_fit(mdata, model):
        key = str(model.uns[_keys.MODEL]["key"])
        model.uns[key] = mdata.uns[key]  # private dimensions, for instance
    model.write_h5mu(folder / MODEL_FILE)
    if mdata is not None and with_cells:
        mdata.write_h5mu(folder / CELLS_FILE)


def read_model(dir_path: str | Path) -> MuData:
    """Read the model of a folder."""
    path = Path(dir_path) / MODEL_FILE
    if not path.is_file():
        msg = f"there is no {MODEL_FILE} in {str(dir_path)!r}; name the folder that model.save(dir_path) wrote"
        raise FileNotFoundError(msg)
    model = mudata.read_h5mu(path)
    if _keys.MODEL not in model.uns:
        msg = (
            f"{str(path)!r} has no .uns[{_keys.MODEL!r}], so it was not written by model.save; a MuData with a fit "
            "needs no model: clipdim.tl.embed(query, mudata.read(path))"
        )
        raise ValueError(msg)
    _mudata.read_fit(model, str(model.uns[_keys.MODEL]["key"]))  # refuses files of newer versions
    return model


def read_cells(dir_path: str | Path, model: MuData) -> MuData | None:
    """Read the cells that were saved with a model, None if there are none."""
    path = Path(dir_path) / CELLS_FILE
    if not path.is_file():
        return None
    mdata = mudata.read_h5mu(path)
    if not holds_fit(mdata, model):
        msg = f"{str(path)!r} was saved with another model than {MODEL_FILE} beside it; pass the cells: mdata=..."
        raise ValueError(msg)
    return mdata


def holds_fit(mdata: MuData, model: MuData) -> bool:
    """Whether the cells have the embedding of this model, from the same training."""
    key = str(model.uns[_keys.MODEL]["key"])
    own, fit = mdata.uns.get(key), model.uns[key]
    slot = _keys.embedding(key)
    if not isinstance(own, Mapping) or slot not in mdata.obsm:
        return False
    if any(name not in mdata.mod or slot not in mdata[name].obsm for name in fit["encoders"]):
        return False
    return own is fit or _mudata.fingerprint(own) == _mudata.fingerprint(fit)
