"""A model on disk: a MuData without cells that holds the fit, and beside it, if wanted, the cells."""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import mudata
import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _mudata

MODEL_FILE = "model.h5mu"
CELLS_FILE = "mdata.h5mu"


def extract_model(mdata: MuData, arguments: _mudata.Arguments) -> MuData:
    """Return what was learned without the cells: a reference for ``tl.embed`` that holds all that a model has."""
    key = arguments.key_added
    fit = _mudata.read_fit(mdata, key)
    model = _mudata.Model(arguments, mdata.obs_names.to_numpy(dtype=object), _mudata.read_split(mdata, key))
    return _mudata.model_without_cells(mdata, fit, model)


def in_split(model: MuData, mdata: MuData | None, *splits: str) -> np.ndarray:
    """Positions of the cells of some splits in ``mdata.obs_names``, by name; without cells, in those of training."""
    record = _mudata.read_model(model)
    cells, of_cells = record.cells, record.split
    chosen = np.isin(of_cells.astype(str), splits)
    if mdata is None:
        return np.flatnonzero(chosen)
    if not mdata.obs_names.isin(pd.Index(cells[of_cells != ""])).any():
        msg = (
            f"none of the {mdata.n_obs} cells of the MuData, such as {mdata.obs_names[:3].tolist()}, has the name of "
            f"one that the model was trained with, such as {cells[:3].tolist()}; give cells that were renamed their "
            "old names, in every modality, then mdata = mudata.MuData(mdata.mod)"
        )
        raise ValueError(msg)
    return np.flatnonzero(mdata.obs_names.isin(pd.Index(cells[chosen])))


def write_model(
    model: MuData, mdata: MuData | None, dir_path: str | Path, *, overwrite: bool, with_cells: bool
) -> MuData:
    """Write the model in a folder, and the cells if wanted; return it as it was written.

    The folder has its new files all at once, or keeps the old ones where writing fails.
    """
    folder = Path(dir_path)
    if folder.exists() and not overwrite:
        msg = f"{str(folder)!r} exists already; pass overwrite=True, or the name of a folder that is not there yet"
        raise FileExistsError(msg)
    files = {MODEL_FILE: model if mdata is None else _with_results_of(model, mdata)}
    if mdata is not None and with_cells:
        mend = "save the model that was trained last, or leave out save_mudata=True"
        _refuse_another_fit(mdata, model, "the cells", mend)
        files[CELLS_FILE] = mdata
    elif mdata is not None and mdata.isbacked and Path(mdata.filename).resolve() == (folder / CELLS_FILE).resolve():
        msg = f"the cells of the model lie in {str(folder / CELLS_FILE)!r}, which would be removed; "
        msg += "pass save_mudata=True, or the name of another folder"
        raise ValueError(msg)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _replace(folder, files)
    except BaseException:
        if is_new:
            folder.rmdir()
        raise
    return files[MODEL_FILE]


def read_model(dir_path: str | Path) -> MuData:
    """Read the model of a folder."""
    path = Path(dir_path) / MODEL_FILE
    if not path.is_file():
        msg = f"there is no {MODEL_FILE} in {str(dir_path)!r}; name the folder that model.save(dir_path) wrote"
        raise FileNotFoundError(msg)
    model = _read(path, "save the model again")
    record = _mudata.read_model(model, repr(str(path)))
    _mudata.read_fit(model, record.arguments.key_added)  # refuses files of newer versions, and damaged ones
    return model


def read_cells(dir_path: str | Path, model: MuData) -> MuData | None:
    """Read the cells that were saved with a model, None if there are none."""
    path = Path(dir_path) / CELLS_FILE
    if not path.is_file():
        return None
    mdata = _read(path, mend := "pass the cells: ContrastiveEncoders.load(dir_path, mdata)")
    _refuse_another_fit(mdata, model, repr(str(path)), mend)
    return mdata


def _with_results_of(model: MuData, mdata: MuData) -> MuData:
    """Return the model with what its cells tell of it since, as private dimensions, beside what it has already."""
    record = _mudata.read_model(model)
    key = record.arguments.key_added
    known = _mudata.read_fit(model, key)
    if not _mudata.holds_fit(mdata, known, key):
        return model
    own = _mudata.read_fit(mdata, key)
    return _mudata.model_without_cells(model, known.with_results_of(own), record)


def _refuse_another_fit(mdata: MuData, model: MuData, where: str, mend: str) -> None:
    """Refuse cells in which another fit lies under the model's name; those without any are new cells."""
    key = _mudata.read_model(model).arguments.key_added
    if not _mudata.holds_fit(mdata, _mudata.read_fit(model, key), key, otherwise=True):
        msg = f"the fit in .uns[{key!r}] of {where} is another model's; {mend}"
        raise ValueError(msg)


def _replace(folder: Path, files: Mapping[str, MuData]) -> None:
    """Write all files, and only then put them in the place of those that are there."""
    with TemporaryDirectory(dir=folder, prefix=".unfinished-") as unfinished:
        for name, contents in files.items():
            try:
                # the method of a MuData that lies on disk would go on with the new file as its own
                mudata.write_h5mu(Path(unfinished) / name, contents)
            except Exception as error:
                mend = "train again" if name == MODEL_FILE else "mend the cells, or leave out save_mudata=True"
                msg = f"{name} cannot be written ({type(error).__name__}: {error}), nothing was saved; {mend}"
                raise (OSError if isinstance(error, OSError) else ValueError)(msg) from error
        for name in files:
            os.replace(Path(unfinished) / name, folder / name)
        if CELLS_FILE not in files:
            (folder / CELLS_FILE).unlink(missing_ok=True)  # cells of an earlier model


def _read(path: Path, mend: str) -> MuData:
    try:
        return mudata.read_h5mu(path)
    except Exception as error:
        msg = f"{str(path)!r} cannot be read, it is damaged or no h5mu file ({type(error).__name__}: {error}); {mend}"
        raise ValueError(msg) from error
