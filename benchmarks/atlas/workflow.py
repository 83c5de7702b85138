"""
Each step of an atlas's life at size, on simulated counts: ``workflow.md``.

``python -m benchmarks.atlas.workflow`` takes 300,000 cells of 20 donors with 2,000 genes and 30 proteins, of which 30 %
lack protein; ``--cells 20000`` fewer. The last donor is the new sample, the others are the reference. Seconds and the
high-water mark of memory are those of one process, which reads the counts from a file that another one has simulated.
Needs Linux or macOS.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData

import clipdim
from benchmarks.shared import command, machine, tables

N_DONORS, N_TYPES = 20, 12
MISSING_PROTEIN = 0.3


class Steps:
    """Seconds, memory and a word on the outcome of each step."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time what happens inside, which may note its outcome."""
        outcome: list[str] = []
        start = time.perf_counter()
        yield outcome.append
        seconds = time.perf_counter() - start
        self.rows.append(
            {"step": name, "seconds": f"{seconds:.0f}", "peak, GiB": f"{machine.peak_memory() / 2**30:.1f}"}
        )
        self.rows[-1]["outcome"] = "".join(outcome)
        print(self.rows[-1], flush=True)


def simulate(path: Path, n_cells: int) -> None:
    """Write the counts of all donors."""
    clipdim.datasets.simulate_citeseq(
        n_cells, n_cell_types=N_TYPES, n_batches=N_DONORS, missing_protein=MISSING_PROTEIN
    ).write(path)


def accuracy(mdata: mudata.MuData, column: str) -> float:
    """Share of the cells whose label is the simulated one."""
    return float((mdata.obs[column].astype(str) == mdata.obs["cell_type"].astype(str)).mean())


def workflow(path: Path) -> list[dict[str, str]]:
    """Run the steps, with a score for each that has one, so that none is timed that does nothing."""
    step = Steps()
    with step("read the file, set one donor apart") as note:
        cells = mudata.read_h5mu(path)
        new = (cells.obs["batch"] == cells.obs["batch"].cat.categories[-1]).to_numpy()
        query, reference = cells[new].copy(), cells[~new].copy()
        del cells
        note(f"{reference.n_obs:,} and {query.n_obs:,} cells, {reference['prot'].n_obs:,} of the former with protein")
    with step('`pp.citeseq(reference, batch_key="batch")`'):
        clipdim.pp.citeseq(reference, batch_key="batch")
    with step('`tl.fit(reference, batch_key="batch")`') as note:
        clipdim.tl.fit(reference, batch_key="batch", progress=False)
        dimension = reference.uns["clipdim"]["intrinsic_dimension"]["joint"]["estimate"]
        note(f"intrinsic dimension {dimension:.1f} (5 are shared)")
    with step("`tl.match`, `tl.classify`, `tl.diagnose`") as note:
        matching = clipdim.tl.match(reference).query("split == 'held-out'")
        table = clipdim.tl.classify(reference, "cell_type")
        clipdim.tl.diagnose(reference)
        found = table.query("split == 'held-out' and method == 'joint k-NN' and kind == 'overall'")["accuracy"].item()
        note(f"top-0.5 % {matching['top_alpha'].mean():.2f}, accuracy {found:.3f}")
    with step("`tl.intrinsic_dimension` by cell type") as note:
        table = clipdim.tl.intrinsic_dimension(reference, groupby="cell_type", n_per_group="equal")
        joint = table.query("representation == 'joint'")["estimate"]
        note(f"{joint.min():.1f} to {joint.max():.1f}")
    with step("`sc.pp.neighbors` (scanpy)"):
        joint = AnnData(obs=pd.DataFrame(index=reference.obs_names), obsm={"X_clipdim": reference.obsm["X_clipdim"]})
        sc.pp.neighbors(joint, use_rep="X_clipdim")
        del joint
    with step("`pp.citeseq(query, reference=)`, `tl.embed`"):
        clipdim.pp.citeseq(query, reference=reference)
        clipdim.tl.embed(query, reference)
    with step("`tl.transfer_labels` to the new donor") as note:
        clipdim.tl.transfer_labels(query, reference, "cell_type", key_added="transferred", min_confidence=0)
        confidence = query.obs["transferred_confidence"].mean()
        note(f"accuracy {accuracy(query, 'transferred'):.3f}, mean confidence {confidence:.3f}")
    with step("`tl.impute` proteins of all cells without them") as note:
        lacking = reference[~reference.obs_names.isin(reference["prot"].obs_names)].copy()
        imputed = clipdim.tl.impute(lacking, reference, "prot")
        note(f"{imputed.n_obs:,} cells, median correlation {imputed.var['correlation'].median():.2f}")
        del lacking, imputed
    with step("`tl.update` with the new donor") as note:
        clipdim.tl.update(query, reference, progress=False)
        note(f"mean shift {query.uns['clipdim_updated']['shift']['mean'].max():.3f}")
    with step("write the reference, read it, embed the new donor again") as note:
        before = query.obsm["X_clipdim"].copy()
        reference.write(path)
        del reference
        again = mudata.read_h5mu(path)
        clipdim.tl.embed(query, again)
        note(f"largest difference {np.abs(query.obsm['X_clipdim'] - before).max():.0e}")
    return step.rows


def main() -> None:
    """Simulate in one process, run the workflow in another."""
    parser = command.parser(__doc__)
    parser.add_argument("--cells", type=int, default=300_000)
    parser.add_argument("--simulate", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    command.quiet()
    if arguments.simulate:
        simulate(arguments.simulate, arguments.cells)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "atlas.h5mu"
        process = [sys.executable, "-m", __spec__.name, "--cells", str(arguments.cells), "--simulate", str(path)]
        subprocess.run(process, check=True)
        rows = workflow(path)
    note = (
        f"{arguments.cells:,} simulated cells of {N_DONORS} donors, {MISSING_PROTEIN:.0%} without protein, 2,000 "
        "genes, 30 proteins; cell types overlap. The peak is that of the process until then."
    )
    tables.write(Path(__file__).with_name("workflow.md"), pd.DataFrame(rows), note=note)


if __name__ == "__main__":
    main()
