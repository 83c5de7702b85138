"""
Real cells of two donors or two runs, each sample in turn as new cells.

The two runs are read as ``benchmarks/shared/two_runs.py`` says.
"""

from collections.abc import Callable, Iterator

from mudata import MuData

import clipdim
from benchmarks.shared.data import preprocess
from benchmarks.shared.two_runs import two_runs

SAMPLES: dict[str, tuple[Callable[[], MuData], str, list[str]]] = {
    "bmcite": (clipdim.datasets.bmcite, "donor", ["celltype_l1", "celltype_l2"]),
    "two runs": (two_runs, "batch", ["cell_type"]),
}


def splits(mdata: MuData, column: str) -> Iterator[tuple[str, MuData, MuData]]:
    """Each sample in turn as new cells, with the other one as reference."""
    samples = mdata.obs[column].astype(str)
    for name in sorted(samples.unique()):
        reference, query = mdata[(samples != name).to_numpy()].copy(), mdata[(samples == name).to_numpy()].copy()
        preprocess(reference)
        preprocess(query, reference=reference)
        yield name, reference, query
