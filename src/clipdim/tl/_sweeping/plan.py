"""The fits of a sweep, measured and spread over processes."""

import hashlib
import signal
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

# part of scikit-learn's dependencies; unlike the standard library's, its processes do not run the user's script anew
from joblib.externals.loky import ProcessPoolExecutor, as_completed  # type: ignore[import-untyped]
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import batch_columns, read_fit
from clipdim.contrast import Recipe
from clipdim.tl._classify import classify
from clipdim.tl._fit import fit
from clipdim.tl._match import match

Record = dict[str, Any]
"""What is kept of one fit: ``out_dim``, ``repeat``, ``random_state``, and ``measures`` or ``error``."""

ALPHA = 0.005
_KEY = "clipdim_sweep_fit"
_REP = "X_input"
_ONE_THREAD = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1")


@dataclass(frozen=True)
class Plan:
    """What the fits of a sweep have in common; all that is sent to another process, once."""

    values: dict[str, np.ndarray]
    """(cells x features) representation of each modality, of the cells that have it."""
    present: np.ndarray
    """(paired cells x modalities) whether a cell has the modality."""
    obs: pd.DataFrame
    """(paired cells x columns) batches and labels."""
    batch_key: str | Sequence[str] | None
    label_keys: list[str]
    recipe: Recipe
    holdout: float
    device: str
    random_state: int

    def mudata(self) -> MuData:
        """Representations, batches and labels as a MuData for the fits to write to."""
        adatas = {
            name: AnnData(obs=self.obs.loc[has, []].copy(), obsm={_REP: x})
            for (name, x), has in zip(self.values.items(), self.present.T, strict=True)
        }
        with warnings.catch_warnings():  # of mudata's settings, which do not matter here
            warnings.simplefilter("ignore")
            mdata = MuData(adatas)
        for name in self.obs:
            mdata.obs[name] = self.obs[name]
        return mdata

    def seed(self, out_dim: int, repeat: int) -> int:
        """Seed of one fit, whatever else is in the sweep."""
        return int(np.random.SeedSequence([self.random_state, out_dim, repeat]).generate_state(1)[0])

    def settings(self) -> dict[str, Any]:
        """All that a fit depends on, besides the data, its out_dim and its repeat."""
        return {
            "version": version("clipdim"),
            "modalities": list(self.values),
            "label_keys": self.label_keys,
            "batch_key": self.batch_key if self.batch_key is None else ", ".join(batch_columns(self.batch_key)),
            "holdout": self.holdout,
            "random_state": self.random_state,
            "device": torch.device(self.device).type,
            "alpha": ALPHA,
            "recipe": asdict(self.recipe),
        }

    def fingerprint(self) -> dict[str, str]:
        """Hash of the cells and of each array that the fits read."""
        parts = {"names of the cells": _joined(self.obs.index)}
        for (name, x), has in zip(self.values.items(), self.present.T, strict=True):
            missing = b"" if has.all() else has.tobytes()
            parts[f"representation of {name!r}"] = f"{x.shape}".encode() + x.tobytes() + missing
        parts |= {f"column {name!r}": _joined(self.obs[name].astype(object)) for name in self.obs}
        return {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()}

    def run(self, mdata: MuData, out_dim: int, repeat: int) -> Record:
        """Fit and measure; an error is part of the record."""
        seed = self.seed(out_dim, repeat)
        record = {"out_dim": out_dim, "repeat": repeat, "random_state": seed}
        try:
            with warnings.catch_warnings():  # they were given once, before the first fit
                warnings.simplefilter("ignore")
                return record | {"measures": list(self._measures(mdata, out_dim, seed))}
        except Exception as error:  # noqa: BLE001  # whatever it is, the other fits go on
            return record | {"error": f"{type(error).__name__}: {error}"}

    def _measures(self, mdata: MuData, out_dim: int, seed: int) -> Iterator[tuple[str, str, str, str, float]]:
        """Measure, modality or direction, label key, split (each empty where it does not apply), value."""
        start = perf_counter()
        fit(
            mdata,
            out_dim,
            use_rep=_REP,
            batch_key=self.batch_key,
            recipe=self.recipe,
            holdout=self.holdout,
            device=self.device,
            random_state=seed,
            key_added=_KEY,
            progress=False,
        )
        seconds = perf_counter() - start
        result = read_fit(mdata, _KEY)
        if result["params"]["n_epochs"] < result["params"]["recipe"]["max_epochs"]:
            raise KeyboardInterrupt  # tl.fit keeps what it learned until then, which is not a finished fit
        yield "seconds", "", "", "", seconds
        yield "temperature", "", "", "", result["temperature"]
        last = result["history"].iloc[-1]
        yield "loss", "", "", _keys.TRAIN, float(last["loss"])
        if np.isfinite(last["held_out_loss"]):
            yield "loss", "", "", _keys.HELD_OUT, float(last["held_out_loss"])
        for name, record in result["intrinsic_dimension"].items():
            yield "intrinsic_dimension", name, "", record["cells"], record["estimate"]
        for row in match(mdata, alpha=ALPHA, k=(1,), key=_KEY).to_dict("records"):
            for measure in ("top_alpha", "recall_at_1", "foscttm"):
                yield measure, f"{row['query']} to {row['target']}", "", row["split"], row[measure]
        for label_key in self.label_keys:
            table = classify(mdata, label_key, key=_KEY)
            for row in table[table["kind"] != "class"].to_dict("records"):
                joint = row["method"] == "joint k-NN"
                measure = ("" if row["kind"] == "overall" else "balanced_") + ("accuracy" if joint else "label_match")
                yield measure, _keys.JOINT if joint else row["method"], label_key, row["split"], row["accuracy"]


def _joined(values: Iterable[Any]) -> bytes:
    return "\n".join(map(str, values)).encode()


_here: tuple[Plan, MuData]


def _start(plan: Plan) -> None:
    """Keep the data of the sweep in this process."""
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the process that started this one, too
    torch.set_num_threads(1)
    _here = plan, plan.mudata()


def _run_here(out_dim: int, repeat: int) -> Record:
    plan, mdata = _here
    return plan.run(mdata, out_dim, repeat)


def run_fits(plan: Plan, fits: list[tuple[int, int]], n_jobs: int) -> Generator[Record, None, None]:
    """Run the fits, each an ``out_dim`` and the number of a repeat; their records come as they finish."""
    if n_jobs == 1 or len(fits) < 2:
        mdata = plan.mudata()
        for out_dim, repeat in fits:
            yield plan.run(mdata, out_dim, repeat)
        return
    executor = ProcessPoolExecutor(min(n_jobs, len(fits)), initializer=_start, initargs=(plan,), env=_ONE_THREAD)
    interrupted = True
    try:
        futures = {executor.submit(_run_here, *one): one for one in fits}
        for future in as_completed(futures):
            error = future.exception()
            if error is None:
                yield future.result()
            else:  # its process was killed, which ends them all
                out_dim, repeat = futures[future]
                text = f"{type(error).__name__}: {error}"
                yield {"out_dim": out_dim, "repeat": repeat, "random_state": plan.seed(out_dim, repeat), "error": text}
        interrupted = False
    finally:
        executor.shutdown(kill_workers=interrupted)
