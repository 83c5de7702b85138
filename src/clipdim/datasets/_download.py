"""Where the files of the data sets come from, and their verified, cached copies."""

import os
from dataclasses import dataclass
from pathlib import Path

import pooch

CACHE_VARIABLE = "CLIPDIM_DATA_DIR"
TIMEOUT = (5, 30)  # seconds to connect, and between two pieces of a file


class DownloadError(OSError):
    """A file of a data set is not in the cache and cannot be downloaded, or is not the file that was published."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a public repository at a fixed commit."""

    repository: str
    commit: str
    path: str
    sha256: str

    @property
    def url(self) -> str:
        """Address of exactly this version."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{self.path}"

    @property
    def name(self) -> str:
        """Name in the cache."""
        return self.path.rsplit("/", maxsplit=1)[-1]


_TOTALVI = ("YosefLab/totalVI_reproducibility", "27d65a9c49182f39df0c4325249bc7dc8e663dd0")
_SCMM = ("kodaim1115/scMM", "c5c8579dd088883a31f220170c39393084ff4c03")

PBMC10K_RNA = RemoteFile(
    *_TOTALVI,
    path="data/raw_data/pbmc10k_harmo_rna.csv.gz",
    sha256="77cacfec0e17dce2a9b00c479a07a162e29dc9263ff5dc4cb5235df4679baba9",
)
PBMC10K_PROTEIN = RemoteFile(
    *_TOTALVI,
    path="data/raw_data/pbmc10k_harmo_pro.csv.gz",
    sha256="184afe670d264b598e24cca73ccfd4f07c7bde696b8fb4cb53ba62d89b13f048",
)
PBMC10K_LABELS = RemoteFile(
    "tarot0410/BREMSC",
    "d5b89c26c9b25f3df3ebdcec2372ba108a100638",
    path="data/RealData/10X10k/truth_10X10k.csv",
    sha256="3ede3f6ca2f4245bb585b3b1afd4d1d9c737bcccb0424e4069979e2a6572e8a9",
)
BMCITE_LATENT = RemoteFile(
    "tarot0410/SECANT",
    "899947b332ecd4082c8b181f4b480dea90998253",
    path="real_data/Bone_marrow/bm_latent_D10_full.csv",
    sha256="4471578d1bb2adb9077c1a6914cc428b7fef133494aeaf5b17e24a45a51f9bbc",
)
BMCITE_METADATA = RemoteFile(
    "naity/citeseq_autoencoder",
    "6e90b586b6ef6280c83ce7dcdb0c7cca5dd932cc",
    path="data/metadata.csv.gz",
    sha256="5d5bc3fb966ff6624a0ef38d819f9b0cc1e7c4767b4380c30960f534582ea609",
)
BMCITE_PROTEIN = RemoteFile(
    *_SCMM,
    path="data/BMNC/CITE-seq/Protein_count.mtx",
    sha256="2712deb1674c88ee82c4820e2a8d75e1419f6b8b3b0d700cc42f1bdee74af098",
)
BMCITE_BARCODES = RemoteFile(
    *_SCMM,
    path="data/BMNC/CITE-seq/barcode.tsv",
    sha256="a5910735e6cb5fa4ae9045933585418e8203df18b84831f637057a5db7660b0a",
)
BMCITE_PROTEIN_NAMES = RemoteFile(
    *_SCMM,
    path="data/BMNC/CITE-seq/protein.tsv",
    sha256="44e21cf16ed07f3386f962d9f2db4beca4cc6660366a27ab04dfddb51cd30543",
)
PBMC_MOSAIC = RemoteFile(
    "labomics/midas",
    "5f0f57973bd6bea6f9ed034fffb4d9b3aa703777",
    path="src/scmidas/data/quickstart_pbmc_mosaic.h5mu",
    sha256="ba7e65819b77dca7cae0473043893a471920e25a07ee08bc91b3eb9fcc2e1cdd",
)


def cache_folder() -> Path:
    """Folder of the downloaded files: ``CLIPDIM_DATA_DIR``, else the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given).expanduser() if given else Path(pooch.os_cache("clipdim"))


def fetch(*files: RemoteFile) -> list[Path]:
    """
    Paths of verified copies of the files, downloading those that the cache lacks or has damaged.

    Raises
    ------
    DownloadError
        If one is missing or damaged and cannot be replaced by what was published.
    """
    folder = cache_folder()
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT)
    for file in files:
        try:
            pooch.retrieve(file.url, file.sha256, fname=file.name, path=folder, downloader=downloader)
        except (OSError, ValueError) as error:  # no network, no such page, folder not writable; another hash
            raise DownloadError(_explanation(file, files, folder, error)) from error
    return [folder / file.name for file in files]


def _explanation(failed: RemoteFile, files: tuple[RemoteFile, ...], folder: Path, error: Exception) -> str:
    path = folder / failed.name
    if isinstance(error, ValueError):
        what = f"what {failed.url} served is not the published file (its sha256 differs) and was thrown away"
    elif path.exists():
        what = (
            f"{path} is damaged (its sha256 is not that of the published file) and cannot be downloaded anew: {error}"
        )
    else:
        what = f"{path} does not exist and cannot be downloaded: {error}"
    lacking = [file for file in files if not _is_intact(folder / file.name, file.sha256)]
    wanted = "\n".join(f"  {file.url}\n    sha256 {file.sha256}\n    to {folder / file.name}" for file in lacking)
    return (
        f"{what}\nDownload by other means:\n{wanted}\nor set {CACHE_VARIABLE} to a folder that has these files (or can "
        "be written to), or use simulated cells: clipdim.datasets.simulate_citeseq()"
    )


def _is_intact(path: Path, sha256: str) -> bool:
    return path.is_file() and pooch.file_hash(str(path)) == sha256
