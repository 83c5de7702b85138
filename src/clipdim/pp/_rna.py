"""RNA: raw counts to principal components of the highly variable genes."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix, issparse
from sklearn.utils.sparsefuncs import inplace_row_scale

from clipdim import _check, _keys
from clipdim._mudata import (
    Prepared,
    batches_of,
    find_modality,
    match_features,
    raw_counts,
    require_mudata,
    stored_record,
    write_prepared,
)
from clipdim.pp._projection import SEEDS, Projection, learn, prepare

WITHOUT_COUNTS = (
    ". Without RNA counts (datasets.bmcite() has only a latent of its RNA) run only clipdim.pp.protein(mdata): "
    "clipdim.tl.fit takes such an X as it is"
)


def rna(
    mdata: MuData,
    *,
    modality: str | None = None,
    n_top_genes: int = 2000,
    n_comps: int = 50,
    batch_key: str | None = None,
    reference: MuData | None = None,
    random_state: int = 0,
    copy: bool = False,
) -> MuData | None:
    """Normalise, log-transform and reduce the RNA of a MuData to principal components.

    Each cell is scaled to the median total of the cells and log(1 + x) transformed; ``scanpy`` selects the highly
    variable genes, scales them (clipped at 10 standard deviations) and finds their principal components.

    Parameters
    ----------
    mdata
        MuData with raw RNA counts (cells x genes), dense or sparse, in ``mdata[modality].layers["counts"]`` or,
        without that layer, in ``mdata[modality].X``. Calling it again starts from that layer and gives the same result.
    modality
        Name of the RNA modality; found by itself when it is called ``rna`` or ``gex``.
    n_top_genes
        Number of highly variable genes (scanpy's default flavour). With fewer genes all that vary are used.
    n_comps
        Number of principal components; reduced, with a warning, when there are too few cells or genes.
    batch_key
        Column of the modality's ``.obs``, else of ``mdata.obs``: genes are chosen that vary within its batches.
    reference
        A MuData preprocessed by this function. Its target total, genes, scaling and loadings are used instead of
        learning them anew, so ``n_top_genes``, ``n_comps`` and ``batch_key`` have no effect. Totals are over the genes
        that both samples have. Genes are matched by name; one that is missing counts as the reference's mean.
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
        log-normalised expression of all genes, float32, sparse where the counts are
    ``.obsm["X_pca"]``
        principal components, float32 (cells x ``n_comps``)
    ``.varm["PCs"]``
        loadings, float32 (genes x ``n_comps``), zero for the genes that are not used
    ``.var["highly_variable"]``
        the genes that are used
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
        than one has a usual name, feature names are not unique, no gene varies, a batch is missing or has one cell,
        more than 20 % of the reference's genes are missing, ``mdata`` is a view, or a number is too small or large.
    KeyError
        If the modality or the column ``batch_key`` does not exist.
        Whenever an error is raised nothing was changed.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, section on CITE-seq (the input of the RNA encoder are principal components). Wolf,
    Angerer and Theis, Genome Biology 2018 (scanpy).

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.rna(mdata, n_comps=20)
    >>> mdata["rna"].obsm["X_pca"].shape
    (300, 20)
    """
    mdata = require_mudata(mdata)
    n_top_genes = _check.integer("n_top_genes", n_top_genes, least=1)
    n_comps = _check.integer("n_comps", n_comps, least=1)
    random_state = _check.seed(random_state, below=SEEDS)
    name = find_modality(mdata, _keys.RNA_NAMES, given=modality, call="clipdim.pp.rna(mdata, modality=...)")
    if reference is None:
        prepared = learn_rna(
            mdata, name, n_top_genes=n_top_genes, n_comps=n_comps, batch_key=batch_key, random_state=random_state
        )
    else:
        prepared = project_rna(mdata, name, reference=reference)
    return write_prepared(mdata, {name: prepared}, copy=copy)


def learn_rna(
    mdata: MuData, modality: str, *, n_top_genes: int, n_comps: int, batch_key: str | None, random_state: int
) -> Prepared:
    """Results of ``rna`` for one modality, with nothing written."""
    counts, genes = raw_counts(mdata, modality, otherwise=WITHOUT_COUNTS)
    batches = None if batch_key is None else batches_of(mdata, modality, batch_key)
    totals = _totals(counts)
    target_sum = float(np.median(totals[totals > 0]))
    X = _log_normalise(counts, totals, target_sum)
    chosen = _highly_variable(X, n_top_genes, batches, batch_key)
    block = X[:, chosen]
    projection, variance = learn(
        block.toarray() if issparse(block) else block,
        genes[chosen],
        n_comps=n_comps,
        modality=modality,
        random_state=random_state,
    )
    record = {"function": "rna", "target_sum": target_sum, "genes": genes.to_numpy(dtype=object)}
    used = genes.isin(projection.features)
    return prepare(X, genes, projection, record=record, variance=variance, highly_variable=used)


def project_rna(mdata: MuData, modality: str, *, reference: MuData) -> Prepared:
    """Results of ``rna`` for one modality on the components of a reference, with nothing written."""
    record = stored_record(reference, modality, "rna")
    projection = Projection.from_uns(record)
    counts, genes = raw_counts(mdata, modality, otherwise=WITHOUT_COUNTS)
    match_features(pd.Index(projection.features), genes, modality)
    shared = genes.isin(record["genes"])
    # genes that the reference does not have must not take part of a cell's total
    totals = _totals(counts if shared.all() else counts[:, np.flatnonzero(shared)])
    X = _log_normalise(counts, totals, float(record["target_sum"]))
    kept = {"function": "rna", "target_sum": record["target_sum"], "genes": record["genes"]}
    return prepare(X, genes, projection, record=kept, highly_variable=genes.isin(projection.features))


def _totals(counts: Any) -> np.ndarray:
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()


def _log_normalise(counts: Any, totals: np.ndarray, target_sum: float) -> Any:
    # scanpy's normalize_total cannot take totals over a part of the genes
    factors = (target_sum / np.where(totals > 0, totals, 1)).astype(np.float32)
    X = counts.astype(np.float32, copy=True)
    if issparse(X):
        inplace_row_scale(X, factors)
        return X.log1p()
    X *= factors[:, None]
    return np.log1p(X, out=X)


def _highly_variable(X: Any, n_top_genes: int, batches: np.ndarray | None, batch_key: str | None) -> np.ndarray:
    """Columns of the highly variable genes, increasing."""
    import scanpy as sc

    if n_top_genes >= X.shape[1]:
        return np.arange(X.shape[1])
    cells = AnnData(csr_matrix(X) if issparse(X) else X)  # not a sparse array, which scanpy cannot take here
    if batches is not None:
        names, sizes = np.unique(batches, return_counts=True)
        if sizes.min() < 2:
            msg = (
                f"batch {names[sizes.argmin()]!r} of batch_key={batch_key!r} has one cell, so no gene varies within "
                "it; leave it out, or merge it with another batch"
            )
            raise ValueError(msg)
        cells.obs["batch"] = pd.Categorical(batches)
    sc.pp.highly_variable_genes(cells, n_top_genes=n_top_genes, batch_key=None if batches is None else "batch")
    return np.flatnonzero(cells.var["highly_variable"])
