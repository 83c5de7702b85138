from matplotlib.axes import Axes
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import read_fit
from clipdim.pl._dimension_by_group import draw_by_group
from clipdim.pl._dimension_on_basis import draw_on_basis
from clipdim.pl._dimension_training import draw_training
from clipdim.pl._style import styled


@styled
def intrinsic_dimension(
    mdata: MuData,
    *,
    groupby: str | None = None,
    basis: str | None = None,
    key: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """
    Draw the intrinsic dimension of each modality's embedding: along training, by group, or around each cell on a map.

    This is a property of the embeddings, in which some of one modality's own may be left. How many dimensions the
    modalities share is drawn by :func:`clipdim.pl.shared_dimension`.

    **Along training**, by default. The final estimates, of each modality and of the joint embedding, stand to the
    right of the last epoch with their intervals. The curves are taken around the same 100 cells in each epoch, and
    brought to the final estimate, around all cells, by one factor: they end at it. The dashed line marks ``out_dim``;
    where that is far above the estimates it lies outside, and is only named. The theory has the intrinsic dimension
    settle at the number of shared dimensions, whatever ``out_dim`` is (Gui, Ma and Ma, NeurIPS 2025, section 3.2).

    **By group**, with ``groupby``. Groups are in order of the joint dimension, with 95 % intervals and the number of
    their cells. The more cells, the higher the estimate: compare groups that were measured with ``n_per_group``.

    **On a map**, with ``basis``. The value around one cell errs by a quarter, so each cell has the colour of the
    harmonic mean over the 50 measured cells that are nearest on the map. Cells that were not measured are grey. Where
    cells are many, neighbours are closer and values higher; measured by group with ``n_per_group``, cells have values
    from equally many. ``muon.pl.embedding(mdata, "X_umap", color="intrinsic_dimension")`` draws them without the mean.

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`, and with ``groupby`` or ``basis`` measured by
        :func:`clipdim.tl.intrinsic_dimension`; not changed.
    groupby
        The column that groups were measured by.
    basis
        Name of an embedding in ``mdata.obsm``, as ``"X_umap"``; its first two columns are drawn.
    key
        The ``key_added`` of the fit, by default ``"clipdim"``; with ``groupby`` or ``basis`` that of
        :func:`clipdim.tl.intrinsic_dimension`, by default ``"intrinsic_dimension"``.
    ax
        Axes to draw on; by default those of a new figure, taller the more groups there are.

    Returns
    -------
    The Axes.

    Raises
    ------
    KeyError
        If there is no fit, or no dimensions by this column or around cells, under ``key``; if the column or the
        embedding is missing.
    TypeError
        If ``mdata`` is not a MuData, or ``ax`` not an Axes.
    ValueError
        If both ``groupby`` and ``basis`` are given, the embedding has one column, or no measured cell is on it.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> ax = clipdim.pl.intrinsic_dimension(mdata)
    >>> ax.get_xlabel()
    'epoch'
    >>> by_type = {"groupby": "cell_type", "n_per_group": 25, "cells": "all"}
    >>> table = clipdim.tl.intrinsic_dimension(mdata, **by_type, key_added="intrinsic_dimension")
    >>> ax = clipdim.pl.intrinsic_dimension(mdata, groupby="cell_type")
    >>> ax.get_xlabel()
    'intrinsic dimension (MLE)'
    """
    if groupby is not None and basis is not None:
        msg = f"groupby={groupby!r} and basis={basis!r} are two figures; pass one of them"
        raise ValueError(msg)
    if groupby is not None:
        return draw_by_group(mdata, groupby, key, ax)
    if basis is not None:
        return draw_on_basis(mdata, basis, key, ax)
    return draw_training(read_fit(mdata, _keys.KEY if key is None else key), ax)
