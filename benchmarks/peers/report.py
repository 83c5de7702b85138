"""Tables and figures of the fits that are there."""

import contextlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
import peer
import scib
import tables
from data import DATA
from run import Results

STATIC = Path(__file__).parents[2] / "docs" / "_static"
PACKAGES = ("clipdim", "scvi-tools", "muon", "mofapy2", "harmonypy", "scikit-learn", "scib-metrics")
SCORES = [
    "15-NN accuracy",
    "15-NN accuracy, balanced",
    "ARI",
    "NMI",
    "top-0.5 %",
    "FOSCTTM",
    "run named",
    *scib.COLUMNS,
]
# of these two the least is best
LEAST = ("FOSCTTM", "run named")


def write(results: Results) -> None:
    """Write a table for each data set, the scores of scib-metrics and the figures."""
    table = results.table()
    for data in [name for name in DATA if name in set(table["data"])]:
        name = f"peers_{data.replace(' ', '_')}"
        found = _scores(table[table["data"] == data])
        print(tables.write(name, found, note=_note(data, results), folder=results.folder).read_text())
    print(tables.write("peers_settings", _settings(), note=_versions(), folder=results.folder).read_text())
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


def _note(data: str, results: Results) -> str:
    return (
        f"Labels from {DATA[data].labels_from}. Means over the seeds, seconds of the fastest. In bold the best, and "
        "what is no farther from it than seeds are from each other (standard deviation). Scores are of new cells, ARI "
        "and NMI of all at the resolution that is best for each, those of scib-metrics of "
        f"{results.scib_cells:,} cells, known and new, with the first seed. {_versions()}"
    )


def _scores(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each peer: mean over the seeds that did not fail, seconds of the fastest."""
    table = table.reindex(columns=[*table.columns.union([*SCORES, "seconds", "cpu_seconds", "peak_gib"], sort=False)])
    on_two = table[table["threads"] == 2].groupby("peer")["seconds"].min()
    table = table[table["threads"] == 1]
    present = [name for name in SCORES if table[name].notna().any()]
    # what else runs on a machine only ever adds to a time
    fastest, means = table.groupby("peer")["cpu_seconds"].min(), table.groupby("peer")[[*present, "peak_gib"]].mean()
    best = {name: _best(means[name], table.groupby("peer")[name].var(), least=name in LEAST) for name in present}
    rows = []
    for name in [name for name in peer.MODULES if name in set(table["peer"])]:
        of_peer = table[table["peer"] == name]
        if of_peer["error"].notna().all():
            rows.append({"": f"{name}: *{of_peer['error'].iloc[0]}*"})
            continue
        shown = {score: _share(means.loc[name, score]) for score in present}
        row = {"": name} | {score: f"**{text}**" if best[score][name] else text for score, text in shown.items()}
        row["seconds, 1 core"] = _seconds(fastest[name])
        if len(on_two):
            row["2 cores"] = _seconds(on_two.get(name, np.nan))
        row["peak, GiB"] = f"{means.loc[name, 'peak_gib']:.1f}"
        row["seeds"] = str(of_peer["error"].isna().sum())
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def _best(means: pd.Series, variances: pd.Series, *, least: bool) -> pd.Series:
    """Which means are the best, or no farther from it than one seed is from another (standard deviation)."""
    behind = means - means.min() if least else means.max() - means
    return behind <= (0.0 if variances.isna().all() else np.sqrt(variances.mean()))


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}".removeprefix("0")


def _seconds(value: float) -> str:
    # less than that is nothing to be done
    return "-" if not value >= 1e-3 else f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _settings() -> pd.DataFrame:
    """Return what each peer is run with, of those that are installed."""
    rows = []
    for name in peer.MODULES:
        with contextlib.suppress(ImportError):
            found = peer.load(name)
            rows.append({"": name, "settings": found.settings, "embeds of new cells": found.new_cells})
    return pd.DataFrame(rows)
