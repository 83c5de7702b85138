"""PBMC of four donors, two of whom lack a modality."""

import warnings

import mudata
import pandas as pd
from anndata import AnnData
from mudata import MuData

from clipdim.datasets._assemble import assemble
from clipdim.datasets._download import RemoteFile, fetch

CELLS = RemoteFile(
    "labomics/midas",
    "5f0f57973bd6bea6f9ed034fffb4d9b3aa703777",
    path="src/scmidas/data/quickstart_pbmc_mosaic.h5mu",
    sha256="ba7e65819b77dca7cae0473043893a471920e25a07ee08bc91b3eb9fcc2e1cdd",
)

LABELS = {"batch": "donor", "celltype": "cell_type"}
MODALITIES = {"rna": "rna", "adt": "prot"}


def pbmc_mosaic() -> MuData:
    """Blood cells of four donors, 400 of each: two donors with RNA and proteins, one with either alone.

    Downloaded once (2.8 MB), verified by sha256 and kept in the folder that the environment variable
    ``CLIPDIM_DATA_DIR`` names, else in the user's cache folder; from then on no network is needed.

    Returns
    -------
    MuData of 1,600 cells, 800 of them in both modalities:

    ``mdata["rna"].X``
        raw counts, CSR float32 (1,200 x 500)
    ``mdata["prot"].X``
        raw counts, CSR float32 (1,200 x 224)
    ``mdata.obs["donor"]``
        categorical: ``"p1_0"`` has RNA only, ``"p2_0"`` proteins only, ``"p3_0"`` and ``"p4_0"`` both
    ``mdata.obs["cell_type"]``
        categorical, 8 cell types

    Raises
    ------
    clipdim.datasets.DownloadError
        If a file is missing or damaged and cannot be downloaded. The message has addresses, hashes and paths.

    Notes
    -----
    All cells were measured with both modalities; what is missing was left out on purpose.

    References
    ----------
    Hao et al., Cell 2021. Choice of cells and features: He et al., Nature Biotechnology 2024 (MIDAS),
    github.com/labomics/midas, licence MIT.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.pbmc_mosaic()  # doctest: +SKIP
    >>> mdata.n_obs, mdata["rna"].shape, mdata["prot"].shape  # doctest: +SKIP
    (1600, (1200, 500), (1200, 224))
    """
    (path,) = fetch(CELLS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata announces a new default for columns of modalities
        stored = mudata.read(path)
    modalities = {
        name: AnnData(stored[old].X, obs=stored[old].obs[[]], var=stored[old].var[[]])
        for old, name in MODALITIES.items()
    }
    obs = pd.concat([stored[old].obs[[*LABELS]].astype(str) for old in MODALITIES])
    obs = obs[~obs.index.duplicated()].rename(columns=LABELS).astype("category")
    return assemble(modalities, obs)
