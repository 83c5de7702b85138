"""Gaussian modalities that share some features."""

from mudata import MuData

from clipdim.datasets._correlated import correlated


def linear(n_cells: int = 12_000, n_shared: int = 5, *, d_x: int = 20, d_y: int = 20, random_state: int = 0) -> MuData:
    """Two modalities of standard normal features, the first of which are the same in both.

    ``y`` is N(0, I) and so is ``x``, independently, except that ``x_j = y_j`` for ``j = 1, ..., n_shared``.

    Parameters
    ----------
    n_cells
        Number of cells.
    n_shared
        Number of features that both have, at most ``d_x`` and ``d_y``; with 0 the
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
        what is shared, float32 (``n_cells`` x ``n_shared``)
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
    Gui, Ma and Ma, NeurIPS 2025, section on synthetic data, "linear".

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.linear(n_cells=100, n_shared=3)
    >>> equal = mdata["x"].X == mdata["y"].X
    >>> int(equal.all(axis=0).sum())
    3
    """
    return correlated(
        lambda shared: shared, n_cells=n_cells, n_shared=n_shared, d_x=d_x, d_y=d_y, random_state=random_state
    )
