"""A user's script for torchrun; started by test_processes.py."""

import sys
from pathlib import Path

import torch

import clipdim


def main():
    folder, similarity = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    mdata = clipdim.datasets.simulate_citeseq(n_cells=400)
    clipdim.pp.citeseq(mdata)
    recipe = "paper" if similarity == "inner" else "default"
    settings = {"recipe": recipe, "batch_size": 64, "max_epochs": 10, "n_snapshots": 3}
    clipdim.tl.fit(mdata, out_dim=8, progress=False, distributed=True, **settings)
    rank = torch.distributed.get_rank()
    mdata.write(folder / f"{rank}.h5mu")
    other = clipdim.datasets.simulate_citeseq(n_cells=400, random_state=rank)
    clipdim.pp.citeseq(other)
    try:
        clipdim.tl.fit(other, progress=False, distributed=True)
    except ValueError as error:
        (folder / f"{rank}.txt").write_text(str(error))


if __name__ == "__main__":
    main()
