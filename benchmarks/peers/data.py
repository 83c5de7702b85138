"""The data sets of the comparison: raw counts where there are any, labels, batches, and the split into two parts."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mudata import MuData

import clipdim
from benchmarks.shared.two_runs import two_runs

NEW = 0.3
QUICK_CELLS = 1_500


@dataclass(frozen=True)
class Data:
    """How to get cells, and what is known of them."""

    load: Callable[[], MuData]
    label: str | None
    batch: str | None
    labels_from: str
    """What the labels were made from: it flatters methods that see it."""
    has_counts: bool = True


def simulated() -> MuData:
    """Five shared dimensions, three of the RNA's own and two of the protein's; twelve overlapping types."""
    return clipdim.datasets.simulate_citeseq(6_000, 5, n_private_protein=2, n_cell_types=12)


DATA = {
    "pbmc10k": Data(clipdim.datasets.pbmc10k, "cell_type", None, "gating of the proteins"),
    "bmcite": Data(clipdim.datasets.bmcite, "celltype_l2", None, "WNN of both modalities", has_counts=False),
    "two runs": Data(two_runs, "cell_type", "batch", "gating of the proteins"),
    "simulated": Data(simulated, "cell_type", None, "the shared truth"),
}


def readable(name: str) -> bool:
    """Whether these cells are there or can be downloaded; if not, it is said why."""
    try:
        DATA[name].load()
    except OSError as error:
        print(f"{name} is left out: {error}\n")
        return False
    return True


def split(data: Data, seed: int, *, quick: bool) -> tuple[MuData, MuData]:
    """Cells to learn from and new ones, raw; the same cells for every peer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata = data.load()
    order = np.random.default_rng(seed).permutation(mdata.n_obs)
    order = order[:QUICK_CELLS] if quick else order
    new = np.zeros(mdata.n_obs, dtype=bool)
    new[order[: round(NEW * len(order))]] = True
    known = np.zeros(mdata.n_obs, dtype=bool)
    known[order[round(NEW * len(order)) :]] = True
    return mdata[known].copy(), mdata[new].copy()
