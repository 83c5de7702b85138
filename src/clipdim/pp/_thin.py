"""Counts dealt at random into two independent halves, of which each is a modality."""

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix

from clipdim import _check, _keys
from clipdim._mudata import find_modality, raw_counts, require_mudata, with_columns_of, write_prepared
from clipdim.pp._projection import SEEDS
from clipdim.pp._rna import WITHOUT_COUNTS, learn_rna


def thin(
    mdata: MuData,
    *,
    modality: str | None = None,
    n_top_genes: int = 2000,
    n_comps: int = 50,
    random_state: int = 0,
) -> MuData:
    """Deal the RNA counts into two halves, and make each a modality.

    Each molecule goes to one half or the other, by chance. Of Poisson counts the halves are independent but for the
    expression behind them, so what they share is what RNA can tell twice: a ceiling of what it can share with protein.
    Counts that vary more than Poisson ones share some of that excess too. Fit the result, and count::

        halves = clipdim.pp.thin(mdata)
        clipdim.tl.fit(halves)
        clipdim.tl.shared_dimension(halves)

    Parameters
    ----------
    mdata
        MuData with raw RNA counts in ``.layers["counts"]`` or ``.X``.
    modality
        Name of the RNA modality; by default the one with a usual name.
    n_top_genes
        Highly variable genes of each half.
    n_comps
        Principal components of each half.
    random_state
        Seed of the deal and of the components. Global random state is not touched.

    Returns
    -------
    A new MuData with two modalities, named after the given one with ``_1`` and ``_2``, each as :func:`clipdim.pp.rna`
    leaves it, and with the columns of ``mdata.obs``.

    Raises
    ------
    TypeError
        If ``mdata`` is not a MuData, the counts are not numbers in memory, or an argument is not an integer.
    ValueError
        If the values are not raw counts, no modality or more than one has a usual name, no gene of a half varies, or a
        number is too small or large.
    KeyError
        If the modality does not exist.

    References
    ----------
    Neufeld and others, arXiv 2301.07276 (count thinning).

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> halves = clipdim.pp.thin(mdata, n_comps=20)
    >>> list(halves.mod), halves["rna_1"].obsm["X_pca"].shape
    (['rna_1', 'rna_2'], (300, 20))
    """
    mdata = require_mudata(mdata)
    n_top_genes = _check.integer("n_top_genes", n_top_genes, least=1)
    n_comps = _check.integer("n_comps", n_comps, least=1)
    random_state = _check.seed(random_state, below=SEEDS)
    name = find_modality(mdata, _keys.RNA_NAMES, given=modality, call="clipdim.pp.thin(mdata, modality=...)")
    counts, genes = raw_counts(mdata, name, otherwise=WITHOUT_COUNTS)
    whole = csr_matrix(counts)
    first = whole.copy()
    first.data = np.random.default_rng(random_state).binomial(whole.data.astype(np.int64), 0.5).astype(np.float32)
    parts = {}
    for number, half in enumerate((first, whole - first), start=1):
        half.eliminate_zeros()
        cells = pd.DataFrame(index=mdata[name].obs_names)
        parts[f"{name}_{number}"] = AnnData(
            csr_matrix(half, dtype=np.float32), obs=cells, var=pd.DataFrame(index=genes)
        )
    halves = with_columns_of(MuData(parts), mdata)
    settings = {"n_top_genes": n_top_genes, "n_comps": n_comps, "random_state": random_state}
    write_prepared(halves, {part: learn_rna(halves, part, batch_key=None, **settings) for part in parts}, copy=False)
    return halves
