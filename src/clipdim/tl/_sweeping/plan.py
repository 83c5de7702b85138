"""The fits of a sweep, measured and spread over processes."""

import hashlib
import signal
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from importlib.metadata import version
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed, parallel_config  # type: ignore[import-untyped]

from clipdim import _keys, _mudata
from clipdim.contrast import Recipe
from clipdim.fitting.learning import learn
from clipdim.fitting.run import Result
from clipdim.fitting.settings import Settings
from clipdim.tl._classify import accuracy_table, predict_labels
from clipdim.tl._match import match_table

Record = dict[str, Any]
"""What is kept of one fit: ``out_dim``, ``repeat``, ``random_state``, and ``measures`` or ``error``."""

ALPHA = 0.005
N_QUERIES = 10_000


@dataclass(frozen=True)
class Plan:
    """What the fits of a sweep have in common; all that is sent to another process."""

    data: _mudata.Inputs
    """Of all cells; each fit draws a split of its own."""
    labels: dict[str, pd.Series]
    """Labels of all cells by the name of their column."""
    recipe: Recipe
    device: str
    random_state: int

    def seed(self, out_dim: int, repeat: int) -> int:
        """Seed of one fit, whatever else is in the sweep."""
        return int(np.random.SeedSequence([self.random_state, out_dim, repeat]).generate_state(1)[0])

    def settings(self) -> dict[str, Any]:
        """All that a fit depends on, besides the data, its out_dim and its repeat."""
        batch_key = self.data.batch_key
        return {
            "version": version("clipdim"),
            "modalities": list(self.data.values),
            "label_keys": list(self.labels),
            "batch_key": ", ".join(batch_key) if isinstance(batch_key, list) else batch_key,
            "holdout": self.data.holdout,
            "random_state": self.random_state,
            "device": torch.device(self.device).type,
            "alpha": ALPHA,
            "recipe": asdict(self.recipe),
        }

    def fingerprint(self) -> dict[str, str]:
        """Hash of the cells and of each array that the fits read."""
        parts = {"names of the cells": _joined(self.data.cells)}
        for (name, x), own in zip(self.data.values.items(), self.data.rows.T, strict=True):
            parts[f"representation of {name!r}"] = f"{x.shape}".encode() + x.tobytes() + own.tobytes()
        if self.data.batches is not None:
            parts["batches"] = self.data.batches.tobytes()
        parts |= {f"column {name!r}": _joined(labels.astype(object)) for name, labels in self.labels.items()}
        return {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()}

    def record(self, out_dim: int, repeat: int) -> Record:
        """Return what is known of a fit before it is made."""
        return {"out_dim": out_dim, "repeat": repeat, "random_state": self.seed(out_dim, repeat)}

    def run(self, out_dim: int, repeat: int) -> Record:
        """Fit and measure; an error is part of the record."""
        record = self.record(out_dim, repeat)
        try:
            with warnings.catch_warnings():  # they were given once, before the first fit
                warnings.simplefilter("ignore")
                return record | {"measures": list(self._measures(out_dim, record["random_state"]))}
        except Exception as error:  # noqa: BLE001  # whatever it is, the other fits go on
            return record | _error(error)

    def _measures(self, out_dim: int, seed: int) -> Iterator[tuple[str, str, str, str, float]]:
        """Measure, modality or direction, label key, split (each empty where it does not apply), value."""
        start = perf_counter()
        data = self.data.with_split(holdout=self.data.holdout, norm_fraction=self.recipe.norm_share, random_state=seed)
        settings = Settings(device=torch.device(self.device), random_state=seed, keep_interrupted=False)
        result = learn(data, out_dim, self.recipe, settings)
        yield "seconds", "", "", "", perf_counter() - start
        yield from _of_fit(result.fit)
        yield from self._of_embeddings(result)

    def _of_embeddings(self, result: Result) -> Iterator[tuple[str, str, str, str, float]]:
        embeddings = result.embeddings()
        matched = match_table(embeddings, alpha=ALPHA, k=(1,), n_queries=N_QUERIES, random_state=0)
        for row in matched.to_dict("records"):
            for measure in ("top_alpha", "recall_at_1", "foscttm"):
                yield measure, f"{row['query']} to {row['target']}", "", row["split"], row[measure]
        for label_key, labels in self.labels.items():
            predictions = predict_labels(
                embeddings, labels, label_key, n_neighbors=15, n_queries=N_QUERIES, random_state=0
            )
            table = accuracy_table(label_key, predictions)
            for row in table[table["kind"] != "class"].to_dict("records"):
                joint = row["method"] == _keys.JOINT_KNN
                measure = ("" if row["kind"] == "overall" else "balanced_") + ("accuracy" if joint else "label_match")
                yield measure, _keys.JOINT if joint else row["method"], label_key, row["split"], row["accuracy"]


def _of_fit(fit: _mudata.Fit) -> Iterator[tuple[str, str, str, str, float]]:
    yield "temperature", "", "", "", fit.temperature
    last = fit.history.iloc[-1]
    yield "loss", "", "", _keys.TRAIN, float(last["loss"])
    if np.isfinite(last["held_out_loss"]):
        yield "loss", "", "", _keys.HELD_OUT, float(last["held_out_loss"])
    for name, found in fit.intrinsic_dimension.items():
        yield "intrinsic_dimension", name, "", found.cells, found.estimate


def _joined(values: Iterable[Any]) -> bytes:
    return "\n".join(map(str, values)).encode()


def _error(error: Exception) -> dict[str, str]:
    return {"error": f"{type(error).__name__}: {error}"}


def _run_in_process(plan: Plan, out_dim: int, repeat: int) -> Record:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the process that started this one, too
    torch.set_num_threads(1)
    return plan.run(out_dim, repeat)


def run_fits(plan: Plan, fits: list[tuple[int, int]], n_jobs: int) -> Iterator[Record]:
    """Run the fits, each an ``out_dim`` and the number of a repeat; their records come as they finish."""
    if n_jobs == 1 or len(fits) < 2:
        yield from (plan.run(*one) for one in fits)
        return
    left = set(fits)
    with parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = Parallel(n_jobs=min(n_jobs, len(fits)), return_as="generator_unordered")
    try:
        for record in parallel(delayed(_run_in_process)(plan, *one) for one in fits):
            left.discard((record["out_dim"], record["repeat"]))
            yield record
    except BrokenProcessPool as error:  # a process was killed, which ends them all
        yield from (plan.record(*one) | _error(error) for one in fits if one in left)
