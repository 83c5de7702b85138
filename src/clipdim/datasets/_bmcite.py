"""Bone marrow by CITE-seq."""

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.io import mmread
from scipy.sparse import csr_matrix

from clipdim.datasets._assemble import assemble
from clipdim.datasets._download import (
    BMCITE_BARCODES,
    BMCITE_LATENT,
    BMCITE_METADATA,
    BMCITE_PROTEIN,
    BMCITE_PROTEIN_NAMES,
    fetch,
)

LABELS = {"celltype.l1": "celltype_l1", "celltype.l2": "celltype_l2", "donor": "donor", "lane": "lane"}


def bmcite() -> MuData:
    """
    CITE-seq of 15,000 bone-marrow cells of two donors: a latent representation of the RNA and 25 surface proteins.

    Downloaded once (9.2 MB), verified by sha256 and kept in the folder that the environment variable
    ``CLIPDIM_DATA_DIR`` names, else in the user's cache folder; from then on no network is needed.
    The RNA has no counts, so of the preprocessing only ``clipdim.pp.protein`` applies.

    Returns
    -------
    MuData of 15,000 cells, with the same order in both modalities:

    ``mdata["rna"].X`` and ``mdata["rna"].obsm["X_scVI"]``
        latent representation of the RNA by scVI, float32 (15,000 x 10)
    ``mdata["prot"].X``
        raw counts, CSR float32 (15,000 x 25)
    ``mdata.obs["celltype_l1"]``, ``mdata.obs["celltype_l2"]``
        categorical, 5 coarse and 27 fine cell types
    ``mdata.obs["donor"]``, ``mdata.obs["batch"]``
        categorical, the same two donors in both columns
    ``mdata.obs["lane"]``
        categorical, 10 lanes

    Raises
    ------
    clipdim.datasets.DownloadError
        If a file is missing or damaged and cannot be downloaded. The message has addresses, hashes and paths.

    References
    ----------
    Stuart et al., Cell 2019, public at GEO as GSE128639. Cell types: Hao et al., Cell 2021, as in
    github.com/naity/citeseq_autoencoder. Latent representation: github.com/tarot0410/SECANT. Choice of the 15,000 of
    30,672 cells and their proteins: Minoura et al., Cell Reports Methods 2021, github.com/kodaim1115/scMM.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.bmcite()  # doctest: +SKIP
    >>> mdata["rna"].shape, mdata["prot"].shape  # doctest: +SKIP
    ((15000, 10), (15000, 25))
    """
    latent_path, metadata_path, counts_path, barcodes_path, proteins_path = fetch(
        BMCITE_LATENT, BMCITE_METADATA, BMCITE_PROTEIN, BMCITE_BARCODES, BMCITE_PROTEIN_NAMES
    )
    cells, proteins = (pd.read_csv(path, header=None)[0].to_numpy() for path in (barcodes_path, proteins_path))
    metadata = pd.read_csv(metadata_path, index_col=0)[[*LABELS]]
    # the table of the latent representation names no cells; its rows are those of the metadata
    latent = pd.read_csv(latent_path, index_col=0).set_index(metadata.index).loc[cells].to_numpy(dtype=np.float32)
    rna = AnnData(latent, obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=[f"scVI{i}" for i in range(10)]))
    rna.obsm["X_scVI"] = latent.copy()
    counts = csr_matrix(mmread(counts_path).T, dtype=np.float32)
    protein = AnnData(counts, obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=proteins))
    obs = metadata.loc[cells].rename(columns=LABELS).astype("category")
    return assemble({"rna": rna, "prot": protein}, obs.assign(batch=obs["donor"]))
