"""RNA counts dealt into two halves."""

import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix, issparse

import clipdim
from clipdim import pp


def poisson(n_cells=400, n_genes=60, *, sparse=True, seed=0):
    """Counts whose molecules are independent, given one rate for each gene."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(2, 2, n_genes), (n_cells, n_genes)).astype(np.float32)
    rna = AnnData(csr_matrix(counts) if sparse else counts)
    rna.obs_names, rna.var_names = [f"cell{i}" for i in range(n_cells)], [f"gene{i}" for i in range(n_genes)]
    mdata = MuData({"rna": rna})
    mdata.obs["donor"] = np.arange(n_cells) % 2
    return mdata


def dense(matrix):
    return matrix.toarray() if issparse(matrix) else np.asarray(matrix)


@pytest.mark.parametrize("sparse", [True, False])
def test_each_molecule_is_in_one_half(sparse):
    mdata = poisson(sparse=sparse)
    before = dense(mdata["rna"].X).copy()
    halves = pp.thin(mdata, n_comps=5)
    first, second = (dense(halves[name].layers["counts"]) for name in ("rna_1", "rna_2"))
    np.testing.assert_array_equal(first + second, before)
    assert min(first.min(), second.min()) >= 0
    assert first.sum() / before.sum() == pytest.approx(0.5, abs=0.01)
    np.testing.assert_array_equal(dense(mdata["rna"].X), before)
    assert list(mdata.mod) == ["rna"]


def test_halves_of_poisson_counts_are_independent():
    first, second = (dense(half.layers["counts"]) for half in pp.thin(poisson(4_000), n_comps=5).mod.values())
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(first.T, second.T, strict=True)]
    assert np.abs(correlations).max() < 4 / np.sqrt(4_000)


def test_halves_are_as_pp_rna_leaves_them():
    halves = pp.thin(clipdim.datasets.simulate_citeseq(300), n_top_genes=100, n_comps=8)
    for half in halves.mod.values():
        assert half.obsm["X_pca"].shape == (300, 8)
        assert half.var["highly_variable"].sum() == pytest.approx(100, abs=5)  # genes with ties
    assert "cell_type" in halves.obs
    assert halves["rna_1"].obs_names.equals(halves["rna_2"].obs_names)


def test_same_seed_same_halves():
    one, same, other = (
        dense(pp.thin(poisson(), n_comps=3, random_state=seed)["rna_1"].layers["counts"]) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_bad_input():
    with pytest.raises(TypeError, match="expected a MuData"):
        pp.thin(poisson()["rna"])
    with pytest.raises(KeyError, match="gex"):
        pp.thin(poisson(), modality="gex")
    mdata = poisson()
    mdata["rna"].X = mdata["rna"].X * 0.5
    with pytest.raises(ValueError, match=r"raw counts|integers"):
        pp.thin(mdata)
