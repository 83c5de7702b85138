"""The private dimensions of cells and the complete embedding, by what ``tl.private`` has learned."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clipdim import _mudata
from clipdim.evaluation.private import PrivateMap


def private_dimensions(
    record: Mapping[str, Any],
    values: Mapping[str, np.ndarray],
    embeddings: Mapping[str, np.ndarray],
    rows: np.ndarray,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """
    Return the private dimensions of each modality's cells, and shared and private ones side by side of all cells.

    Private dimensions of a modality that a cell lacks are 0, their mean.
    """
    joint = _mudata.mean_embedding(embeddings, rows)
    # files do not keep the order of a dict
    maps = {str(name): PrivateMap.from_arrays(record["maps"][name]) for name in record["modalities"]}
    widths = [maps[name].axes.shape[1] for name in maps]
    complete = np.zeros((len(rows), joint.shape[1] + sum(widths)), dtype=np.float32)
    complete[:, : joint.shape[1]] = (joint - record["joint_mean"]) * record["joint_scale"]
    private, names = {}, list(values)
    for name, start in zip(maps, np.cumsum([joint.shape[1], *widths]), strict=False):
        if name not in values:
            continue
        of_cells = rows[:, names.index(name)]
        present = of_cells >= 0
        of_modality = np.empty((len(values[name]), joint.shape[1]), dtype=np.float32)
        of_modality[of_cells[present]] = joint[present]
        private[name] = maps[name](values[name], of_modality)
        complete[present, start : start + private[name].shape[1]] = record["weight"] * private[name][of_cells[present]]
    return private, complete
