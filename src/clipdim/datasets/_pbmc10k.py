"""10k PBMC by CITE-seq."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix

from clipdim.datasets._assemble import assemble
from clipdim.datasets._download import RemoteFile, fetch

TOTALVI = ("YosefLab/totalVI_reproducibility", "27d65a9c49182f39df0c4325249bc7dc8e663dd0")
RNA = RemoteFile(
    *TOTALVI,
    path="data/raw_data/pbmc10k_harmo_rna.csv.gz",
    sha256="77cacfec0e17dce2a9b00c479a07a162e29dc9263ff5dc4cb5235df4679baba9",
)
PROTEIN = RemoteFile(
    *TOTALVI,
    path="data/raw_data/pbmc10k_harmo_pro.csv.gz",
    sha256="184afe670d264b598e24cca73ccfd4f07c7bde696b8fb4cb53ba62d89b13f048",
)
LABELS = RemoteFile(
    "tarot0410/BREMSC",
    "d5b89c26c9b25f3df3ebdcec2372ba108a100638",
    path="data/RealData/10X10k/truth_10X10k.csv",
    sha256="3ede3f6ca2f4245bb585b3b1afd4d1d9c737bcccb0424e4069979e2a6572e8a9",
)


def pbmc10k() -> MuData:
    """CITE-seq of 6,855 blood cells of one donor: raw counts of 4,000 genes and 14 surface proteins.

    Downloaded once (3.5 MB), verified by sha256 and kept in the folder that the environment variable
    ``CLIPDIM_DATA_DIR`` names, else in the user's cache folder; from then on no network is needed.

    Returns
    -------
    MuData of 6,855 cells, with the same order in both modalities:

    ``mdata["rna"].X``
        raw counts, CSR float32 (6,855 x 4,000)
    ``mdata["prot"].X``
        raw counts, dense float32 (6,855 x 14)
    ``mdata.obs["cell_type"]``
        categorical, 7 cell types; missing for the 861 cells that were left unlabelled
    ``mdata.obs["batch"]``
        categorical, ``"pbmc10k"`` for all cells

    Raises
    ------
    clipdim.datasets.DownloadError
        If a file is missing or damaged and cannot be downloaded. The message has addresses, hashes and paths.

    Notes
    -----
    The cell types come from gating the proteins: they flatter every score that the proteins alone can reach.
    A few genes and proteins have the same name (CD4, CD14, CD19, TIGIT).

    References
    ----------
    10x Genomics, "10k PBMCs from a Healthy Donor - Gene Expression with a Panel of TotalSeq-B Antibodies", 2018,
    licence CC BY 4.0. Choice of cells and genes: Gayoso et al., Nature Methods 2021,
    github.com/YosefLab/totalVI_reproducibility. Cell types: Wang et al., Nucleic Acids Research 2020,
    github.com/tarot0410/BREMSC.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.pbmc10k()  # doctest: +SKIP
    >>> mdata["rna"].shape, mdata["prot"].shape  # doctest: +SKIP
    ((6855, 4000), (6855, 14))
    """
    rna_path, protein_path, labels_path = fetch(RNA, PROTEIN, LABELS)
    rna, protein = _read(rna_path), _read(protein_path)
    cells = rna.obs_names
    protein = protein[cells].copy()
    protein.var_names = protein.var_names.str.removesuffix("_TotalSeqB")
    rna.X = csr_matrix(rna.X)
    labels = pd.read_csv(labels_path, index_col="Barcode")["trueType"].reindex(cells)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(labels.where(labels != "unknown")),
            "batch": pd.Categorical(["pbmc10k"] * len(cells)),
        },
        index=cells,
    )
    return assemble({"rna": rna, "prot": protein}, obs)


def _read(path: Path) -> AnnData:
    """Read counts, dense (cells x features), of a table of features x cells."""
    table = pd.read_csv(path, index_col=0, low_memory=False)
    X = np.ascontiguousarray(table.to_numpy(dtype=np.float32).T)
    return AnnData(X, obs=pd.DataFrame(index=table.columns), var=pd.DataFrame(index=table.index.rename(None)))
