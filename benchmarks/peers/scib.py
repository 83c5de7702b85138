"""Scores of scib-metrics, first seed, of all embeddings of one data set in one go: compiling them takes the longest."""

import numpy as np
import pandas as pd

from benchmarks.peers.data import DATA
from benchmarks.peers.run import Results

COLUMNS = ["bio conservation", "batch correction"]


def score(results: Results) -> None:
    """Add the scores of embeddings that were kept and have none yet to the table of fits."""
    try:
        import scib_metrics  # noqa: F401
    except ImportError:
        print("scib-metrics is not installed, so there are no scores of it; pip install 'clipdim[peers]'")
        return
    table = results.table().reindex(columns=[*results.table().columns.union(COLUMNS, sort=False)])
    first = (table["threads"] == 1) & (table["seed"] == 0)
    missing = table[first & table["error"].isna() & table[COLUMNS[0]].isna()]
    for data, rows in missing.groupby("data", sort=False):
        embeddings = results.load_embeddings(data, rows["peer"])
        if not embeddings or DATA[data].label is None:
            continue
        for name, scores in _scores(results, data, embeddings).iterrows():
            fit = {"data": data, "peer": name, "seed": 0, "threads": 1}
            results.add({**fit, **scores.to_dict()}, keep=True)


def _scores(results: Results, data: str, embeddings: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Scores of each embedding, of the same labelled cells: the time is quadratic in them."""
    from benchmarks.shared.scib import BATCH, BIO, scib_scores

    obs = DATA[data].load().obs
    cells = next(iter(embeddings.values())).index
    cells = cells[obs.loc[cells, DATA[data].label].notna()]
    cells = cells[np.random.default_rng(0).permutation(len(cells))[: results.scib_cells]]
    batches = None if DATA[data].batch is None else obs.loc[cells, DATA[data].batch]
    values = {name: found.loc[cells].to_numpy() for name, found in embeddings.items()}
    scores = scib_scores(values, obs.loc[cells, DATA[data].label].astype(object), batches)
    return scores.reindex(columns=[BIO, BATCH]).set_axis(COLUMNS, axis=1)
