"""Loadings of the private dimensions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import Embeddings, pair
from clipdim.tl._loading_table import MIN_CELLS, Block, check_directions, loading_table, of_features


def private_loadings(
    mdata: MuData,
    embeddings: Embeddings,
    n_directions: int | None,
    cells: str,
    layers: Mapping[str, str],
    key: str,
) -> pd.DataFrame:
    """Correlate each modality's features with its own private dimensions."""
    slot, blocks = _keys.private(key), []
    missing = [name for name in embeddings.modalities if slot not in mdata[name].obsm]
    if missing:
        of_key = "" if key == _keys.KEY else f', key="{key}"'
        msg = f'no private dimensions, .obsm["{slot}"], in {missing}; run clipdim.tl.private(mdata{of_key})'
        raise KeyError(msg)
    rows = pair(mdata, embeddings.modalities)
    widest = max(mdata[name].obsm[slot].shape[1] for name in embeddings.modalities)
    n = check_directions(n_directions, widest, "private dimensions")
    for column, name in enumerate(embeddings.modalities):
        positions = np.array(mdata[name].obsm[slot], dtype=np.float64)  # a copy: cells are left out in it
        if cells != "all":
            used = rows[embeddings.of_split(cells), column]
            used = used[used >= 0]
            if len(used) < MIN_CELLS:
                msg = f"{len(used)} cells of cells={cells!r} have {name!r}, at least {MIN_CELLS} are needed; "
                msg += "pass cells='all'"
                raise ValueError(msg)
            left_out = np.ones(len(positions), dtype=bool)
            left_out[used] = False
            positions[left_out] = np.nan
        variance = np.nanvar(positions, axis=0)
        share, positions = (variance / variance.sum())[:n], positions[:, :n]
        blocks.append(
            Block(
                name,
                mdata[name].var_names,
                # the signs are those of the dimensions as they are stored
                of_features(mdata, name, positions, layers.get(name)),
                share,
                np.full_like(share, np.nan),
                int((~np.isnan(positions).any(axis=1)).sum()),
            )
        )
    return loading_table(blocks)
