"""Bone marrow by CITE-seq."""

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.io import mmread
from scipy.sparse import csr_matrix

from clipdim.datasets._assemble import assemble
from clipdim.datasets._download import RemoteFile, fetch

SCMM = ("kodaim1115/scMM", "c5c8579dd088883a31f220170c39393084ff4c03")
LATENT = RemoteFile(
    "tarot0410/SECANT",
    "899947b332ecd4082c8b181f4b480dea90998253",
    path="real_data/Bone_marrow/bm_latent_D10_full.csv",
    sha256="4471578d1bb2adb9077c1a6914cc428b7fef133494aeaf5b17e24a45a51f9bbc",
)
METADATA = RemoteFile(
    "naity/citeseq_autoencoder",
    "6e90b586b6ef6280c83ce7dcdb0c7cca5dd932cc",
    path="data/metadata.csv.gz",
    sha256="5d5bc3fb966ff6624a0ef38d819f9b0cc1e7c4767b4380c30960f534582ea609",
)
PROTEIN = RemoteFile(
    *SCMM,
    path="data/BMNC/CITE-seq/Protein_count.mtx",
    sha256="2712deb1674c88ee82c4820e2a8d75e1419f6b8b3b0d700cc42f1bdee74af098",
)
BARCODES = RemoteFile(
    *SCMM,
    path="data/BMNC/CITE-seq/barcode.tsv",
    sha256="a5910735e6cb5fa4ae9045933585418e8203df18b84831f637057a5db7660b0a",
)
PROTEIN_NAMES = RemoteFile(
    *SCMM,
    path="data/BMNC/CITE-seq/protein.tsv",
    sha256="44e21cf16ed07f3386f962d9f2db4beca4cc6660366a27ab04dfddb51cd30543",
)
LABELS = {"celltype.l1": "celltype_l1", "celltype.l2": "celltype_l2", "donor": "donor", "lane": "lane"}


def bmcite() -> MuData:
    """CITE-seq of 15,000 bone-marrow cells of two donors: a latent representation of the RNA and 25 surface proteins.

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
        LATENT, METADATA, PROTEIN, BARCODES, PROTEIN_NAMES
    )
    cells, proteins = (pd.read_csv(path, header=None)[0].to_numpy() for path in (barcodes_path, proteins_path))
    metadata = pd.read_csv(metadata_path, index_col=0)[[*LABELS]]
    # the table of the latent representation names no cells; its rows are those of the metadata
    latent = pd.read_csv(latent_path, index_col=0).set_index(metadata.index).loc[cells].to_numpy(dtype=np.float32)
    rna = AnnData(latent, obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=[f"scVI{i}" for i in range(10)]))
    rna.obsm["X_scVI"] = latent.copy()
    counts = csr_matrix(mmread(counts_path, spmatrix=False).T, dtype=np.float32)
    protein = AnnData(counts, obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=proteins))
    obs = metadata.loc[cells].rename(columns=LABELS).astype("category")
    return assemble({"rna": rna, "prot": protein}, obs.assign(batch=obs["donor"]))
