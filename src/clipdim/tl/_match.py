"""How well the embeddings of the modalities match cell by cell."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim._warn import warn
from clipdim.evaluation import match_scores


def match(
    mdata: MuData,
    *,
    alpha: float = 0.005,
    k: Sequence[int] = (1, 10, 50),
    n_queries: int | None = 10_000,
    key: str = _keys.KEY,
    random_state: int = 0,
) -> pd.DataFrame:
    """Measure how well each cell is found in one modality by its embedding in another.

    Held-out cells are searched among held-out cells, training cells among training cells, in both directions of each
    pair of modalities, by the cells that have both. Those of a norm set are left out. Of many cells a random subset
    is searched for, always among all, so that time and memory grow with the number of cells and not with its square.

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`.
    alpha
        Share of the cells among which the true match counts as found, in (0, 1]; at least one cell.
    k
        Numbers of cells for the recall, each at least 1.
    n_queries
        Search for at most so many cells of a split, drawn at random; `None` searches for all. The measures are then
        estimates without bias: 10,000 cells give a fraction p within 2 sqrt(p (1 - p) / 10,000), at most .01.
    key
        Name of the fit.
    random_state
        Seed of the draw.

    Returns
    -------
    One row for each ordered pair of modalities in held-out and in training cells: `split`, `query`, `target`,
    `n_cells` (among which), `n_queries` (searched for), `top_alpha` (fraction whose match is among the first
    max(1, floor(alpha n_cells))), `recall_at_{k}` for each k, `foscttm` (mean fraction of other cells closer
    than the true match, 0 is perfect, 0.5 chance), `median_rank` (1 is best).

    Writes the table to `mdata.uns[key]["match"]`.

    Raises
    ------
    TypeError
        If `mdata` is not a MuData, or an argument of a wrong type.
    KeyError
        If there is no fit of that name.
    ValueError
        If `mdata` is a view, `alpha`, `k` or `n_queries` is out of range, or no cell has two modalities.

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
    fit = _mudata.read_fit(_mudata.require_mudata(mdata), key)
    embeddings = _mudata.read_embeddings(mdata, fit, key)
    table = match_table(embeddings, alpha=alpha, k=k, n_queries=n_queries, random_state=random_state)
    if table.empty:
        msg = f"no cell of .obs[{_keys.split(key)!r}] has two of {embeddings.modalities}; fit the MuData anew"
        raise ValueError(msg)
    if table["split"].iloc[0] != _keys.HELD_OUT:
        warn("no cell was held out, so only training cells are measured; fit with holdout=0.1 for an honest measure")
    _mudata.write_fit(mdata, replace(fit, match=table), key=key)
    return table.copy()


def match_table(
    embeddings: _mudata.Embeddings, *, alpha: float, k: Sequence[int], n_queries: int | None, random_state: int
) -> pd.DataFrame:
    """One row for each split that has cells and each direction."""
    rows = []
    for split in (_keys.HELD_OUT, _keys.TRAIN):
        for query, target in permutations(embeddings.modalities, 2):
            cells = embeddings.of_split(split) & embeddings.having(query, target)
            if not cells.any():
                continue
            scores = match_scores(
                embeddings.by_modality[query][cells],
                embeddings.by_modality[target][cells],
                alpha=alpha,
                k=k,
                n_queries=n_queries,
                random_state=random_state,
            )
            recall = {f"recall_at_{number}": fraction for number, fraction in scores.recall.items()}
            rows.append(
                {
                    "split": split,
                    "query": query,
                    "target": target,
                    "n_cells": scores.n_cells,
                    "n_queries": scores.n_queries,
                    "top_alpha": scores.top_alpha,
                    **recall,
                    "foscttm": scores.foscttm,
                    "median_rank": scores.median_rank,
                }
            )
    table = pd.DataFrame(rows)
    return table.astype({"n_cells": np.int64, "n_queries": np.int64}) if rows else table
