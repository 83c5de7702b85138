"""``tl.loadings``: which features go along with each principal direction of the joint embedding."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _check, _keys, _mudata
from clipdim.contrast.distillation import principal_axes
from clipdim.evaluation.loading_table import Block, column_signs, loading_table
from clipdim.evaluation.loadings import correlations

MAX_DIRECTIONS = 10
MIN_CELLS = 10
# fewer make the agreement of held-out cells too uncertain: its standard error is up to 1 / sqrt(n)
MIN_HELD_OUT = 100
CELLS = ("all", _keys.TRAIN, _keys.HELD_OUT)


def loadings(
    mdata: MuData,
    *,
    n_directions: int | None = None,
    cells: Literal["all", "train", "held-out"] = "all",
    dimensions: Literal["shared", "private"] = "shared",
    layer: str | Mapping[str, str] | None = None,
    key: str = _keys.KEY,
) -> pd.DataFrame:
    """
    Find the features of each modality, as genes and proteins, that go along with each direction of the embedding.

    Directions are the principal axes of the joint embedding of the training cells, centred, so that the positions of
    cells along two of them are uncorrelated. The loading of a feature is its correlation, over cells, with their
    position along the direction *by their other modalities*: that of a gene with where the proteins put the cell, that
    of a protein with where the RNA does. So only what modalities share has a loading, and features of several
    modalities with loadings of one sign on one direction rise and fall together. All measured features get loadings,
    also genes that the encoders do not read.

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`, with normalised values in ``X`` of each modality.
    n_directions
        Number of directions; by default 10, or ``out_dim`` where that is smaller. A modality that has fewer private
        dimensions gets all of them.
    cells
        Cells to correlate over, of those with two modalities or more: ``"all"``, ``"train"`` or ``"held-out"``.
    dimensions
        ``"shared"``: the directions of the joint embedding. ``"private"``: the private dimensions of each modality, as
        :func:`clipdim.tl.private` writes them; a loading is then the correlation with those of the feature's own
        modality, over all its cells, and has no ``agreement``.
    layer
        Layer to take the values from in place of ``X``, or a dict of layers by modality.
    key
        The ``key_added`` of the fit.

    Returns
    -------
    DataFrame with a row for each direction and feature:

    ``modality``, ``feature`` : categorical
        Names, as in ``mdata.mod`` and the modality's ``.var_names``.
    ``direction`` : int64
        From 1, the direction of the largest variance.
    ``loading`` : float64
        Correlation, -1 to 1; NaN for a feature that is constant. The sign of a direction, which is arbitrary, makes its
        largest loading in absolute value positive; that of a private dimension is as it is stored.
    ``variance`` : float64
        Share of the variance of the training cells' joint embedding that the direction has; of a private dimension its
        share of the modality's private variance.
    ``agreement`` : float64
        Correlation between the positions along the direction by this modality and by the others, on held-out cells, or
        on training cells where fewer than 100 were held out. Where it is near 0 the direction is of one modality or
        noise.
    ``n_cells`` : int64
        Number of cells that the loading is over.

    Written are the table, to ``mdata.uns[key]["loadings"]``, and the directions, float32 (out_dim x directions), to
    ``mdata.uns[key]["directions"]``: ``mdata.obsm["X_clipdim"] @ mdata.uns["clipdim"]["directions"]`` are the positions
    of the cells, for ``sc.pl.embedding``. Private ones go to ``mdata.uns[key]["private_loadings"]``.

    Raises
    ------
    TypeError
        If ``mdata`` is not a MuData, an argument is of a wrong type, or values are no numbers.
    KeyError
        If there is no fit of that name, or a modality of it, its embedding, its private dimensions or a layer is
        missing.
    ValueError
        If ``mdata`` is a view, ``n_directions`` is not in 1 to ``out_dim`` (or the private dimensions of the modality
        that has most), ``cells`` is unknown, fewer than 10 such cells have a modality and another one, feature names
        repeat, or values are missing, not finite or all constant. ``mdata`` is unchanged then.

    Warns
    -----
    UserWarning
        If values look like raw counts, or are a latent space that lies in ``X``.

    Notes
    -----
    Loadings are correlations and not weights or gradients of the encoders, since features that rise and fall together
    share a weight in any proportion, and features that serve to subtract noise have one (Haufe and others). On
    simulated data they find which features share; ``python -m benchmarks.interpretation.loadings`` compares the
    definitions.

    Training cells are used because what encoders know of them by heart adds little: with 800 of them, loadings on
    directions that modalities agree on are as large as in new cells, and those of a hundred held-out cells are far less
    certain. Where modalities share nothing it does show (up to .25 with 7,000 cells of pbmc10k paired at random), and
    the agreement is near 0. Cells of several batches are correlated all together.

    References
    ----------
    Haufe and others, On the interpretation of weight vectors of linear models in multivariate neuroimaging, NeuroImage
    87, 2014. The correlation with another set's variates is the cross-loading of canonical correlation analysis.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> table = clipdim.tl.loadings(mdata, n_directions=3)
    >>> len(table), sorted(table["modality"].unique())
    (6090, ['prot', 'rna'])
    """
    fit = _mudata.read_fit(_mudata.require_mudata(mdata), key)
    embeddings = _mudata.read_embeddings(mdata, fit, key)
    layers = _mudata.resolve_layers(layer, embeddings.modalities)
    _check.choice("cells", cells, CELLS)
    if _check.choice("dimensions", dimensions, ("shared", "private")) == "private":
        table = _of_private(mdata, embeddings, n_directions, cells, layers, key)
        _mudata.write_fit(mdata, replace(fit, private_loadings=table), key=key)
        return table.copy()
    n = _check_directions(n_directions, embeddings.joint.shape[1], "dimensions of the embedding (out_dim of the fit)")
    axes, variance = _directions(embeddings, n, key)
    rows, blocks = _mudata.cell_rows(mdata, embeddings.modalities), []
    for column, name in enumerate(embeddings.modalities):
        others = embeddings.mean([other for other in embeddings.modalities if other != name]) @ axes
        used = _used(embeddings, name, np.isfinite(others).all(axis=1), cells)
        positions = np.full((mdata[name].n_obs, n), np.nan)
        positions[rows[used, column]] = others[used]
        blocks.append(
            Block(
                modality=name,
                features=mdata[name].var_names,
                found=_of_features(mdata, name, positions, layers.get(name)),
                variance=variance,
                agreement=_agreement(embeddings, name, others, axes),
                n_cells=int(used.sum()),
            )
        )
    signs = column_signs(np.concatenate([block.found for block in blocks]))
    table = loading_table([replace(block, found=block.found * signs) for block in blocks])
    _mudata.write_fit(mdata, replace(fit, loadings=table, directions=(axes * signs).astype(np.float32)), key=key)
    return table.copy()


def _directions(embeddings: _mudata.Embeddings, n: int, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Principal axes of the training cells, (out_dim x n), and their shares of the variance, (n,)."""
    points = embeddings.joint[embeddings.of_split(_keys.TRAIN)].astype(np.float64)
    if len(points) < MIN_CELLS:
        msg = (
            f"{len(points)} cells of .obs[{_keys.split(key)!r}] are training cells with two modalities, at least "
            f"{MIN_CELLS} are needed for the directions; pass the whole MuData that was fitted"
        )
        raise ValueError(msg)
    points -= points.mean(axis=0)
    axes = principal_axes(points, n)
    return axes, np.square(points @ axes).sum(axis=0) / np.square(points).sum()


def _used(embeddings: _mudata.Embeddings, name: str, has_others: np.ndarray, cells: str) -> np.ndarray:
    """Which of the cells that have a modality and another one are correlated, (cells,) bool."""
    both = embeddings.having(name) & has_others
    used = both if cells == "all" else both & embeddings.of_split(cells)
    if used.sum() < MIN_CELLS:
        msg = (
            f"{used.sum()} cells of cells={cells!r} have {name!r} and another of {embeddings.modalities}, at "
            f"least {MIN_CELLS} are needed; pass cells='all', or the whole MuData that was fitted"
        )
        raise ValueError(msg)
    return used


def _agreement(embeddings: _mudata.Embeddings, name: str, others: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Correlation of a modality's positions with those of the others along each direction, (directions,)."""
    measured, _ = embeddings.measured(MIN_HELD_OUT, name)
    own = embeddings.by_modality[name][measured] @ axes
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array([np.corrcoef(own[:, k], others[measured, k])[0, 1] for k in range(axes.shape[1])])


def _of_private(
    mdata: MuData,
    embeddings: _mudata.Embeddings,
    n_directions: int | None,
    cells: str,
    layers: Mapping[str, str],
    key: str,
) -> pd.DataFrame:
    """Correlate each modality's features with its own private dimensions."""
    private, blocks = _mudata.read_private(mdata, embeddings.modalities, key), []
    rows = _mudata.cell_rows(mdata, embeddings.modalities)
    n = _check_directions(n_directions, max(own.shape[1] for own in private.values()), "private dimensions")
    for column, name in enumerate(embeddings.modalities):
        positions = np.array(private[name], dtype=np.float64)  # a copy: cells are left out in it
        if cells != "all":
            used = rows[embeddings.of_split(cells), column]
            used = used[used >= 0]
            if len(used) < MIN_CELLS:
                msg = f"{len(used)} cells of cells={cells!r} have {name!r}, at least {MIN_CELLS} are needed; "
                msg += "pass cells='all'"
                raise ValueError(msg)
            left_out = np.ones(len(positions), dtype=bool)
            left_out[used] = False
            positions[left_out] = np.nan
        variance = np.nanvar(positions, axis=0)
        share, positions = (variance / variance.sum())[:n], positions[:, :n]
        blocks.append(
            Block(
                name,
                mdata[name].var_names,
                # the signs are those of the dimensions as they are stored
                _of_features(mdata, name, positions, layers.get(name)),
                share,
                np.full_like(share, np.nan),
                int((~np.isnan(positions).any(axis=1)).sum()),
            )
        )
    return loading_table(blocks)


def _of_features(mdata: MuData, name: str, positions: np.ndarray, layer: str | None) -> np.ndarray:
    """Correlations of a modality's features with positions of its cells, NaN for cells that are left out."""
    values = _mudata.feature_matrix(mdata, name, layer)
    try:
        found = correlations(values, positions)
    except ValueError as error:
        msg = f"values of modality {name!r}: {error}; name a layer without them: layer={{{name!r}: ...}}"
        raise ValueError(msg) from error
    if np.isnan(found).all():
        n_cells = (~np.isnan(positions).any(axis=1)).sum()
        msg = f"every feature of modality {name!r} is constant over its {n_cells} cells (all zero?); "
        msg += f"name a layer with other values: layer={{{name!r}: ...}}"
        raise ValueError(msg)
    return found


def _check_directions(n_directions: int | None, n_dims: int, of: str) -> int:
    """Return the number of directions, by default 10 or as many as there are."""
    if n_directions is None:
        return min(MAX_DIRECTIONS, n_dims)
    return _check.integer("n_directions", n_directions, least=1, most=n_dims, hint=f"there are {n_dims} {of}")
