"""Tables and figures of the fits that are there."""

import contextlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
import peer
import tables
from data import DATA
from run import Results

STATIC = Path(__file__).parents[2] / "docs" / "_static"
PACKAGES = ("clipdim", "scvi-tools", "muon", "mofapy2", "scikit-learn", "scib-metrics")
SCORES = ["15-NN accuracy", "15-NN accuracy, balanced", "ARI", "NMI", "top-0.5 %", "FOSCTTM", "run named"]
# the best of each column is in bold; of these two the least
LEAST = ("FOSCTTM", "run named")


def write(results: Results) -> None:
    """Write a table for each data set, the scores of scib-metrics and the figures."""
    table = results.table()
    for data in [name for name in DATA if name in set(table["data"])]:
        name = f"peers_{data.replace(' ', '_')}"
        of_data = table[(table["data"] == data) & (table["threads"] == 1)]
        print(tables.write(name, _scores(of_data, data), note=_note(data), folder=results.folder).read_text())
    print(tables.write("peers_settings", _settings(), note=_versions(), folder=results.folder).read_text())
    scib = _scib(results, table)
    if len(scib):
        note = f"Seed 0, labelled ones of {_scib_cells(results):,} cells, known and new. {_versions()}"
        print(tables.write("peers_scib", scib, note=note, folder=results.folder).read_text())
    if not results.quick:
        from figures import draw_embeddings, draw_scatter

        draw_scatter(table[table["threads"] == 1], STATIC / "peers.png")
        draw_embeddings(results, STATIC / "peers_umap.png")


def _versions() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def _note(data: str) -> str:
    return (
        f"Labels from {DATA[data].labels_from}; scores are of new cells, ARI and NMI of all at the best resolution. "
        f"Seconds are of one core. {_versions()}"
    )


def _scores(table: pd.DataFrame, data: str) -> pd.DataFrame:
    """One row for each peer, mean over the seeds that did not fail."""
    rows = []
    table = table.reindex(columns=[*table.columns, *(name for name in SCORES if name not in table)])
    present = [name for name in SCORES if name in table and table[name].notna().any()]
    means = table.groupby("peer")[[*present, "cpu_seconds", "peak_gib"]].mean()
    best = {name: means[name].min() if name in LEAST else means[name].max() for name in present}
    for name in [name for name in peer.MODULES if name in set(table["peer"])]:
        of_peer = table[table["peer"] == name]
        row = {"": name}
        if of_peer["error"].notna().all():
            rows.append({"": f"{name}: *{of_peer['error'].iloc[0]}*"})
            continue
        for score in present:
            value = means.loc[name, score]
            text = "-" if np.isnan(value) else f"{value:.3f}".lstrip("0")
            row[score] = f"**{text}**" if text == f"{best[score]:.3f}".lstrip("0") else text
        seconds = means.loc[name, "cpu_seconds"]
        row["seconds"] = "-" if seconds < 1e-3 else f"{seconds:.3g}" if seconds < 100 else f"{seconds:,.0f}"
        row["peak, GiB"] = f"{means.loc[name, 'peak_gib']:.1f}"
        row["seeds"] = str(of_peer["error"].isna().sum())
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def _settings() -> pd.DataFrame:
    """Return what each peer is run with, of those that are installed."""
    rows = []
    for name in peer.MODULES:
        with contextlib.suppress(ImportError):
            found = peer.load(name)
            rows.append({"": name, "settings": found.settings, "embeds of new cells": found.new_cells})
    return pd.DataFrame(rows)


def _scib(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Scores of the embeddings of the first seed."""
    try:
        import scib_metrics  # noqa: F401
        from scib_scores import BATCH, BIO, scib_scores
    except ImportError:
        return pd.DataFrame()
    rows = []
    for data in [name for name in DATA if name in set(table["data"])]:
        embeddings = load_embeddings(results, data)
        if not embeddings or DATA[data].label is None:
            continue
        mdata = DATA[data].load()
        labels = mdata.obs[DATA[data].label].astype(object)
        batches = None if DATA[data].batch is None else mdata.obs[DATA[data].batch]
        cells = next(iter(embeddings.values())).index
        cells = cells[np.random.default_rng(0).permutation(len(cells))[: _scib_cells(results)]]
        values = {name: found.loc[cells].to_numpy() for name, found in embeddings.items()}
        scores = scib_scores(values, labels[cells], None if batches is None else batches[cells])
        for name, found in scores.iterrows():
            kinds = {"bio conservation": BIO, "batch correction": BATCH, "total": "Total"}
            shown = {kind: f"{found[column]:.3f}" if column in found else "-" for kind, column in kinds.items()}
            rows.append({"data": data, "": name, **shown})
    return pd.DataFrame(rows)


def _scib_cells(results: Results) -> int:
    """Cells to score: the time is quadratic in them."""
    return 300 if results.quick else 3_000


def load_embeddings(results: Results, data: str, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Embeddings that were kept, by peer."""
    found = {}
    for name in peer.MODULES:
        path = results.embedding({"data": data, "peer": name, "seed": seed})
        if path.exists():
            with np.load(path) as arrays:
                found[name] = pd.DataFrame(arrays["joint"], index=arrays["cells"])
    return found
