import copy
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import issparse


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


@pytest.fixture(scope="session")
def plain():
    """Return the default recipe without a choice by validation cells: it trains once, on all training cells."""
    from clipdim.contrast import RECIPES

    return replace(RECIPES["default"], shrink=False, adaptive_noise=False)


@pytest.fixture(scope="session")
def make_mdata():
    """
    Return a function that makes a MuData whose modalities show shared latent dimensions and noise of their own.

    A seed stands for a sample; what a feature means is the same in every sample. The last ``lacking`` cells lack the
    first modality, the first ``lacking`` the others. Rows are shuffled in each modality unless ``shuffled`` is False.
    """

    def make(n_cells=300, n_shared=3, *, names=("rna", "prot"), lacking=0, shuffled=True, seed=0):
        rng = np.random.default_rng(seed)
        latent = rng.normal(size=(n_cells, n_shared))
        modalities = {}
        for place, (name, n_features) in enumerate(zip(names, (12, 8, 10), strict=False)):
            loadings = np.random.default_rng(n_features).normal(size=(n_shared, n_features))
            values = (latent @ loadings + 0.3 * rng.normal(size=(n_cells, n_features))).astype(np.float32)
            cells = pd.Index([f"cell{i}" for i in range(n_cells)])
            rows = np.arange(lacking, n_cells) if place else np.arange(n_cells - lacking)
            rows = rng.permutation(rows) if shuffled else rows
            modalities[name] = AnnData(values[rows], obs=pd.DataFrame(index=cells[rows]))
            modalities[name].var_names = [f"{name}{i}" for i in range(n_features)]
        return mudata.MuData(modalities)

    return make


@pytest.fixture(scope="session")
def make_fit():
    """
    Return a function that makes the record of a fit that was not trained.

    It takes the number of features of each modality, the out_dim and entries of the record that shall be others.
    """
    import torch

    from clipdim._mudata import Dimension, Fit, Params
    from clipdim.contrast import ContrastiveModel, Recipe

    def make(n_features, out_dim, **entries):
        recipe = Recipe(width=4, n_hidden=1, max_epochs=1)
        model = ContrastiveModel.create(n_features, out_dim, recipe).initialize(torch.Generator().manual_seed(0))
        params = Params(
            out_dim=out_dim,
            modalities=list(n_features),
            use_rep=dict.fromkeys(n_features, "X_rep"),
            batch_key=None,
            holdout=0.1,
            random_state=0,
            device="cpu",
            n_epochs=1,
            recipe=recipe,
        )
        nothing = Dimension(1.5, 1.0, 2.0, "mle", "harmonic", 20, 0, "held-out")
        columns = {name: [np.nan] for name in ("loss", "temperature", "held_out_loss")}
        pairs = pd.DataFrame(model.pairs, columns=["first", "second"])
        whole = {
            "params": params,
            "history": pd.DataFrame(columns, index=pd.RangeIndex(1, name="epoch")),
            "temperature": 0.1,
            "pairs": pairs.assign(temperature=0.1, intrinsic_dimension=np.nan),
            "intrinsic_dimension": dict.fromkeys([*n_features, "joint"], nothing),
            "encoders": {name: encoder.to_arrays() for name, encoder in model.encoders.items()},
            "features": {},
        }
        return Fit(**{**whole, **entries})

    return make


@pytest.fixture
def through_file(tmp_path):
    """
    Return a function that writes a MuData in a format, `"h5mu"` or `"zarr"`, and reads it back.

    zarr in memory: of a small MuData the many files of its folder take most of the time.
    """

    def write_and_read(mdata, form):
        if form == "zarr":
            store = pytest.importorskip("zarr").storage.MemoryStore()
            mdata.write_zarr(store)
            return mudata.read_zarr(store)
        path = tmp_path / f"written{len(list(tmp_path.iterdir()))}.h5mu"
        mdata.write_h5mu(path)
        return mudata.read_h5mu(path)

    return write_and_read


def _contents(mdata):
    """All that a MuData holds, copied, in nested dicts."""
    return {
        name: {
            "X": getattr(data, "X", None) is not None and data.X.copy(),
            **{slot: getattr(data, slot).copy() for slot in ("obs", "var")},
            **{
                slot: copy.deepcopy(dict(getattr(data, slot)))
                for slot in ("obsm", "varm", "obsp", "uns", "layers")
                if getattr(data, slot, None) is not None
            },
        }
        for name, data in (("mdata", mdata), *mdata.mod.items())
    }


def _assert_same(found, expected, where=""):
    """Equal bit for bit, types of arrays included; strings and numbers may come back as their numpy kin."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), where
        for name, value in expected.items():
            _assert_same(found[name], value, f"{where}/{name}")
    elif isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, check_exact=True, obj=where)
    elif isinstance(expected, np.ndarray):
        assert isinstance(found, np.ndarray), where
        if expected.dtype.kind == "O":
            assert found.tolist() == expected.tolist(), where
        else:
            assert found.dtype == expected.dtype, where
            np.testing.assert_array_equal(found, expected, err_msg=where)
    elif issparse(expected):
        assert type(found) is type(expected), where
        assert (found != expected).nnz == 0, where
    else:
        assert (found is None) == (expected is None), where
        assert found == expected, where


@pytest.fixture
def assert_same():
    """Return the comparison of nested dicts of arrays, tables, numbers, strings and None."""
    return _assert_same


@pytest.fixture
def unchanged():
    """Return a context manager: whatever happens inside, the MuData is afterwards what it was."""

    @contextmanager
    def context(mdata):
        before = _contents(mdata)
        yield
        _assert_same(_contents(mdata), before)

    return context
