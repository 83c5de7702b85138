"""Loadings of the private dimensions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import Embeddings, pair
from clipdim.tl._loading_table import Block, check_directions, column_signs, loading_table, of_features


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
    for column, name in enumerate(embeddings.modalities):
        stored = np.asarray(mdata[name].obsm[slot], dtype=np.float64)
        asked = n_directions if n_directions is None else min(n_directions, stored.shape[1])
        stored = stored[:, : check_directions(asked, stored.shape[1])]
        positions = stored
        if cells != "all":
            positions = np.full_like(stored, np.nan)
            used = rows[embeddings.of_split(cells), column]
            positions[used[used >= 0]] = stored[used[used >= 0]]
        found = of_features(mdata, name, positions, layers.get(name))
        variance = np.nanvar(positions, axis=0)
        blocks.append(
            Block(
                name,
                mdata[name].var_names,
                found * column_signs(found),
                variance / variance.sum(),
                np.full(stored.shape[1], np.nan),
                int((~np.isnan(positions).any(axis=1)).sum()),
            )
        )
    return loading_table(blocks)
