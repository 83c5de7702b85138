"""What ``tl.private`` learned, ``mdata.uns[key]["private"]``, and the dimensions that it gives cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mudata import MuData

from clipdim import _keys
from clipdim._mudata.records import Record
from clipdim.evaluation.private import PrivateMap


@dataclass(frozen=True)
class Private:
    """Maps to the private dimensions of each modality, and how these stand beside the shared embedding."""

    maps: dict[str, PrivateMap]
    weight: float
    """Length of the private dimensions in the complete embedding over their length in the data."""
    joint_mean: np.ndarray
    """(out_dim,) of the joint embedding over the training cells."""
    joint_scale: float

    def to_uns(self) -> dict[str, Any]:
        """Return what files can hold."""
        return {
            "modalities": np.array(list(self.maps), dtype=object),  # files do not keep the order of a dict
            "weight": self.weight,
            "joint_mean": self.joint_mean,
            "joint_scale": self.joint_scale,
            "maps": {name: learned.to_arrays() for name, learned in self.maps.items()},
        }

    @classmethod
    def from_uns(cls, record: Record, out_dim: int) -> "Private":
        """Inverse of :meth:`to_uns`."""
        maps = record.within("maps")
        found = {}
        for name in record.texts("modalities"):
            own = maps.within(name)
            try:
                found[name] = PrivateMap.from_arrays(own.values)
            except (KeyError, TypeError, ValueError) as error:
                own.refuse("axes", f"a private map ({type(error).__name__}: {error})")
        return cls(found, record.number("weight"), record.array("joint_mean", (out_dim,)), record.number("joint_scale"))

    def of_cells(
        self, values: Mapping[str, np.ndarray], joint: np.ndarray, rows: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Private dimensions of each modality's cells, and shared and private ones of all cells side by side.

        ``values[mod]`` is (cells of the modality x features), ``joint`` the joint embedding (cells x out_dim); ``rows``
        (cells x modalities of ``values``) are those of each cell, -1 where it lacks one.
        """
        widths = [learned.axes.shape[1] for learned in self.maps.values()]
        complete = np.zeros((len(rows), joint.shape[1] + sum(widths)), dtype=np.float32)
        complete[:, : joint.shape[1]] = (joint - self.joint_mean) * self.joint_scale
        private, names = {}, list(values)
        for name, start in zip(self.maps, np.cumsum([joint.shape[1], *widths]), strict=False):
            if name not in values:
                continue
            of_cells = rows[:, names.index(name)]
            present = of_cells >= 0
            of_modality = np.empty((len(values[name]), joint.shape[1]), dtype=np.float32)
            of_modality[of_cells[present]] = joint[present]
            private[name] = self.maps[name](values[name], of_modality)
            own = slice(start, start + private[name].shape[1])
            complete[present, own] = self.weight * private[name][of_cells[present]]
        return private, complete


def write_private(mdata: MuData, private: Mapping[str, np.ndarray], complete: np.ndarray, *, key: str) -> None:
    """Write each modality's private dimensions, and shared and private ones of all cells."""
    for name, values in private.items():
        mdata[name].obsm[_keys.private(key)] = values
    mdata.obsm[_keys.complete(key)] = complete


def read_private(mdata: MuData, modalities: Sequence[str], key: str) -> dict[str, np.ndarray]:
    """Private dimensions of each modality's cells, (cells of the modality x private dimensions)."""
    slot = _keys.private(key)
    missing = [name for name in modalities if slot not in mdata[name].obsm]
    if missing:
        of_key = "" if key == _keys.KEY else f', key="{key}"'
        msg = f'no private dimensions, .obsm["{slot}"], in {missing}; run clipdim.tl.private(mdata{of_key})'
        raise KeyError(msg)
    return {name: np.asarray(mdata[name].obsm[slot]) for name in modalities}
