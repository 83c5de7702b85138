"""The layout of the two Gaussian data sets, whose functions differ only in what y hands on to x."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from clipdim import _check
from clipdim.datasets._assemble import assemble


def correlated(
    link: Callable[[np.ndarray], np.ndarray], *, n_cells: int, n_shared: int, d_x: int, d_y: int, random_state: int
) -> MuData:
    """Two modalities of standard normal features, but x has ``link(shared)`` of y's first ``n_shared`` ones."""
    n_cells = _check.integer("n_cells", n_cells, least=1)
    d_x, d_y = _check.integer("d_x", d_x, least=1), _check.integer("d_y", d_y, least=1)
    n_shared = _check.integer("n_shared", n_shared, least=0)
    if n_shared > min(d_x, d_y):
        msg = (
            f"n_shared={n_shared} dimensions cannot be shared by modalities of d_x={d_x} and d_y={d_y}; give at least "
            f"{n_shared} to both"
        )
        raise ValueError(msg)
    rng = np.random.default_rng(_check.seed(random_state))
    y = rng.standard_normal((n_cells, d_y), dtype=np.float32)
    x = rng.standard_normal((n_cells, d_x), dtype=np.float32)
    x[:, :n_shared] = link(y[:, :n_shared])
    cells = pd.Index([f"cell_{i}" for i in range(n_cells)])
    modalities = {"x": modality("x", x, cells), "y": modality("y", y, cells)}
    mdata = assemble(modalities, pd.DataFrame(index=cells), {"shared": y[:, :n_shared]})
    mdata.uns["truth"] = {"n_shared": n_shared}
    return mdata


def modality(name: str, features: np.ndarray, cells: pd.Index) -> AnnData:
    """(cells x features) with the features named ``{name}_1``, ``{name}_2``, ..."""
    var = pd.DataFrame(index=[f"{name}_{i}" for i in range(1, features.shape[1] + 1)])
    return AnnData(features, obs=pd.DataFrame(index=cells), var=var)
