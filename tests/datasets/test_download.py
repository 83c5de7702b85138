import re
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

from clipdim import datasets
from clipdim.datasets._download import RemoteFile, cache_folder, fetch

MODULES = [import_module(f"clipdim.datasets.{info.name}") for info in iter_modules(datasets.__path__)]
REGISTRY = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, RemoteFile)
}
CONTENT = b"published\n"
FILE = RemoteFile("owner/repository", "c0ffee", "folder/file.csv", sha256(CONTENT).hexdigest())
OTHER = RemoteFile("owner/repository", "c0ffee", "folder/other.csv", sha256(b"other").hexdigest())


def test_registry():
    assert len(REGISTRY) == 9
    for file in REGISTRY.values():
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert re.fullmatch(r"[0-9a-f]{40}", file.commit)
        assert re.fullmatch(r"https://raw\.githubusercontent\.com/[\w.-]+/[\w.-]+/[0-9a-f]{40}/[\w./-]+", file.url)
    for attribute in ("url", "name", "sha256"):
        assert len({getattr(file, attribute) for file in REGISTRY.values()}) == len(REGISTRY)


@pytest.mark.parametrize("file", REGISTRY.values(), ids=REGISTRY)
def test_registry_has_the_hashes_of_the_real_files(file, real_cache):
    assert sha256((real_cache(file.name) / file.name).read_bytes()).hexdigest() == file.sha256


def test_download_once(network, cache):
    network.pages[FILE.url] = CONTENT
    for _ in range(2):
        (path,) = fetch(FILE)
        assert path == cache / "file.csv"
        assert path.read_bytes() == CONTENT
    assert network.asked == ["https://raw.githubusercontent.com/owner/repository/c0ffee/folder/file.csv"]


def test_cached_files_need_no_network_and_no_writing(network, cache, monkeypatch):
    cache.mkdir()
    (cache / "file.csv").write_bytes(CONTENT)

    def forbidden(*_, **__):
        raise PermissionError

    for name in ("os.makedirs", "tempfile.NamedTemporaryFile", "shutil.move"):
        monkeypatch.setattr(name, forbidden)
    assert fetch(FILE) == [cache / "file.csv"]
    assert not network.asked


def test_folder_is_read_when_called(cache, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.setenv("CLIPDIM_DATA_DIR", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"
    for reset in (lambda: monkeypatch.setenv("CLIPDIM_DATA_DIR", ""), lambda: monkeypatch.delenv("CLIPDIM_DATA_DIR")):
        reset()
        assert cache_folder().name == "clipdim"


@pytest.mark.parametrize(
    ("load", "prefix"), [(datasets.pbmc10k, "_pbmc10k."), (datasets.bmcite, "_bmcite.")], ids=["pbmc10k", "bmcite"]
)
def test_offline_says_what_to_do(load, prefix, network, cache):
    with pytest.raises(datasets.DownloadError, match="does not exist and cannot be downloaded: no network") as caught:
        load()
    message = str(caught.value)
    for name, file in REGISTRY.items():
        wanted = [file.url, file.sha256, str(cache / file.name)]
        assert [text in message for text in wanted] == [name.startswith(prefix)] * 3
    assert "clipdim.datasets.simulate_citeseq()" in message
    assert "CLIPDIM_DATA_DIR" in message
    assert len(network.asked) == 1  # no retries
    assert isinstance(caught.value, OSError)


def test_offline_lists_only_what_is_lacking(cache):
    cache.mkdir()
    (cache / "file.csv").write_bytes(CONTENT)
    with pytest.raises(datasets.DownloadError) as caught:
        fetch(FILE, OTHER)
    assert OTHER.url in str(caught.value)
    assert FILE.url not in str(caught.value)


def test_damaged_file_offline(cache):
    cache.mkdir()
    (cache / "file.csv").write_bytes(CONTENT[:-1])
    with pytest.raises(
        datasets.DownloadError, match=r"file\.csv is damaged .* cannot be downloaded anew: no network"
    ) as caught:
        fetch(FILE)
    assert f"{FILE.url}\n    sha256 {FILE.sha256}\n    to {cache / 'file.csv'}" in str(caught.value)
    assert (cache / "file.csv").read_bytes() == CONTENT[:-1]


def test_damaged_file_is_replaced(network, cache):
    cache.mkdir()
    (cache / "file.csv").write_bytes(CONTENT[:-1])
    network.pages[FILE.url] = CONTENT
    fetch(FILE)
    assert (cache / "file.csv").read_bytes() == CONTENT


def test_damaged_download_is_rejected(network, cache):
    network.pages[FILE.url] = b"<html>log in to this hotel's network</html>"
    with pytest.raises(datasets.DownloadError, match=r"is not the published file .* was thrown away"):
        fetch(FILE)
    assert list(cache.iterdir()) == []


def test_folder_that_cannot_be_made(network, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLIPDIM_DATA_DIR", str(tmp_path / "file" / "cache"))
    network.pages[FILE.url] = CONTENT
    with pytest.raises(datasets.DownloadError, match="to a folder that has these files"):
        fetch(FILE)
