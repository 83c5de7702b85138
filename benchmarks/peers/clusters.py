"""Clusters of all kept embeddings, in one process: compiling the graph takes a minute."""

import numpy as np

from benchmarks.peers.data import DATA
from benchmarks.peers.leiden import MEASURES, agreement, neighbors
from benchmarks.peers.run import Results


def score(results: Results) -> None:
    """Add the agreement of embeddings that were kept and have none yet to the table of fits."""
    table = results.table()
    table = table.reindex(columns=[*table.columns.union(MEASURES, sort=False)])
    missing = table[table["error"].isna() & (table["threads"] == 1) & table[MEASURES[0]].isna()]
    for (data, seed), rows in missing.groupby(["data", "seed"], sort=False):
        embeddings = results.load_embeddings(data, rows["peer"], seed)
        if not embeddings or DATA[data].label is None:
            continue
        labels = DATA[data].load().obs[DATA[data].label]
        for name, embedding in embeddings.items():
            fit = {"data": data, "peer": name, "seed": seed, "threads": 1}
            graph = neighbors(embedding.to_numpy(dtype=np.float32), seed)
            results.add({**fit, **agreement(graph, labels[embedding.index])}, keep=True)
