import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the downloaded files; tests download nothing."""
    folder = os.environ.get("CLIPDIM_DATA_DIR")
    if not folder:
        pytest.skip("CLIPDIM_DATA_DIR is not set")
    return Path(folder)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
