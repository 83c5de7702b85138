"""Surface protein: raw counts to principal components of centred log ratios."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.sparse import issparse

from clipdim import _check, _keys
from clipdim._mudata import (
    Prepared,
    batches_of,
    find_modality,
    has_column,
    match_features,
    raw_counts,
    require_mudata,
    stored_record,
    write_prepared,
)
from clipdim._warn import warn
from clipdim.pp._projection import SEEDS, Projection, learn, prepare

MIN_CELLS_OF_BATCH = 50
ALL_CELLS = ""  # the batch of a sample without batches


def protein(
    mdata: MuData,
    *,
    modality: str | None = None,
    n_comps: int | None = None,
    batch_key: str | None = None,
    reference: MuData | None = None,
    random_state: int = 0,
    copy: bool = False,
) -> MuData | None:
    """Transform the surface protein of a MuData to centred log ratios and their principal components.

    ``muon.prot.pp.clr`` across the cells of each protein, ``log(1 + x / exp(mean(log(1 + x))))``, then scaling
    (clipped at 10 standard deviations) and principal components by ``scanpy``.

    Parameters
    ----------
    mdata
        MuData with raw protein counts (cells x proteins), dense or sparse, in ``mdata[modality].layers["counts"]`` or,
        without that layer, in ``mdata[modality].X``. Calling it again starts from that layer and gives the same result.
    modality
        Name of the protein modality; found by itself when it is called ``prot``, ``protein`` or ``adt``.
    n_comps
        Number of principal components; reduced, with a warning, when there are too few cells or proteins.
        By default one less than the number of proteins that vary.
    batch_key
        Column of the modality's ``.obs``, else of ``mdata.obs``: the means are taken within its batches. Fewer than 50
        cells in a batch give a warning.
    reference
        A MuData preprocessed by this function, whose means, scaling and loadings are used instead of learning them
        anew. If it was preprocessed with a ``batch_key``, that column (or ``batch_key``, where it has another name
        here) says which of its batches each cell belongs to; cells of other batches, and all cells when there is no
        such column, are centred by the means of their own batch. Proteins are matched by name; one that is missing
        counts as the reference's mean.
    random_state
        Seed of the principal components' start vector. Global random state is not touched.
    copy
        Return a new MuData and leave the given one as it is.

    Returns
    -------
    None, or the new MuData with ``copy=True``. Written in ``mdata[modality]``:

    ``.layers["counts"]``
        the raw counts, as they were
    ``.X``
        centred log ratios of all proteins, dense float32
    ``.obsm["X_pca"]``
        principal components, float32 (cells x ``n_comps``)
    ``.varm["PCs"]``
        loadings, float32 (proteins x ``n_comps``), zero for the proteins that do not vary
    ``.uns["pca"]``
        variance and variance ratio of the components; absent with ``reference``
    ``.uns["clipdim_pp"]``
        what ``reference=`` reads; its ``basis`` is the same in a reference and in what was projected on it

    Raises
    ------
    TypeError
        If ``mdata`` or ``reference`` is not a MuData, the counts are not numbers in memory, or an argument is not
        an integer.
    ValueError
        If the values are not raw counts (negative, not integers, log-normalised, NaN, all zero), no modality or more
        than one has a usual name, feature names are not unique, no protein varies, a batch is missing, more than
        20 % of the reference's proteins are missing, ``batch_key`` is given for a reference that has none, ``mdata`` is
        a view, or a number is too small or large.
    KeyError
        If the modality or the column ``batch_key`` does not exist.
        Whenever an error is raised nothing was changed.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, section on CITE-seq (the input of the protein encoder are principal components).
    Stoeckius et al., Nature Methods 2017 (centred log ratio); Bredikhin et al., Genome Biology 2022 (muon).

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.protein(mdata, n_comps=10)
    >>> mdata["prot"].obsm["X_pca"].shape
    (300, 10)
    """
    mdata = require_mudata(mdata)
    n_comps = None if n_comps is None else _check.integer("n_comps", n_comps, least=1)
    random_state = _check.seed(random_state, below=SEEDS)
    name = find_modality(mdata, _keys.PROTEIN_NAMES, given=modality, call="clipdim.pp.protein(mdata, modality=...)")
    if reference is None:
        prepared = learn_protein(mdata, name, n_comps=n_comps, batch_key=batch_key, random_state=random_state)
    else:
        prepared = project_protein(mdata, name, reference=reference, batch_key=batch_key)
    return write_prepared(mdata, {name: prepared}, copy=copy)


def learn_protein(
    mdata: MuData, modality: str, *, n_comps: int | None, batch_key: str | None, random_state: int
) -> Prepared:
    """Results of ``protein`` for one modality, with nothing written."""
    counts, proteins = _dense_counts(mdata, modality)
    if batch_key is None:
        batches = _one_batch(len(counts))
    else:
        batches = batches_of(mdata, modality, batch_key)
        _warn_of_small(batches, known=pd.Index([]), modality=modality)
    X, denominators = _centred_log_ratio(counts, batches, pd.DataFrame(columns=proteins, dtype=np.float64))
    projection, variance = learn(X.copy(), proteins, n_comps=n_comps, modality=modality, random_state=random_state)
    record = {
        "function": "protein",
        "batch_key": batch_key,
        "batches": denominators.index.to_numpy(dtype=object),
        "proteins": proteins.to_numpy(dtype=object),
        "denominators": denominators.to_numpy(),
    }
    return prepare(X, proteins, projection, record=record, variance=variance)


def project_protein(mdata: MuData, modality: str, *, reference: MuData, batch_key: str | None) -> Prepared:
    """Results of ``protein`` for one modality on the components of a reference, with nothing written."""
    record = stored_record(reference, modality, "protein")
    projection = Projection.from_uns(record)
    counts, proteins = _dense_counts(mdata, modality)
    match_features(pd.Index(projection.features), proteins, modality)
    stored = pd.DataFrame(record["denominators"], index=record["batches"], columns=record["proteins"])
    batches = _batches_as_in(record["batch_key"], mdata, modality, batch_key)
    batches = _one_batch(len(counts)) if batches is None else batches
    _warn_of_small(batches, known=stored.index, modality=modality)
    X, _ = _centred_log_ratio(counts, batches, stored.reindex(columns=proteins))
    kept = {name: record[name] for name in ("batch_key", "batches", "proteins", "denominators")}
    return prepare(X, proteins, projection, record={"function": "protein", **kept})


def _dense_counts(mdata: MuData, modality: str) -> tuple[np.ndarray, pd.Index]:
    counts, proteins = raw_counts(mdata, modality)
    return np.asarray(counts.toarray() if issparse(counts) else counts, dtype=np.float64), proteins


def _one_batch(n_cells: int) -> np.ndarray:
    return np.full(n_cells, ALL_CELLS, dtype=object)


def _batches_as_in(stored_key: str | None, mdata: MuData, modality: str, batch_key: str | None) -> np.ndarray | None:
    """Batches of a new sample's cells by the names that the reference may know, None for one batch."""
    if stored_key is None:
        if batch_key is not None:
            msg = (
                f"batch_key={batch_key!r} is given, but the reference's protein was preprocessed without one and has "
                "the same means for all cells; leave batch_key out, or preprocess the reference with its batch_key"
            )
            raise ValueError(msg)
        return None
    if batch_key is None and not has_column(mdata, stored_key):
        return None
    return batches_of(mdata, modality, batch_key or str(stored_key))


def _warn_of_small(batches: np.ndarray, *, known: pd.Index, modality: str) -> None:
    sizes = pd.Series(batches).value_counts()
    small = sizes[(sizes < MIN_CELLS_OF_BATCH) & ~sizes.index.isin(known)]
    if len(small):
        named = ", ".join(
            f"{name!r} ({size})" if name != ALL_CELLS else f"all cells ({size})" for name, size in small.items()
        )
        msg = (
            f"centred log ratios of modality {modality!r} rest on few cells in these batches: {named}; with fewer than "
            f"{MIN_CELLS_OF_BATCH} cells of a batch their means are uncertain"
        )
        warn(msg)


def _centred_log_ratio(
    counts: np.ndarray, batches: np.ndarray, stored: pd.DataFrame
) -> tuple[np.ndarray, pd.DataFrame]:
    """Centred log ratios within batches, float32, and the denominators (batches x proteins).

    ``stored`` (batches x proteins) are denominators that are used instead of the cells' own; NaN where unknown.
    """
    from muon import prot

    X = np.empty(counts.shape, dtype=np.float32)
    denominators: dict[Any, np.ndarray] = {}
    for batch in np.unique(batches):
        rows = batches == batch
        ratios = counts[rows]
        denominators[batch] = np.exp(np.log1p(ratios).mean(axis=0))
        cells = AnnData(ratios)
        prot.pp.clr(cells)  # on dense float64: muon divides integers and sparse rows in place
        ratios = np.asarray(cells.X)
        if batch in stored.index:
            known = stored.loc[batch].notna().to_numpy()
            ratios[:, known] = np.log1p(counts[np.ix_(rows, known)] / stored.loc[batch].to_numpy()[known])
        X[rows] = ratios
    return X, pd.DataFrame.from_dict(denominators, orient="index")
