"""Verified, cached copies of the files of data sets, each of which says in its own file where they come from."""

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


def cache_folder() -> Path:
    """Folder of the downloaded files: ``CLIPDIM_DATA_DIR``, else the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given).expanduser() if given else Path(pooch.os_cache("clipdim"))


def fetch(*files: RemoteFile) -> list[Path]:
    """Paths of verified copies of the files, downloading those that the cache lacks or has damaged."""
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
