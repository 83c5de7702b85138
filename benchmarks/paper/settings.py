"""How large the experiments are, where their results go, and what they have in common."""

import hashlib
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib.pyplot as plt
import mudata
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from matplotlib.figure import Figure
from mudata import MuData

import clipdim
from benchmarks.shared import machine
from clipdim import dimension
from clipdim.contrast import RECIPES, Recipe

FOLDER = Path(__file__).parents[2] / "docs" / "paper"
HELD_OUT, TRAIN = "held-out", "train"
DEFAULT = RECIPES["default"]
INNER = replace(DEFAULT, similarity="inner")
# the paper's on synthetic data, which trains twice as long as on CITE-seq and has a faster temperature
PAPER = replace(RECIPES["paper"], max_epochs=800, temperature_rate=4.0)
N_TRAIN, N_NORM_SET, N_TEST = 10_000, 2_000, 2_000


@dataclass(frozen=True)
class Settings:
    """Size and place of a run."""

    quick: bool = False
    out: Path = FOLDER
    n_jobs: int = machine.cores()

    @property
    def out_dims(self) -> list[int]:
        """Output dimensions of a sweep: the paper's, or a few of them."""
        return [2, 5, 22, 44] if self.quick else np.linspace(1, 44, 15).astype(int).tolist()

    def repeats(self, n: int) -> int:
        """Fits with different seeds: one in a quick run."""
        return 1 if self.quick else n

    def save(self, figure: Figure, name: str) -> None:
        """Write a figure."""
        figure.savefig(self.out / f"{name}.png", dpi=150)
        plt.close(figure)

    def sweep(self, name: str, mdata: MuData, out_dims: Sequence[int], *, recipe: Recipe, **arguments: Any) -> None:
        """Sweep into ``mdata.uns[name]``; finished fits are kept, so that an interrupted run goes on."""
        clipdim.tl.sweep(
            mdata,
            out_dims,
            recipe=recipe,
            n_jobs=self.n_jobs,
            path=cached(f"{name}.jsonl", recipe),
            key_added=name,
            progress=sys.stderr.isatty(),
            **arguments,
        )

    def in_parallel(self, function: Callable[..., MuData], jobs: Sequence[tuple]) -> list[MuData]:
        """Call a function with each tuple of arguments, a process for each core and one thread for each process."""
        with TemporaryDirectory() as folder:
            # by way of files: a MuData with results does not survive pickle
            paths = [Path(folder) / f"{place}.h5mu" for place in range(len(jobs))]
            calls = (delayed(_write)(path, function, job) for path, job in zip(paths, jobs, strict=True))
            Parallel(n_jobs=min(self.n_jobs, len(jobs)))(calls)
            return [mudata.read_h5mu(path) for path in paths]


def cached(name: str, recipe: Recipe) -> Path:
    """Path of a file of fits by this recipe, whose change makes it another file."""
    folder = FOLDER / "cache" / hashlib.sha256(repr(recipe).encode()).hexdigest()[:8]
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def _write(path: Path, function: Callable[..., MuData], job: tuple) -> None:
    warnings.simplefilter("ignore")
    function(*job).write(path)


def synthetic(kind: str, recipe: Recipe, *, n_shared: int = 5, random_state: int = 0) -> tuple[MuData, float]:
    """Simulate 20 + 20 columns, and the ``holdout`` that leaves the paper's numbers of training and test cells."""
    n_cells = N_TRAIN + N_TEST + (N_NORM_SET if recipe.norm_fraction else 0)
    make = {"linear": clipdim.datasets.linear, "nonlinear": clipdim.datasets.nonlinear}[kind]
    return make(n_cells, n_shared=n_shared, d_x=20, d_y=20, random_state=random_state), N_TEST / n_cells


def fit(kind: str, n_shared: int, out_dim: int, recipe: Recipe, seed: int, n_snapshots: int = 0) -> MuData:
    """Simulate and fit."""
    mdata, holdout = synthetic(kind, recipe, n_shared=n_shared)
    clipdim.tl.fit(
        mdata,
        out_dim,
        recipe=recipe,
        holdout=holdout,
        random_state=seed,
        n_snapshots=n_snapshots,
        progress=False,
    )
    return mdata


def held_out(mdata: MuData) -> np.ndarray:
    """Mask of the held-out cells."""
    return (mdata.obs["clipdim_split"] == HELD_OUT).to_numpy()


def top_1(mdata: MuData) -> float:
    """Share of held-out cells whose first match is their own, mean of both directions."""
    table = clipdim.tl.match(mdata, k=(1,)).query("split == @HELD_OUT")
    return float(table["recall_at_1"].mean())


def similarities(mdata: MuData) -> tuple[np.ndarray, np.ndarray]:
    """Of held-out cells: similarity of each to its own partner, and to that of each other cell."""
    cells = held_out(mdata)
    u, v = (mdata[name].obsm["X_clipdim"][cells] for name in ("x", "y"))
    every = u @ v.T
    return np.diagonal(every).copy(), every[~np.eye(len(every), dtype=bool)]


def dimensions(mdata: MuData, aggregation: str = "harmonic") -> list[float]:
    """Intrinsic dimension of each modality's embedding of the held-out cells."""
    cells = held_out(mdata)
    return [dimension.mle(mdata[name].obsm["X_clipdim"][cells], aggregation=aggregation) for name in ("x", "y")]


def norm_spreads(mdata: MuData) -> list[float]:
    """Return the standard deviation of the norms of each modality over their mean, held-out cells."""
    norms = [mdata[name].obs["clipdim_norm"].to_numpy()[held_out(mdata)] for name in ("x", "y")]
    return [float(norm.std() / norm.mean()) for norm in norms]


def by_out_dim(table: pd.DataFrame, measure: str, *, label_key: str = "", split: str = HELD_OUT) -> pd.Series:
    """Mean of a measure of a sweep over repeats, modalities and directions, by ``out_dim``."""
    split = "" if measure == "temperature" else split
    rows = table.query("measure == @measure and label_key == @label_key and split == @split and modality != 'joint'")
    if measure in ("accuracy", "balanced_accuracy"):
        rows = table.query("measure == @measure and label_key == @label_key and split == @split")
    return rows.groupby("out_dim")["value"].mean()


def saturation(values: pd.Series, share: float = 0.98) -> int:
    """Smallest ``out_dim`` with this share of the best value."""
    return int(values.index[values >= share * values.max()][0])


def span(values: pd.Series) -> str:
    """Lowest and highest number, once where they are equal."""
    return " to ".join(dict.fromkeys(f"{value:.2f}" for value in (values.min(), values.max())))


def listed(values: Sequence[float] | np.ndarray, digits: int = 2) -> str:
    """Numbers with a slash between them."""
    return " / ".join(f"{value:.{digits}f}" for value in values)
