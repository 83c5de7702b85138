"""How a fit was made, ``mdata.uns[key]["params"]``."""

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from clipdim._mudata.records import Record
from clipdim.contrast.recipes import Recipe


@dataclass(frozen=True, kw_only=True)
class Params:
    """Arguments of a fit as they were resolved; the last ones are of ``tl.reduce`` and ``tl.update`` only."""

    out_dim: int
    modalities: list[str]
    use_rep: dict[str, str]
    """Representation of each modality."""
    batch_key: str | list[str] | None
    holdout: float
    random_state: int
    device: str
    n_epochs: int
    """Epochs that were trained, fewer than ``recipe.max_epochs`` after an interruption."""
    recipe: Recipe
    reduced_from: str | None = None
    """Key of the fit that this one is a reduction of."""
    method: str | None = None
    updated_from: str | None = None
    """Fingerprint of the fit that this one goes on from."""
    max_shift: float | None = None
    interpolation: float | None = None
    n_reference_cells: int | None = None

    def origin(self) -> dict[str, Any]:
        """Return what a fit that goes on from this one keeps of ``tl.reduce`` and ``tl.update``."""
        names = ("reduced_from", "updated_from", "max_shift", "interpolation", "n_reference_cells")
        return {name: getattr(self, name) for name in names}

    def to_uns(self) -> dict[str, Any]:
        """Return what files can hold; what belongs to other functions is left out."""
        written = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        written = {name: value for name, value in written.items() if value is not None or name == "batch_key"}
        modalities = np.array(self.modalities, dtype=object)
        return written | {"modalities": modalities, "use_rep": dict(self.use_rep), "recipe": asdict(self.recipe)}

    @classmethod
    def from_uns(cls, record: Record) -> "Params":
        """Inverse of :meth:`to_uns`; fits of early versions had no ``batch_key``."""
        modalities, use_rep = record.texts("modalities"), record.within("use_rep")
        return cls(
            out_dim=record.integer("out_dim", least=1),
            modalities=modalities,
            use_rep={name: use_rep.text(name) for name in (*modalities, *(set(use_rep.values) - set(modalities)))},
            batch_key=read_batch_key(record),
            holdout=record.number("holdout"),
            random_state=record.integer("random_state"),
            device=record.text("device"),
            n_epochs=record.integer("n_epochs"),
            recipe=read_recipe(record),
            reduced_from=record.text("reduced_from") if "reduced_from" in record else None,
            method=record.text("method") if "method" in record else None,
            updated_from=record.text("updated_from") if "updated_from" in record else None,
            max_shift=record.number("max_shift", finite=False) if "max_shift" in record else None,
            interpolation=record.number("interpolation") if "interpolation" in record else None,
            n_reference_cells=record.integer("n_reference_cells") if "n_reference_cells" in record else None,
        )


def read_batch_key(record: Record) -> str | list[str] | None:
    """Column of the batches, or several, which files give back as an array."""
    if "batch_key" not in record:
        return None
    value = record.values["batch_key"]
    return record.text("batch_key") if isinstance(value, str) else record.texts("batch_key")


def read_recipe(record: Record) -> Recipe:
    """Return a recipe from its fields as they were stored."""
    stored = record.plain("recipe")
    try:
        return Recipe.from_stored(stored)
    except TypeError as error:
        msg = f"{record.where}['recipe']: {error}: the record is damaged; {record.mend}"
        raise ValueError(msg) from error
