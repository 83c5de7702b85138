"""Tables and figures of the fits that are there."""

import contextlib
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd

from benchmarks.peers import peer, scib
from benchmarks.peers.data import DATA
from benchmarks.peers.figures import draw_embeddings, draw_scatter
from benchmarks.peers.run import Results
from benchmarks.shared import tables
from benchmarks.shared.figures import STATIC

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
        of_data = table[table["data"] == data]
        note = f"{_failures(of_data)}{_note(data, of_data, results.scib_cells)}"
        tables.write(results.folder / f"{data.replace(' ', '_')}.md", _scores(of_data), note=note)
    tables.write(results.folder / "settings.md", _settings(), note=_versions())
    if not results.quick:
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


def _note(data: str, table: pd.DataFrame, scib_cells: int) -> str:
    return (
        f"Labels from {DATA[data].labels_from}. Seeds: {table['seed'].nunique()}; means, but seconds of the fastest. "
        "In bold the best, and what is no farther from it than seeds are from each other (standard deviation). "
        "Scores are of new cells, ARI and NMI of all at the resolution that is best for each, those of scib-metrics of "
        f"{scib_cells:,} cells, known and new, with the first seed."
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
    rows, n_seeds = [], table["seed"].nunique()
    for name in [name for name in peer.MODULES if name in set(table["peer"])]:
        done = table.loc[table["peer"] == name, "error"].isna().sum()
        if not done:
            continue
        shown = {score: tables.number(means.loc[name, score]) for score in present}
        named = name if done == n_seeds else f"{name} ({done} of {n_seeds} seeds)"
        row = {"": named} | {score: f"**{text}**" if best[score][name] else text for score, text in shown.items()}
        row["seconds, 1 core"] = _seconds(fastest[name])
        if len(on_two):
            row["2 cores"] = _seconds(on_two.get(name, np.nan))
        row["peak, GiB"] = f"{means.loc[name, 'peak_gib']:.1f}"
        rows.append(row)
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["no fit on one core"])


def _failures(table: pd.DataFrame) -> str:
    """Which peers the table lacks, and why."""
    table = table[table["threads"] == 1]
    done = table.loc[table["error"].isna(), "peer"]
    failed = table[~table["peer"].isin(done)].drop_duplicates("peer").set_index("peer")
    errors = failed["error"].reindex(peer.MODULES).dropna()
    of_error = [f"{' and '.join(names)} ({error})" for error, names in errors.index.groupby(errors).items()]
    return f"Not in the table: {', '.join(of_error)}. " if of_error else ""


def _best(means: pd.Series, variances: pd.Series, *, least: bool) -> pd.Series:
    """Which means are the best, or no farther from it than one seed is from another (standard deviation)."""
    behind = means - means.min() if least else means.max() - means
    return behind <= (0.0 if variances.isna().all() else np.sqrt(variances.mean()))


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
