"""One fit in a process of its own, and the table of all."""

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.peers import peer
from benchmarks.peers.data import DATA, split
from benchmarks.peers.measures import measures
from benchmarks.shared import machine

FOLDER = Path(__file__).parent
ROOT = Path(__file__).parents[2]
LOCK = RLock()
KEYS = ["data", "peer", "seed", "threads"]
DONE = "done"


@dataclass
class Results:
    """The table of fits, kept as CSV, and their embeddings."""

    quick: bool

    @property
    def folder(self) -> Path:
        """Where tables go."""
        folder = FOLDER / "quick" if self.quick else FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def path(self) -> Path:
        """The CSV."""
        return self.folder / "fits.csv"

    @property
    def scib_cells(self) -> int:
        """How many cells scib-metrics scores."""
        return 300 if self.quick else 3_000

    def table(self) -> pd.DataFrame:
        """One row for each fit."""
        with LOCK:
            return pd.read_csv(self.path) if self.path.exists() else pd.DataFrame(columns=[*KEYS, "error"])

    def has(self, row: dict[str, Any]) -> bool:
        """Whether the fit need not be run again: it is there, impossible, or takes too long."""
        return self.outcome(row).startswith((DONE, "cannot run", "given up"))

    def outcome(self, row: dict[str, Any]) -> str:
        """``"done"``, ``"missing"``, or the error of a fit."""
        table = self.table()
        own = table.loc[(table[KEYS] == [row[name] for name in KEYS]).all(axis=1), "error"]
        if not len(own):
            return "missing"
        return DONE if pd.isna(own.iloc[0]) else str(own.iloc[0])

    def add(self, row: dict[str, Any], *, keep: bool = False) -> None:
        """Write a fit in place of an earlier one of the same name, or with `keep` complete that one."""
        with LOCK:
            table = self.table()
            earlier = (table[KEYS] == [row[name] for name in KEYS]).all(axis=1)
            before = table[earlier].iloc[0].to_dict() if earlier.any() else {}
            if keep:
                row = {**before, **row}
            table = pd.concat([table[~earlier], pd.DataFrame([row])], ignore_index=True)
            table.to_csv(self.path, index=False, float_format="%.5g")

    def embedding(self, row: dict[str, Any]) -> Path:
        """File of an embedding, which is not kept in the repository."""
        folder = FOLDER / "cache" / ("quick" if self.quick else "full")
        folder.mkdir(parents=True, exist_ok=True)
        name = "_".join(f"{row[key]}" for key in ("data", "peer", "seed"))
        return folder / ("".join(c if c.isalnum() else "_" for c in name) + ".npz")

    def load_embeddings(
        self, data: str, peers: Iterable[str], seed: int = 0, *, kind: str = "joint"
    ) -> dict[str, pd.DataFrame]:
        """Embeddings of known and new cells that were kept, of some peers; or ``"umap"``, of peers that have none."""
        paths = {name: self.embedding({"data": data, "peer": name, "seed": seed}) for name in peers}
        found = {}
        for name, path in paths.items():
            if path.exists():
                with np.load(path) as arrays:
                    if kind in arrays:
                        found[name] = pd.DataFrame(arrays[kind], index=arrays["cells"])
        return found


def fit(row: dict[str, Any], results: Results, *, timeout: float) -> None:
    """Run one fit in a fresh process and note its scores, or its error."""
    table = results.table()
    own = table[(table["data"] == row["data"]) & (table["seed"] == row["seed"]) & (table["threads"] == row["threads"])]
    seconds = own.loc[own["peer"] == "clipdim", "seconds"] if "seconds" in own else pd.Series(dtype=float)
    job = {**row, "quick": results.quick, "seconds": float(seconds.iloc[0]) if len(seconds) else None}
    job["path"] = str(results.embedding(row))
    threads = {f"{name}_NUM_THREADS": str(row["threads"]) for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    command = [sys.executable, "-m", "benchmarks.peers.run", json.dumps(job)]
    options = {"env": {**os.environ, **threads}, "cwd": ROOT, "timeout": timeout}
    try:
        done = subprocess.run(command, capture_output=True, text=True, **options)
        lines = done.stdout.strip().splitlines()
        scores = json.loads(lines[-1]) if done.returncode == 0 else {"error": _last_line(done.stderr)}
    except subprocess.TimeoutExpired:
        scores = {"error": f"given up after {timeout:.0f} s"}
    results.add({**row, **scores})
    print(row["data"], row["peer"], row["seed"], row["threads"], scores, flush=True)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no message"


def measure(arguments: dict[str, Any]) -> dict[str, Any]:
    """Prepare, fit, embed and score in this process."""
    warnings.simplefilter("ignore")
    try:
        chosen = peer.load(arguments["peer"])
    except ImportError as error:
        return {"error": f"not installed: {error}; pip install 'clipdim[peers]'"}
    data = DATA[arguments["data"]]
    torch.set_num_threads(arguments["threads"])
    known, new = split(data, arguments["seed"], quick=arguments["quick"])
    settings = {name: arguments[name] for name in ("seed", "threads", "quick", "seconds")}
    job = peer.Job(known, new, data, **settings)
    try:
        prepared = chosen.prepare(job)
    except peer.CannotRunError as error:
        return {"error": f"cannot run: {error}"}
    start, cpu = time.perf_counter(), time.process_time()
    model = chosen.fit(job, prepared)
    cost = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    cost["peak_gib"] = machine.peak_memory() / 2**30
    if arguments["threads"] > 1:
        # the scores are those of one thread
        return cost
    found = chosen.embed(job, prepared, model)
    arrays = {"joint": found.joint, "umap": found.umap}
    names = np.array(known.obs_names.append(new.obs_names), dtype=str)
    kept = {name: x.astype(np.float32) for name, x in arrays.items() if x is not None}
    np.savez_compressed(arguments["path"], cells=names, **kept)
    return {**cost, **measures(job, found)}


if __name__ == "__main__":
    # peers print to stdout
    stdout, sys.stdout = sys.stdout, sys.stderr
    found = measure(json.loads(sys.argv[1]))
    print(json.dumps(found), file=stdout)
