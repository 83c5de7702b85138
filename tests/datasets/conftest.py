"""The cache of real data, where there is one, and a network that is never the real one."""

import os
from pathlib import Path

import pooch
import pytest
import requests

REAL_CACHE = os.environ.get("CLIPDIM_DATA_DIR")  # tests set it anew


class FakeNetwork:
    """Serves ``pages`` (url -> bytes) to pooch and nothing else; ``asked`` are the urls that were wanted."""

    def __init__(self):
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []

    def download(self, url, output_file, _pooch, **_):
        self.asked.append(url)
        if url not in self.pages:
            msg = "no network"
            raise requests.exceptions.ConnectionError(msg)
        Path(output_file).write_bytes(self.pages[url])


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """Stand-in for the network; without pages, a computer that is offline."""
    fake = FakeNetwork()
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: fake.download)
    return fake


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Empty cache folder, not yet made."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CLIPDIM_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def real_cache(monkeypatch):
    """Return the folder with the real files, all of which must be there; a test never downloads them."""

    def find(*names: str) -> Path:
        if REAL_CACHE is None or not all((Path(REAL_CACHE) / name).is_file() for name in names):
            pytest.skip(f"{', '.join(names)} not in CLIPDIM_DATA_DIR")
        monkeypatch.setenv("CLIPDIM_DATA_DIR", REAL_CACHE)
        return Path(REAL_CACHE)

    return find
