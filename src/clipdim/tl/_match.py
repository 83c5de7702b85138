"""How well the embeddings of the modalities match cell by cell."""

import warnings
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import paired_embeddings, require_mudata, write_tables
from clipdim.evaluation import match_scores


def match(mdata: MuData, *, alpha: float = 0.005, k: Sequence[int] = (1, 10, 50), key: str = _keys.KEY) -> pd.DataFrame:
    """Measure how well each cell is found in one modality by its embedding in another.

    Held-out cells are searched among held-out cells, training cells among training cells, in both directions of each
    pair of modalities. Cells that lack a modality, and those of a norm set, are left out. Time grows with the square of
    the number of cells, memory does not (100,000 cells take less than 1 GB).

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`.
    alpha
        Share of the cells among which the true match counts as found, in (0, 1]; at least one cell.
    k
        Numbers of cells for the recall, each at least 1.
    key
        Name of the fit.

    Returns
    -------
    One row for each ordered pair of modalities in held-out and in training cells: `split`, `query`, `target`,
    `n_cells`, `top_alpha` (fraction whose match is among the first max(1, floor(alpha n))), `recall_at_{k}` for each k,
    `foscttm` (mean fraction of other cells closer than the true match, 0 is perfect, 0.5 chance), `median_rank` (1 is
    best).

    Writes the table to `mdata.uns[key]["match"]`.

    Raises
    ------
    TypeError
        If `mdata` is not a MuData.
    KeyError
        If there is no fit of that name.
    ValueError
        If `mdata` is a view, `alpha` or `k` is out of range, or no cell has all modalities.

    Warns
    -----
    UserWarning
        If no cell was held out: then only training cells are measured.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, section 4 (top-alpha matching); Liu and others, WABI 2019 (FOSCTTM).

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> clipdim.tl.match(mdata)[["split", "query", "target"]].values.tolist()[0]
    ['held-out', 'rna', 'prot']
    """
    embeddings = paired_embeddings(require_mudata(mdata), key)
    rows = []
    for split in (_keys.HELD_OUT, _keys.TRAIN):
        cells = embeddings.observed & (embeddings.split == split).to_numpy(dtype=bool, na_value=False)
        if not cells.any():
            continue
        for query, target in permutations(embeddings.modalities, 2):
            scores = match_scores(
                embeddings.by_modality[query][cells], embeddings.by_modality[target][cells], alpha=alpha, k=k
            )
            recall = {f"recall_at_{number}": fraction for number, fraction in scores.recall.items()}
            rows.append(
                {
                    "split": split,
                    "query": query,
                    "target": target,
                    "n_cells": scores.n_cells,
                    "top_alpha": scores.top_alpha,
                    **recall,
                    "foscttm": scores.foscttm,
                    "median_rank": scores.median_rank,
                }
            )
    if not rows:
        msg = f"no cell of .obs[{_keys.split(key)!r}] has all modalities {embeddings.modalities}; fit the MuData anew"
        raise ValueError(msg)
    if rows[0]["split"] != _keys.HELD_OUT:
        msg = "no cell was held out, so only training cells are measured; fit with holdout=0.1 for an honest measure"
        warnings.warn(msg, UserWarning, stacklevel=2)
    table = pd.DataFrame(rows).astype({"n_cells": np.int64})
    write_tables(mdata, {"match": table}, key=key)
    return table.copy()
