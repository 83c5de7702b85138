"""Both modalities of a CITE-seq experiment in one call."""

import logging

from mudata import MuData

from clipdim import _check, _keys
from clipdim._mudata import find_modality, require_mudata, write_prepared
from clipdim.pp._projection import SEEDS
from clipdim.pp._protein import learn_protein, project_protein
from clipdim.pp._rna import learn_rna, project_rna

logger = logging.getLogger(__name__)


def citeseq(
    mdata: MuData,
    *,
    rna: str | None = None,
    protein: str | None = None,
    batch_key: str | None = None,
    reference: MuData | None = None,
    n_top_genes: int = 2000,
    n_comps_rna: int = 50,
    n_comps_protein: int | None = None,
    random_state: int = 0,
    copy: bool = False,
) -> MuData | None:
    """Preprocess RNA and surface protein: ``clipdim.pp.rna`` and ``clipdim.pp.protein`` in one call.

    The modalities may hold different cells, in any order: each is preprocessed by itself.

    Parameters
    ----------
    mdata
        MuData with raw counts of both modalities, in ``.layers["counts"]`` or ``.X``; with ``reference`` one is enough.
    rna
        Name of the RNA modality; found by itself when it is called ``rna`` or ``gex``.
    protein
        Name of the protein modality; found by itself when it is called ``prot``, ``protein`` or ``adt``.
    batch_key
        Column of each modality's ``.obs``, else of ``mdata.obs``: genes are chosen, and proteins centred, within its
        batches.
    reference
        A MuData preprocessed by this function: use what it stored instead of learning it anew, so that the new sample
        can go to ``clipdim.tl.embed``. Only ``batch_key`` has an effect then (see ``clipdim.pp.protein``).
    n_top_genes
        Number of highly variable genes.
    n_comps_rna
        Number of principal components of the RNA.
    n_comps_protein
        Number of principal components of the protein; by default one less than the number of proteins that vary.
    random_state
        Seed of the principal components' start vector. Global random state is not touched.
    copy
        Return a new MuData and leave the given one as it is.

    Returns
    -------
    None, or the new MuData with ``copy=True``. In each modality ``.layers["counts"]``, ``.X``, ``.obsm["X_pca"]``,
    ``.varm["PCs"]``, ``.uns["pca"]`` and ``.uns["clipdim_pp"]`` are written as in ``clipdim.pp.rna`` and
    ``clipdim.pp.protein``.

    Raises
    ------
    TypeError, ValueError, KeyError
        As ``clipdim.pp.rna`` and ``clipdim.pp.protein``; nothing was changed then, in neither modality.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, section on CITE-seq.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata, n_comps_rna=20, n_comps_protein=10)
    >>> mdata["rna"].obsm["X_pca"].shape, mdata["prot"].obsm["X_pca"].shape
    ((300, 20), (300, 10))

    A new sample on the same components, ready for ``clipdim.tl.embed``:

    >>> query = clipdim.datasets.simulate_citeseq(n_cells=100)
    >>> clipdim.pp.citeseq(query, reference=mdata)
    >>> query["rna"].uns["clipdim_pp"]["basis"] == mdata["rna"].uns["clipdim_pp"]["basis"]
    True
    """
    mdata = require_mudata(mdata)
    n_top_genes = _check.integer("n_top_genes", n_top_genes, least=1)
    n_comps_rna = _check.integer("n_comps_rna", n_comps_rna, least=1)
    if n_comps_protein is not None:
        n_comps_protein = _check.integer("n_comps_protein", n_comps_protein, least=1)
    random_state = _check.seed(random_state, below=SEEDS)
    names = _find(mdata, rna=rna, protein=protein, need_both=reference is None)
    prepared = {}  # complete for both before either is written
    if reference is None:
        prepared[names["rna"]] = learn_rna(
            mdata,
            names["rna"],
            n_top_genes=n_top_genes,
            n_comps=n_comps_rna,
            batch_key=batch_key,
            random_state=random_state,
        )
        prepared[names["protein"]] = learn_protein(
            mdata, names["protein"], n_comps=n_comps_protein, batch_key=batch_key, random_state=random_state
        )
    if reference is not None and "rna" in names:
        prepared[names["rna"]] = project_rna(mdata, names["rna"], reference=reference)
    if reference is not None and "protein" in names:
        prepared[names["protein"]] = project_protein(mdata, names["protein"], reference=reference, batch_key=batch_key)
    return write_prepared(mdata, prepared, copy=copy)


def _find(mdata: MuData, *, rna: str | None, protein: str | None, need_both: bool) -> dict[str, str]:
    """Names of the modalities to preprocess, by kind: both, or with a reference those that are there."""
    usual = {"rna": (rna, _keys.RNA_NAMES), "protein": (protein, _keys.PROTEIN_NAMES)}
    there = [kind for kind, (given, names) in usual.items() if given is not None or set(names) & set(mdata.mod)]
    kinds = list(usual) if need_both or not there else there
    found = {
        kind: find_modality(mdata, usual[kind][1], given=usual[kind][0], call=f"clipdim.pp.citeseq(mdata, {kind}=...)")
        for kind in kinds
    }
    if len(set(found.values())) < len(found):
        msg = f"rna and protein are both {rna!r}; the MuData has modalities {list(mdata.mod)}"
        raise ValueError(msg)
    if len(found) == 1:
        logger.info("the new sample has only %s, which is preprocessed alone", *found)
    return found
