"""CITE-seq counts with a known number of shared dimensions."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix, vstack

from clipdim import _check
from clipdim.datasets._assemble import assemble

SEPARATION = 2.0  # spread of the cell types' centres in each shared dimension, relative to that within a type
BLOCK = 2_000  # cells whose rates are in memory at once


@dataclass(frozen=True)
class _Assay:
    """How a modality counts."""

    feature: str
    log_rate: tuple[float, float]
    """Mean and standard deviation, over the features, of their log rates in the mean cell."""
    signal: float
    """Root mean square, over the features, of the change of a log rate by one unit of a latent."""
    background: float
    """Mean, over the features, of the rate that is added in every cell."""
    depth: float
    """Standard deviation of the cells' log depth, whose mean is 0."""
    dispersion: float
    """The variance of a count is ``mean + mean**2 / dispersion``."""
    dense: bool
    """Whether zeros are stored."""


@dataclass(frozen=True)
class _Cells:
    """What both modalities measure."""

    shared: np.ndarray
    batches: np.ndarray
    n_batches: int
    batch_effect: float


RNA = _Assay("gene", log_rate=(-3.0, 2.0), signal=0.27, background=0, depth=0.35, dispersion=4, dense=False)
PROTEIN = _Assay("protein", log_rate=(4.5, 0.8), signal=0.5, background=8, depth=0.25, dispersion=15, dense=True)


def simulate_citeseq(
    n_cells: int = 2_000,
    n_shared: int = 5,
    *,
    n_genes: int = 2_000,
    n_proteins: int = 30,
    n_private_rna: int = 3,
    n_private_protein: int = 1,
    n_cell_types: int = 6,
    n_batches: int = 1,
    batch_effect: float = 0.3,
    missing_rna: float = 0.0,
    missing_protein: float = 0.0,
    random_state: int = 0,
) -> MuData:
    """Simulate CITE-seq counts of RNA and surface protein that share a known number of dimensions.

    A cell has a shared latent vector, normal around the centre of its cell type and varying in all ``n_shared``
    dimensions within it, and a private one in each modality, standard normal. The log rate of a feature is linear in
    the shared and the modality's private latents, plus a shift by batch; no latent has more weight than another. Counts
    are negative binomial around the rate, to which proteins add unspecific background, times the log-normal depth of
    the cell. About 85 % of the RNA counts are zero and proteins count tens to thousands, as in 10x data. Cell types
    overlap where there are few shared dimensions.

    Parameters
    ----------
    n_cells
        Number of cells.
    n_shared
        Number of dimensions that the modalities share.
    n_genes, n_proteins
        Number of features, more than the shared and the modality's private dimensions together.
    n_private_rna, n_private_protein
        Number of dimensions that only the one modality has; may be 0.
    n_cell_types
        Number of cell types, the first ones being the most frequent.
    n_batches
        Number of batches; the cells are assigned to them at random.
    batch_effect
        Standard deviation, over the features, of the shift of the log rates in each batch but the first.
    missing_rna, missing_protein
        Shares of the cells that lack a modality, drawn at random whatever their type and batch. No cell lacks both, so
        they add up to 1 at most. What the cells do have is what they have without anything missing.
    random_state
        Seed. Global random state is not touched. With the same seed and numbers of dimensions, the parameters of the
        features and cell types do not depend on ``n_cells``, but the cells do. To have a reference and a query,
        simulate both at once and split them.

    Returns
    -------
    MuData with the same order of cells in both modalities, cells without RNA coming last in the MuData:

    ``mdata["rna"].X``
        raw counts, CSR float32 (cells with RNA x ``n_genes``)
    ``mdata["prot"].X``
        raw counts, dense float32 (cells with protein x ``n_proteins``)
    ``mdata.obs["cell_type"]``, ``mdata.obs["batch"]``
        categorical
    ``mdata.obsm["shared_latent"]``
        float32 (``n_cells`` x ``n_shared``), of variance 1 in expectation
    ``mdata["rna"].obsm["private_latent"]``, ``mdata["prot"].obsm["private_latent"]``
        float32 (cells of the modality x private dimensions); absent without such
    ``mdata[modality].varm["loadings"]``
        change of the log rates by one unit of each latent, shared ones first, float32 (features x latents)
    ``mdata.uns["truth"]``
        dict with the arguments that say what is true: ``n_shared``, ``n_private_rna``, ``n_private_protein``,
        ``n_cell_types``, ``n_batches``, ``batch_effect``, ``missing_rna``, ``missing_protein``, ``random_state``

    Raises
    ------
    TypeError
        If a number is of another type.
    ValueError
        If a number is out of its range, there are too few features for the dimensions, or so many cells lack a modality
        that one has no cells or a cell would lack both.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300, n_shared=4)
    >>> mdata["rna"].shape, mdata["prot"].shape, mdata.obsm["shared_latent"].shape
    ((300, 2000), (300, 30), (300, 4))
    >>> mdata.uns["truth"]["n_shared"]
    4
    """
    truth = {
        "n_shared": _check.integer("n_shared", n_shared, least=1),
        "n_private_rna": _check.integer("n_private_rna", n_private_rna, least=0),
        "n_private_protein": _check.integer("n_private_protein", n_private_protein, least=0),
        "n_cell_types": _check.integer("n_cell_types", n_cell_types, least=1),
        "n_batches": _check.integer("n_batches", n_batches, least=1),
        "batch_effect": _check.number("batch_effect", batch_effect, least=0),
        "missing_rna": _check.number("missing_rna", missing_rna, least=0, most=1),
        "missing_protein": _check.number("missing_protein", missing_protein, least=0, most=1),
        "random_state": _check.seed(random_state),
    }
    n_cells = _check.integer("n_cells", n_cells, least=1)
    n_genes = _enough(n_genes, "n_genes", n_shared + n_private_rna)
    n_proteins = _enough(n_proteins, "n_proteins", n_shared + n_private_protein)

    of_types, of_cells, of_rna, of_protein, of_missing = np.random.default_rng(random_state).spawn(5)
    centres = of_types.normal(scale=SEPARATION, size=(n_cell_types, n_shared))
    shares = np.arange(1, n_cell_types + 1) ** -0.5
    shares /= shares.sum()
    centres -= shares @ centres
    types = of_cells.choice(n_cell_types, n_cells, p=shares)
    batches = of_cells.integers(n_batches, size=n_cells)
    shared = (centres[types] + of_cells.normal(size=(n_cells, n_shared))) / np.sqrt(1 + shares @ centres**2)

    cells = _Cells(shared, batches, n_batches, batch_effect)
    has_rna, has_protein = _present(n_cells, missing_rna, missing_protein, of_missing)
    rna = _measure(cells, RNA, n_features=n_genes, n_private=n_private_rna, has=has_rna, rng=of_rna)
    protein = _measure(
        cells, PROTEIN, n_features=n_proteins, n_private=n_private_protein, has=has_protein, rng=of_protein
    )
    obs = pd.DataFrame(
        {"cell_type": _names("type", types), "batch": _names("batch", batches)}, index=_cell_names(n_cells)
    )
    mdata = assemble({"rna": rna, "prot": protein}, obs, {"shared_latent": shared.astype(np.float32)})
    mdata.uns["truth"] = truth
    return mdata


def _present(
    n_cells: int, missing_rna: float, missing_protein: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Which cells have RNA and which have protein, (``n_cells``,) bool."""
    if missing_rna + missing_protein > 1:
        msg = (
            f"missing_rna={missing_rna!r} and missing_protein={missing_protein!r} are given; they must add up to 1 at "
            "most, because no cell lacks both"
        )
        raise ValueError(msg)
    order = rng.permutation(n_cells)
    lacks_rna = order < round(n_cells * missing_rna)
    lacks_protein = (order < round(n_cells * (missing_rna + missing_protein))) & ~lacks_rna
    for name, lacks in (("missing_rna", lacks_rna), ("missing_protein", lacks_protein)):
        if lacks.all():
            msg = f"all n_cells={n_cells} cells would lack a modality; give a smaller {name} or more cells"
            raise ValueError(msg)
    return ~lacks_rna, ~lacks_protein


def _measure(
    cells: _Cells, assay: _Assay, *, n_features: int, n_private: int, has: np.ndarray, rng: np.random.Generator
) -> AnnData:
    """One modality of the cells that have it."""
    of_features, of_cells = rng.spawn(2)  # so that features do not depend on the number of cells
    n_cells, n_latents = len(cells.shared), cells.shared.shape[1] + n_private
    # columns of equal length that are orthogonal to each other: no latent is seen better than another
    loadings, _ = np.linalg.qr(of_features.normal(size=(n_features, n_latents)))
    loadings *= assay.signal * np.sqrt(n_features)
    log_rates = of_features.normal(*assay.log_rate, size=n_features)
    background = of_features.gamma(shape=4, scale=assay.background / 4, size=n_features)
    shifts = of_features.normal(scale=cells.batch_effect, size=(cells.n_batches, n_features))
    shifts[0] = 0
    private = of_cells.normal(size=(n_cells, n_private))
    latents = np.hstack([cells.shared, private])
    depths = np.exp(of_cells.normal(scale=assay.depth, size=(n_cells, 1)))
    blocks = []
    for start in range(0, n_cells, BLOCK):
        rows = slice(start, start + BLOCK)
        rates = np.exp(log_rates + shifts[cells.batches[rows]] + latents[rows] @ loadings.T) + background
        block = negative_binomial(of_cells, depths[rows] * rates, assay.dispersion)
        blocks.append(csr_matrix(block[has[rows]].astype(np.float32)))
    counts = vstack(blocks, format="csr")
    adata = AnnData(
        counts.toarray() if assay.dense else counts,
        obs=pd.DataFrame(index=_cell_names(n_cells)[has]),
        var=pd.DataFrame(index=[f"{assay.feature}_{i}" for i in range(1, n_features + 1)]),
    )
    if n_private:
        adata.obsm["private_latent"] = private[has].astype(np.float32)
    adata.varm["loadings"] = loadings.astype(np.float32)
    return adata


def negative_binomial(rng: np.random.Generator, mean: np.ndarray, dispersion: float) -> np.ndarray:
    """Draw counts of the given mean, of the same shape, whose variance is ``mean + mean**2 / dispersion``."""
    return rng.poisson(mean * rng.standard_gamma(dispersion, size=mean.shape) / dispersion)


def _enough(n_features: int, name: str, n_latents: int) -> int:
    if _check.integer(name, n_features, least=1) <= n_latents:
        msg = (
            f"{name}={n_features} features cannot show {n_latents} dimensions, shared and private; give at least "
            f"{n_latents + 1}, or fewer dimensions"
        )
        raise ValueError(msg)
    return int(n_features)


def _cell_names(n_cells: int) -> pd.Index:
    return pd.Index([f"cell_{i}" for i in range(1, n_cells + 1)])


def _names(prefix: str, codes: np.ndarray) -> pd.Categorical:
    categories = [f"{prefix} {i}" for i in range(1, codes.max() + 2)]
    return pd.Categorical.from_codes(codes, categories).remove_unused_categories()
