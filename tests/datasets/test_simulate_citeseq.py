import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import nbinom

from clipdim import datasets, pp
from clipdim.datasets import _simulate_citeseq


def _canonical_correlations(a, b):
    a, b = (np.linalg.qr(values - values.mean(axis=0))[0] for values in (a, b))
    return np.linalg.svd(a.T @ b, compute_uv=False)


@pytest.fixture(scope="module")
def mdata():
    return datasets.simulate_citeseq(n_cells=3_000, n_batches=2)


def test_layout(mdata, tmp_path):
    def check(mdata):
        assert isinstance(mdata["rna"].X, csr_matrix)
        assert mdata["rna"].shape == (3_000, 2_000)
        assert mdata["prot"].shape == (3_000, 30)
        assert mdata["rna"].X.dtype == mdata["prot"].X.dtype == np.float32
        assert list(mdata.obs) == ["cell_type", "batch"]
        assert list(mdata.obs["cell_type"].cat.categories) == [f"type {i}" for i in range(1, 7)]
        assert list(mdata.obs["batch"].cat.categories) == ["batch 1", "batch 2"]
        assert mdata.obsm["shared_latent"].shape == (3_000, 5)
        assert mdata["rna"].obsm["private_latent"].shape == (3_000, 3)
        assert mdata["prot"].obsm["private_latent"].shape == (3_000, 1)
        assert mdata["rna"].varm["loadings"].shape == (2_000, 8)
        assert dict(mdata.uns["truth"]) == {
            "n_shared": 5,
            "n_private_rna": 3,
            "n_private_protein": 1,
            "n_cell_types": 6,
            "n_batches": 2,
            "batch_effect": 0.3,
            "missing_rna": 0.0,
            "missing_protein": 0.0,
            "random_state": 0,
        }

    check(mdata)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy = mdata.copy()
        copy.update()
        copy.write(tmp_path / "simulated.h5mu")
    check(copy)
    check(mudata.read(tmp_path / "simulated.h5mu"))


def test_counts_look_like_citeseq(mdata):
    rna, protein = mdata["rna"].X, mdata["prot"].X
    for values in (rna.data, protein):
        np.testing.assert_array_equal(values, np.round(values))
        assert values.min() >= 0
    assert 0.80 < 1 - rna.nnz / np.prod(rna.shape) < 0.92
    assert 500 < np.median(np.asarray(rna.sum(axis=1))) < 5_000
    low, middle, high = np.quantile(protein, [0.1, 0.5, 0.99])
    assert 5 < low < 50 < middle < 500 < 1_000 < high < 20_000


def test_negative_binomial():
    rng = np.random.default_rng(0)
    mean, dispersion, n = np.array([0.1, 1.0, 10.0, 100.0]), 4.0, 200_000
    counts = _simulate_citeseq.negative_binomial(rng, np.tile(mean, (n, 1)), dispersion)
    np.testing.assert_allclose(counts.mean(axis=0), mean, rtol=0.03)
    np.testing.assert_allclose(counts.var(axis=0), mean + mean**2 / dispersion, rtol=0.03)
    for column, expected in zip(counts.T, mean, strict=True):
        scipys = nbinom(dispersion, dispersion / (dispersion + expected))
        np.testing.assert_allclose((column == 0).mean(), scipys.pmf(0), atol=0.005)
        np.testing.assert_allclose((column > 2 * expected).mean(), scipys.sf(2 * expected), atol=0.005)


def test_log_rates_are_linear_in_the_latents(mdata):
    """Regress log counts of frequent genes: slopes are the loadings, up to the mean by which depth differs."""
    rna, latents = mdata["rna"], np.hstack([mdata.obsm["shared_latent"], mdata["rna"].obsm["private_latent"]])
    frequent = np.argsort(np.asarray(rna.X.mean(axis=0)).ravel())[-40:]
    design = np.column_stack([np.ones(len(latents)), latents, mdata.obs["batch"].cat.codes])
    slopes = np.linalg.lstsq(design, np.log1p(rna.X[:, frequent].toarray()), rcond=None)[0][1:-1].T
    loadings = rna.varm["loadings"][frequent]
    assert np.corrcoef(slopes.ravel(), loadings.ravel())[0, 1] > 0.95
    np.testing.assert_allclose(rna.varm["loadings"].T @ rna.varm["loadings"], np.eye(8) * 0.27**2 * 2_000, atol=1e-2)


def test_latents(mdata):
    shared, types = mdata.obsm["shared_latent"], mdata.obs["cell_type"].cat.codes.to_numpy()
    np.testing.assert_allclose(shared.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(shared.var(axis=0), 1, atol=0.1)
    within = shared - np.array([shared[types == i].mean(axis=0) for i in range(6)])[types]
    assert np.linalg.cond(np.cov(within.T)) < 5  # full rank within cell types
    for name in ("rna", "prot"):
        private = mdata[name].obsm["private_latent"]
        assert _canonical_correlations(private, shared).max() < 0.08
        np.testing.assert_allclose(np.cov(private.T), np.eye(private.shape[1]).squeeze(), atol=0.1)
    assert (
        _canonical_correlations(mdata["rna"].obsm["private_latent"], mdata["prot"].obsm["private_latent"]).max() < 0.08
    )


@pytest.mark.parametrize("n_shared", [3, 6])
def test_modalities_share_the_given_number_of_dimensions(n_shared):
    mdata = datasets.simulate_citeseq(n_cells=1_500, n_shared=n_shared)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pp.citeseq(mdata)
    rna, protein = mdata["rna"].obsm["X_pca"][:, :15], mdata["prot"].obsm["X_pca"]
    shared = mdata.obsm["shared_latent"]
    assert _canonical_correlations(rna, shared).min() > 0.9
    assert _canonical_correlations(protein, shared).min() > 0.9
    between = _canonical_correlations(rna, protein)
    assert between[n_shared - 1] > 0.8
    assert between[n_shared] < 0.6


def test_batches(mdata):
    """A batch shifts each gene by a factor of its own in all its cells; the logarithm's spread is known."""
    rna, second = mdata["rna"].X, (mdata.obs["batch"] == "batch 2").to_numpy()
    frequent = np.argsort(np.asarray(rna.mean(axis=0)).ravel())[-300:]

    def shifts(counts, cells):
        means = [np.asarray(counts[cells & of][:, frequent].mean(axis=0)).ravel() for of in (second, ~second)]
        return np.log(means[0] / means[1])

    late = np.arange(3_000) >= _simulate_citeseq.BLOCK
    assert late.sum() == 1_000
    np.testing.assert_allclose([shifts(rna, late).std(), shifts(rna, ~late).std()], 0.3, atol=0.05)
    assert np.corrcoef(shifts(rna, late), shifts(rna, ~late))[0, 1] > 0.85
    none = datasets.simulate_citeseq(n_cells=3_000, n_batches=2, batch_effect=0)["rna"].X
    assert shifts(none, late | True).std() < 0.1


def test_the_first_batch_is_not_shifted():
    shifted, plain = (datasets.simulate_citeseq(200, n_genes=50, batch_effect=effect) for effect in (0.5, 0))
    for name in ("rna", "prot"):
        np.testing.assert_array_equal(_dense(shifted[name].X), _dense(plain[name].X))


def test_the_first_cell_types_are_the_most_frequent(mdata):
    expected = np.arange(1, 7) ** -0.5
    expected /= expected.sum()
    shares = mdata.obs["cell_type"].value_counts(sort=False) / 3_000
    assert (np.abs(shares - expected) < 4 * np.sqrt(expected * (1 - expected) / 3_000)).all()


@pytest.mark.parametrize(("name", "depth"), [("rna", 0.35), ("prot", 0.25)])
def test_cells_differ_in_depth(mdata, name, depth):
    """What latents and batch leave of the log totals is the depth, and less noise of the counts than that."""
    totals = np.log(np.asarray(mdata[name].X.sum(axis=1)).ravel())
    shared, private = mdata.obsm["shared_latent"], mdata[name].obsm["private_latent"]
    design = np.column_stack([np.ones(3_000), shared, shared**2, private, mdata.obs["batch"].cat.codes])
    left = totals - design @ np.linalg.lstsq(design, totals, rcond=None)[0]
    assert depth < left.std() < 1.5 * depth
    assert abs(np.mean(left**3)) < left.std() ** 3  # log-normal


def test_cells_that_lack_a_modality(tmp_path):
    """They lack it whatever their type, and all that is there is what a complete data set has."""
    arguments = {"n_cells": 3_000, "n_genes": 40, "n_batches": 3}
    complete = datasets.simulate_citeseq(**arguments)
    datasets.simulate_citeseq(**arguments, missing_rna=0.1, missing_protein=0.3).write(tmp_path / "mosaic.h5mu")
    mdata = mudata.read(tmp_path / "mosaic.h5mu")
    assert mdata.n_obs == 3_000
    assert (mdata["rna"].n_obs, mdata["prot"].n_obs) == (2_700, 2_100)
    lacks = {name: ~complete.obs_names.isin(mdata[name].obs_names) for name in ("rna", "prot")}
    assert not (lacks["rna"] & lacks["prot"]).any()
    for column in ("cell_type", "batch"):
        shares = pd.crosstab(complete.obs[column], lacks["prot"], normalize="index")[True]
        np.testing.assert_allclose(shares, 0.3, atol=0.1)
    for name in ("rna", "prot"):
        known = complete[name][mdata[name].obs_names]
        np.testing.assert_array_equal(_dense(mdata[name].X), _dense(known.X))
        np.testing.assert_array_equal(mdata[name].obsm["private_latent"], known.obsm["private_latent"])
    rows = complete.obs_names.get_indexer(mdata.obs_names)
    np.testing.assert_array_equal(mdata.obsm["shared_latent"], complete.obsm["shared_latent"][rows])
    pd.testing.assert_frame_equal(mdata.obs[["cell_type", "batch"]], complete.obs.iloc[rows])
    assert (mdata.uns["truth"]["missing_rna"], mdata.uns["truth"]["missing_protein"]) == (0.1, 0.3)
    nothing_paired = datasets.simulate_citeseq(100, n_genes=20, missing_rna=0.35, missing_protein=0.65)
    assert (nothing_paired["rna"].n_obs, nothing_paired["prot"].n_obs) == (65, 35)


def test_reproducible():
    def make(**arguments):
        return datasets.simulate_citeseq(**{"n_cells": 120, "n_genes": 50, **arguments})

    state = np.random.get_state()[1].copy()
    first, again, other = make(), make(), make(random_state=1)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    for name in ("rna", "prot"):
        assert np.array_equal(_dense(first[name].X), _dense(again[name].X))
        assert not np.array_equal(_dense(first[name].X), _dense(other[name].X))
    more = make(n_cells=300)
    np.testing.assert_array_equal(more["rna"].varm["loadings"], first["rna"].varm["loadings"])
    # the features of one modality do not depend on the other's number
    np.testing.assert_array_equal(make(n_genes=60)["prot"].X, first["prot"].X)


def _dense(X):
    return X.toarray() if isinstance(X, csr_matrix) else X


def test_blocks_of_cells_are_joined_in_order(monkeypatch):
    """With mean rates far above the noise, every cell's counts follow its own latents, whatever the block."""
    monkeypatch.setattr(_simulate_citeseq, "BLOCK", 7)
    mdata = datasets.simulate_citeseq(n_cells=400, n_genes=400)
    design = np.column_stack([np.ones(400), mdata.obsm["shared_latent"], mdata["prot"].obsm["private_latent"]])
    values = np.log1p(mdata["prot"].X)
    residual = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    assert (1 - residual.var(axis=0) / values.var(axis=0)).mean() > 0.6
    assert mdata["rna"].shape == (400, 400)


def test_edge_sizes():
    mdata = datasets.simulate_citeseq(
        1, 1, n_genes=2, n_proteins=2, n_private_rna=0, n_private_protein=0, n_cell_types=1
    )
    assert mdata.shape == (1, 4)
    assert "private_latent" not in mdata["rna"].obsm
    names = datasets.simulate_citeseq(500, n_genes=20, n_cell_types=12).obs["cell_type"].cat.categories
    assert list(names) == [f"type {i}" for i in range(1, 13)]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_cells": 0}, "n_cells must be an integer of at least 1, got 0"),
        ({"n_shared": 0}, "n_shared .* at least 1, got 0"),
        ({"n_batches": 0}, "n_batches .* got 0"),
        ({"n_private_rna": -1}, "n_private_rna .* at least 0, got -1"),
        ({"n_proteins": 6}, "n_proteins=6 features cannot show 6 dimensions, .* give at least 7"),
        ({"n_genes": 8}, "n_genes=8 features cannot show 8 dimensions"),
        ({"batch_effect": -0.1}, r"batch_effect must be a number at least 0, got -0\.1"),
        ({"batch_effect": np.nan}, "batch_effect .* got nan"),
        ({"missing_rna": -0.1}, r"missing_rna .* at least 0 and at most 1, got -0\.1"),
        ({"missing_protein": np.nan}, "missing_protein .* got nan"),
        ({"missing_rna": 0.6, "missing_protein": 0.5}, "add up to 1 at most, because no cell lacks both"),
        ({"missing_protein": 1}, "all n_cells=2000 cells would lack a modality; give a smaller missing_protein"),
        ({"random_state": -1}, "random_state .* got -1"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        datasets.simulate_citeseq(**arguments)


@pytest.mark.parametrize("arguments", [{"n_shared": 2.0}, {"n_cell_types": True}, {"missing_rna": "a tenth"}])
def test_arguments_of_another_type(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(TypeError, match=f"{name} must be .* got {value!r}"):
        datasets.simulate_citeseq(**arguments)
