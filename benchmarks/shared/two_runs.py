"""
Two 10x runs of blood in one MuData, the batch-effect case of the benchmarks.

The file joins "10k PBMCs" and "5k PBMCs" of 10x Genomics (TotalSeq-B panels, licence CC BY 4.0): 6,855 and 3,920 cells
with the 4,000 genes of the files ``pbmc10k_harmo_rna.csv.gz`` and ``pbmc5k_harmo_rna.csv.gz`` of
github.com/YosefLab/totalVI_reproducibility and 14 shared proteins, raw counts. The proteins of the 5k run and its
coarse cell types are in no public repository at a fixed commit that we know of, so the data are no function of
``clipdim.datasets``: the benchmarks read the joined file where the environment variable ``CLIPDIM_TWO_RUNS`` says.
"""

import warnings

import mudata
from mudata import MuData

from benchmarks.shared.files import named_by

VARIABLE = "CLIPDIM_TWO_RUNS"
SHA256 = "044e8398f839b8734913eb16fce58c94c32fe8b9fe898317045df623e6fbc1b5"


def two_runs() -> MuData:
    """
    Raw counts of 10,775 cells in the modalities ``rna`` and ``prot``.

    ``mdata.obs["batch"]`` is ``"pbmc10k"`` or ``"pbmc5k"``; ``mdata.obs["cell_type"]`` is missing for 861 cells of the
    10k run.
    """
    path = named_by(VARIABLE, "pbmc10k_5k.h5mu", sha256=SHA256)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gene CD4 and protein CD4 have the same name
        stored = mudata.read(path)
        mdata = MuData({"rna": stored["rna"], "prot": stored["adt"]})
    obs = stored["rna"].obs[["cell_type", "batch"]].copy()
    obs["cell_type"] = obs["cell_type"].cat.remove_categories("unknown")
    for adata in mdata.mod.values():
        adata.obs = adata.obs[[]]
    mdata.obs = obs  # once, as in the data sets of clipdim
    return mdata
