"""Gaussian modalities that share some features."""

from mudata import MuData

from clipdim.datasets._correlated import correlated


def linear(n_cells: int = 12_000, *, n_dims: int = 20, n_shared: int = 5, random_state: int = 0) -> MuData:
    """
    Two modalities of standard normal features, the first of which are the same in both.

    ``y`` is N(0, I) and so is ``x``, independently, except that ``x_j = y_j`` for ``j = 1, ..., n_shared``.

    Parameters
    ----------
    n_cells
        Number of cells.
    n_dims
        Number of features of each modality.
    n_shared
        Number of features that both have, at most ``n_dims``.
    random_state
        Seed. Global random state is not touched.

    Returns
    -------
    MuData with

    ``mdata["x"].X``, ``mdata["y"].X``
        features, dense float32 (``n_cells`` x ``n_dims``)
    ``mdata.obsm["shared_latent"]``
        what is shared, float32 (``n_cells`` x ``n_shared``)
    ``mdata.uns["truth"]``
        dict with ``n_shared``

    Raises
    ------
    ValueError
        If a number is not an integer or too small, or ``n_shared`` exceeds ``n_dims``.

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
        lambda shared: shared, n_cells=n_cells, n_dims=n_dims, n_shared=n_shared, random_state=random_state
    )
