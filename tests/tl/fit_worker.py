"""A user's script for torchrun; started by test_processes.py."""

import sys
from pathlib import Path

import mudata
import numpy as np
import torch

import clipdim


def main():
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    cells = mudata.read(folder / "cells.h5mu")
    for recipe in ("default", "paper"):
        mdata = cells.copy()
        settings = {"recipe": recipe, "batch_size": 64, "max_epochs": 10, "n_snapshots": 3}
        clipdim.tl.fit(mdata, out_dim=8, progress=False, distributed=True, **settings)
        rank = torch.distributed.get_rank()
        mdata.write(folder / f"{recipe}_{rank}.h5mu")
    cells.obs["batch"] = np.roll(np.arange(cells.n_obs) % 2, rank).astype(str)
    refused(cells, folder / f"batches_{rank}.txt", batch_key="batch")
    cells["rna"].obsm["X_pca"] = np.roll(cells["rna"].obsm["X_pca"], rank, axis=0)
    refused(cells, folder / f"order_{rank}.txt")


def refused(mdata, path, **settings):
    try:
        clipdim.tl.fit(mdata, progress=False, distributed=True, **settings)
    except ValueError as error:
        path.write_text(str(error))


if __name__ == "__main__":
    main()
