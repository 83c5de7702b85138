"""Small raw counts of two modalities that share two latent dimensions."""

from contextlib import contextmanager

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData


def _counts(rng, rate):
    """Negative-binomial counts, whole numbers in float32 as most files have them."""
    return rng.poisson(rng.gamma(2.0, rate / 2.0)).astype(np.float32)


@pytest.fixture
def make_mdata():
    """Return a function that makes a MuData with an RNA and a protein modality of raw counts."""

    def make(n_cells=300, n_genes=150, n_proteins=12, *, seed=0, cells="cell"):
        rng = np.random.default_rng(seed)
        weights = np.random.default_rng(0)  # genes mean the same in every sample
        shared = rng.normal(size=(n_cells, 2))
        of_genes = np.exp(0.6 * shared @ weights.normal(size=(2, n_genes)) + weights.normal(-0.5, 1, n_genes))
        of_proteins = np.exp(0.6 * shared @ weights.normal(size=(2, n_proteins)) + weights.normal(3, 1, n_proteins))
        obs = pd.DataFrame(index=[f"{cells}{i}" for i in range(n_cells)])
        adatas = {}
        for name, prefix, rate in (("rna", "gene", of_genes), ("prot", "protein", of_proteins)):
            var = pd.DataFrame(index=[f"{prefix}{i}" for i in range(rate.shape[1])])
            adatas[name] = AnnData(_counts(rng, rate), obs=obs.copy(), var=var)
        mdata = mudata.MuData(adatas)
        mdata.obs["batch"] = pd.Categorical(np.where(np.arange(n_cells) % 3 == 0, "a/1", "b"))
        return mdata

    return make


@pytest.fixture
def mdata(make_mdata):
    """300 cells, 150 genes, 12 proteins; ``.obs["batch"]`` is ``a/1`` or ``b``."""
    return make_mdata()


def _contents(mdata):
    """Everything that preprocessing might change, copied."""
    return {
        name: {
            "X": adata.X.copy(),
            "layers": set(adata.layers),
            "obsm": set(adata.obsm),
            "varm": set(adata.varm),
            "uns": set(adata.uns),
            "var": list(adata.var.columns),
            "obs": list(adata.obs.columns),
        }
        for name, adata in mdata.mod.items()
    }


@pytest.fixture
def assert_unchanged():
    """Return a context manager: whatever happens inside, the MuData is afterwards what it was."""

    @contextmanager
    def unchanged(mdata):
        before = _contents(mdata)
        yield
        after = _contents(mdata)
        for name, contents in before.items():
            np.testing.assert_array_equal(after[name].pop("X"), contents.pop("X"))
        assert after == before

    return unchanged
