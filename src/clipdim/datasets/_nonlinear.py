"""Gaussian modalities of which one has rectified features of the other."""

import numpy as np
from mudata import MuData

from clipdim.datasets._correlated import correlated


def nonlinear(
    n_cells: int = 12_000, n_shared: int = 5, *, d_x: int = 20, d_y: int = 20, random_state: int = 0
) -> MuData:
    """Two modalities, the first features of one being set to zero on parts of the range of the other's.

    ``y`` is N(0, I) and so is ``x``, independently, except for the features up to ``n_shared``:
    ``x_1 = y_1 * 1{y_1 < 0}``, ``x_2 = y_2 * 1{y_1 + y_2 > 0.5}`` and ``x_j = y_j * 1{y_j > 0}`` from the third on.
    Cells whose shared features are all zero cannot be told apart, so exact matching stays below 1, and the dimension of
    what is shared varies from cell to cell, with ``n_shared`` the largest.

    Parameters
    ----------
    n_cells
        Number of cells.
    n_shared
        Number of features of ``x`` that are functions of those of ``y``, at most ``d_x`` and ``d_y``; with 0 the
        modalities have nothing in common.
    d_x, d_y
        Number of features of each modality.
    random_state
        Seed. Global random state is not touched.

    Returns
    -------
    MuData with

    ``mdata["x"].X``, ``mdata["y"].X``
        features, dense float32 (``n_cells`` x ``d_x`` and ``n_cells`` x ``d_y``)
    ``mdata.obsm["shared"]``
        the features of ``y`` on which ``x`` depends, float32 (``n_cells`` x ``n_shared``)
    ``mdata.uns["truth"]``
        dict with ``n_shared``, the true dimension of what is shared

    Raises
    ------
    TypeError
        If a number is not an integer.
    ValueError
        If a number is too small, or ``n_shared`` exceeds ``d_x`` or ``d_y``.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, section on synthetic data, "nonlinear".

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.nonlinear(n_cells=100)
    >>> bool((mdata["x"].X[:, 0] <= 0).all())
    True
    """
    return correlated(_rectified, n_cells=n_cells, n_shared=n_shared, d_x=d_x, d_y=d_y, random_state=random_state)


def _rectified(shared: np.ndarray) -> np.ndarray:
    kept = shared > 0
    kept[:, :1] = shared[:, :1] < 0
    if shared.shape[1] > 1:
        kept[:, 1] = shared[:, 0] + shared[:, 1] > 0.5
    return shared * kept
