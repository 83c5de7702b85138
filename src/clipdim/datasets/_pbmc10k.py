"""10k PBMC by CITE-seq."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix

from clipdim.datasets._assemble import assemble
from clipdim.datasets._download import PBMC10K_LABELS, PBMC10K_PROTEIN, PBMC10K_RNA, fetch


def pbmc10k() -> MuData:
    """
    CITE-seq of 6,855 blood cells of one donor: raw counts of 4,000 genes and 14 surface proteins.

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
    rna_path, protein_path, labels_path = fetch(PBMC10K_RNA, PBMC10K_PROTEIN, PBMC10K_LABELS)
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
