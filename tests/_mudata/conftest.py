import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData


@pytest.fixture
def adata():
    """Return a function that makes an AnnData of named cells with features in ``X``."""

    def make(cells, values=None, *, prefix="f", **obsm):
        values = np.arange(len(cells) * 3.0).reshape(-1, 3) if values is None else values
        made = AnnData(values, obs=pd.DataFrame(index=list(cells)))
        made.var_names = [f"{prefix}{i}" for i in range(made.n_vars)]
        made.obsm.update(obsm)
        return made

    return make


@pytest.fixture
def mdata(adata):
    """Cells a, b, c of both modalities, d of the first only, e of the second only; in other orders."""
    rna = adata("dcba", np.arange(12.0).reshape(4, 3) + 0.5, prefix="gene")
    prot = adata("beca", np.arange(8.0).reshape(4, 2) - 0.5, prefix="protein")
    return mudata.MuData({"rna": rna, "prot": prot})


@pytest.fixture
def wrap(adata):
    """Return a function that makes a MuData with the values in ``.obsm["X_rep"]``, or ``X``, of modality ``m``."""

    def make(values, *, in_x=False):
        n = values.shape[0]
        cells = [f"c{i}" for i in range(n)]
        holder = adata(cells, values) if in_x else adata(cells, np.zeros((n, 1), np.float32), X_rep=values)
        return mudata.MuData({"m": holder})

    return make
