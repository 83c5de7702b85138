"""Which cells and modalities a MuData holds, and which rows of its modalities are the same cell."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from mudata import MuData


def require_mudata(mdata: Any, *, copy: bool = False) -> MuData:
    """Return the argument if it is a MuData that can be written to, or copied, with cells as the shared axis."""
    if not isinstance(mdata, MuData):
        msg = (
            f"expected a MuData, got {type(mdata).__name__}; put the modalities together with "
            "mudata.MuData({'rna': adata_rna, 'prot': adata_protein})"
        )
        raise TypeError(msg)
    if mdata.is_view:
        how = "mdata.copy('subset.h5mu')" if mdata.isbacked else "mdata.copy()"
        msg = f"the MuData is a view of another one and cannot be written to; call mdata = {how} first"
        raise ValueError(msg)
    if mdata.axis != 0:
        msg = f"the modalities must share their cells (axis=0), this MuData was made with axis={mdata.axis}"
        raise ValueError(msg)
    if copy and (where := _on_disk(mdata)):
        msg = (
            f"copy=True cannot copy {where}, which lies on disk; leave out copy=True: "
            "the results are kept in memory, and the file stays as it is until mdata.write()"
        )
        raise ValueError(msg)
    return mdata


def _on_disk(mdata: MuData) -> str | None:
    """Name of an array that AnnData cannot copy, None when there is none."""
    if mdata.isbacked:
        return f"a MuData backed by {str(mdata.filename)!r}"
    for modality, adata in mdata.mod.items():
        if adata.isbacked:
            return f"the X of modality {modality!r}"
        arrays = {"X": adata.X}
        for slot in ("obsm", "varm", "layers", "obsp", "varp"):
            arrays |= {f"{slot}[{name!r}]": values for name, values in getattr(adata, slot).items()}
        for name, values in arrays.items():
            if values is not None and not hasattr(values, "copy"):
                return f"the {name} of modality {modality!r}"
    return None


def modality_names(mdata: MuData, modalities: Sequence[str] | None = None, *, at_least: int = 1) -> list[str]:
    """Names of the modalities to use, all of them when ``modalities`` is None."""
    available = list(mdata.mod)
    if isinstance(modalities, str):
        modalities = [modalities]
    if modalities is not None and not isinstance(modalities, Iterable):
        msg = f"modalities must be a list of names, some of {available}, got {modalities!r}"
        raise TypeError(msg)
    names = available if modalities is None else list(modalities)
    unknown = [name for name in names if name not in available]
    if unknown:
        msg = f"no modality named {unknown}; the MuData has {available}"
        raise KeyError(msg)
    if len(set(names)) < len(names):
        msg = f"a modality is named twice in {names}"
        raise ValueError(msg)
    if len(names) < at_least:
        msg = (
            f"at least {at_least} modalities are needed, got {names} of {available}; add the other one to the MuData: "
            "mudata.MuData({'rna': adata_rna, 'prot': adata_protein})"
        )
        raise ValueError(msg)
    return names


def cell_rows(mdata: MuData, modalities: Sequence[str]) -> np.ndarray:
    """Row of every cell in every modality, -1 where the modality lacks it: integers, (cells x modalities).

    Cells are matched by name, since ``mdata.obsmap`` is stale after a modality was replaced or reordered.
    """
    rows = np.empty((mdata.n_obs, len(modalities)), dtype=np.int64)
    for column, name in enumerate(modalities):
        cells = mdata[name].obs_names
        if not cells.is_unique:
            twice = cells[cells.duplicated()].unique()[:3].tolist()
            msg = (
                f"cell names of modality {name!r} are not unique (for instance {twice}), so cells cannot be paired; "
                f"call mdata[{name!r}].obs_names_make_unique() on every modality in the same order, then "
                "mdata = mudata.MuData(mdata.mod)"
            )
            raise ValueError(msg)
        rows[:, column] = cells.get_indexer(mdata.obs_names)
        if (rows[:, column] >= 0).sum() < len(cells):
            msg = (
                f"modality {name!r} has cells that the MuData does not know; call mdata.update(), or where cells were "
                "renamed mdata = mudata.MuData(mdata.mod)"
            )
            raise ValueError(msg)
    return rows
