"""``pp.citeseq`` is ``pp.rna`` and ``pp.protein``, all or nothing."""

import os
from pathlib import Path

import numpy as np
import pytest
from mudata import MuData

from clipdim import pp


def test_equals_the_two_calls(mdata):
    apart = mdata.copy()
    assert pp.citeseq(mdata, n_top_genes=60, n_comps_rna=5, n_comps_protein=4, batch_key="batch") is None
    pp.rna(apart, n_top_genes=60, n_comps=5, batch_key="batch")
    pp.protein(apart, n_comps=4, batch_key="batch")
    for name in mdata.mod:
        np.testing.assert_array_equal(mdata[name].obsm["X_pca"], apart[name].obsm["X_pca"])
        np.testing.assert_array_equal(mdata[name].X, apart[name].X)


def test_copy_leaves_the_given_one(mdata, assert_unchanged):
    with assert_unchanged(mdata):
        new = pp.citeseq(mdata, n_comps_rna=5, copy=True)
    assert new["rna"].obsm["X_pca"].shape == (300, 5)
    assert new["prot"].obsm["X_pca"].shape == (300, 11)


@pytest.mark.parametrize("spoilt", ["rna", "prot"])
def test_neither_modality_is_changed_when_one_fails(mdata, assert_unchanged, spoilt):
    mdata[spoilt].X = mdata[spoilt].X - 0.5
    with assert_unchanged(mdata), pytest.raises(ValueError, match=f"modality '{spoilt}'"):
        pp.citeseq(mdata, n_comps_rna=5)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"random_state": -1}, ValueError),
        ({"random_state": 0.5}, TypeError),
        ({"n_top_genes": 0}, ValueError),
        ({"n_comps_rna": 2.5}, TypeError),
        ({"n_comps_protein": 0}, ValueError),
    ],
)
@pytest.mark.parametrize("of_a_reference", [False, True])
def test_bad_arguments(mdata, assert_unchanged, arguments, error, of_a_reference):
    ((name, value),) = arguments.items()
    reference = pp.citeseq(mdata, n_comps_rna=5, copy=True) if of_a_reference else None
    with assert_unchanged(mdata), pytest.raises(error, match=f"^{name} must be an integer .* got {value}$"):
        pp.citeseq(mdata, reference=reference, **arguments)


def test_modalities_with_different_cells_in_another_order(mdata):
    order = np.random.default_rng(0).permutation(300)
    mixed = MuData({"rna": mdata["rna"][:250].copy(), "prot": mdata["prot"][order[:200]].copy()})
    mixed.obs["batch"] = mdata.obs["batch"].reindex(mixed.obs_names)
    pp.citeseq(mixed, n_comps_rna=5, batch_key="batch")
    alone = MuData({"prot": mdata["prot"][np.sort(order[:200])].copy()})
    alone.obs["batch"] = mdata.obs["batch"].reindex(alone.obs_names)
    pp.protein(alone, batch_key="batch")
    rows = alone.obs_names.get_indexer(mixed["prot"].obs_names)
    np.testing.assert_allclose(mixed["prot"].X, alone["prot"].X[rows], atol=1e-5)
    assert mixed["rna"].obsm["X_pca"].shape == (250, 5)


def test_modalities_that_cannot_be_found(mdata, assert_unchanged):
    only = MuData({"rna": mdata["rna"].copy()})
    with assert_unchanged(only), pytest.raises(ValueError, match=r"modalities are \['rna'\]; name one: .*protein="):
        pp.citeseq(only)
    with pytest.raises(ValueError, match="rna and protein are both 'rna'"):
        pp.citeseq(mdata, rna="rna", protein="rna")
    named = MuData({"x": mdata["rna"].copy(), "y": mdata["prot"].copy()})
    pp.citeseq(named, rna="x", protein="y", n_comps_rna=5)
    assert named["x"].uns["clipdim_pp"]["function"] == "rna"


@pytest.fixture
def pbmc10k():
    folder = os.environ.get("CLIPDIM_DATA_DIR")
    if not folder or not (Path(folder) / "pbmc10k_harmo_rna.csv.gz").exists():
        pytest.skip("pbmc10k is not in CLIPDIM_DATA_DIR")
    datasets = pytest.importorskip("clipdim.datasets")
    return datasets.pbmc10k()


@pytest.mark.slow
def test_pbmc10k(pbmc10k):
    pp.citeseq(pbmc10k)
    assert pbmc10k["rna"].obsm["X_pca"].shape == (6855, 50)
    assert pbmc10k["prot"].obsm["X_pca"].shape == (6855, 13)
    new = pbmc10k[:100].copy()
    pp.citeseq(new, reference=pbmc10k)
    for name in new.mod:
        np.testing.assert_allclose(new[name].obsm["X_pca"], pbmc10k[name].obsm["X_pca"][:100], atol=1e-5)
