"""The embeddings of some cells along the training, ``mdata.uns[key]["snapshots"]``."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from clipdim._mudata.records import Record


@dataclass(frozen=True)
class Snapshots:
    """Embeddings of the same cells before, along and after the training."""

    epochs: np.ndarray
    """Epochs of training behind each snapshot, ascending; 0 is the untrained model."""
    cells: np.ndarray
    """Names of the cells."""
    split: str
    """Which cells they are."""
    embeddings: dict[str, np.ndarray]
    """(snapshots x cells x out_dim) for each modality."""

    def to_uns(self) -> dict[str, Any]:
        """Return what files can hold."""
        return {"epochs": self.epochs, "cells": self.cells, "split": self.split, "embeddings": self.embeddings}

    @classmethod
    def from_uns(cls, record: Record) -> "Snapshots":
        """Inverse of :meth:`to_uns`."""
        epochs, cells = record.array("epochs", (None,)), np.array(record.texts("cells"), dtype=object)
        embeddings = record.within("embeddings")
        shape = (len(epochs), len(cells), None)
        found = {name: embeddings.array(name, shape) for name in embeddings.values}
        return cls(epochs, cells, record.text("split"), found)
