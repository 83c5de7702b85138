import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from clipdim import datasets, pp
from clipdim.tl import fit, loadings

QUIET = {"max_epochs": 5, "progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def simulated(plain):
    """A fit of cells that share three dimensions, whose modalities have three and two of their own."""
    mdata = datasets.simulate_citeseq(
        1500, 3, n_genes=400, n_proteins=40, n_private_rna=3, n_private_protein=2, random_state=0
    )
    pp.citeseq(mdata, n_top_genes=300, n_comps_rna=20)
    fit(mdata, 6, recipe=plain, progress=False, device="cpu")
    return mdata


@pytest.fixture(scope="module")
def small(plain):
    """A fit with four dimensions, and the function that copies it."""
    rng = np.random.default_rng(0)
    latent, cells = rng.normal(size=(200, 3)), pd.DataFrame(index=[f"cell{i}" for i in range(200)])
    modalities = {}
    for name, n_features in (("rna", 12), ("prot", 8)):
        X = latent @ rng.normal(size=(3, n_features)) + 0.3 * rng.normal(size=(200, n_features))
        names = pd.DataFrame(index=[f"{name}{i}" for i in range(n_features)])
        modalities[name] = AnnData(X.astype(np.float32), obs=cells, var=names)
    mdata = mudata.MuData(modalities)
    fit(mdata, 4, recipe=plain, holdout=0, **QUIET)
    return mdata.copy


def naive(mdata, n_directions, cells, key="clipdim"):
    """The definition in pandas, cells matched by name; one DataFrame of (features x directions) for each modality."""
    split = mdata.obs[f"{key}_split"]
    joint = pd.DataFrame(mdata.obsm[f"X_{key}"], index=mdata.obs_names).loc[split == "train"].astype(float)
    axes = np.linalg.svd(joint - joint.mean(), full_matrices=False)[2][:n_directions].T
    own = {
        name: pd.DataFrame(adata.obsm[f"X_{key}"] @ axes, index=adata.obs_names).reindex(mdata.obs_names)
        for name, adata in mdata.mod.items()
    }
    found = {}
    for name, adata in mdata.mod.items():
        X = adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X
        X = pd.DataFrame(X.astype(float), index=adata.obs_names, columns=adata.var_names)
        # a modality that a cell lacks is NaN, which the mean over the others skips
        others = pd.concat([frame for other, frame in own.items() if other != name]).groupby(level=0).mean()
        others = others.loc[others.index.isin(cells) & others.notna().all(axis=1)]
        shared = others.index.intersection(X.index)
        found[name] = pd.DataFrame({k + 1: X.loc[shared].corrwith(others.loc[shared, k]) for k in others})
    everything = pd.concat(found.values())
    signs = np.sign([everything[k].iloc[everything[k].abs().to_numpy().argmax()] for k in everything])
    return {name: frame * signs for name, frame in found.items()}


def matrix(table, name):
    rows = table[table["modality"] == name]
    return rows.pivot_table(index="feature", columns="direction", values="loading", observed=True, sort=False)


@pytest.mark.parametrize(("names", "lacking"), [(("rna", "prot"), 25), (("rna", "prot", "atac"), 30)])
def test_equals_the_definition(make_mdata, names, lacking):
    mdata = make_mdata(names=names, lacking=lacking)
    fit(mdata, 4, holdout=0.4, **QUIET)
    split = mdata.obs["clipdim_split"]
    for cells in ("all", "train", "held-out"):
        table = loadings(mdata, n_directions=3, cells=cells)
        used = mdata.obs_names[split.notna() if cells == "all" else split == cells]
        for name, expected in naive(mdata, 3, used).items():
            found = matrix(table, name)
            assert found.index.tolist() == mdata[name].var_names.tolist()
            np.testing.assert_allclose(found, expected, atol=1e-5)
            (n_cells,) = table.loc[table["modality"] == name, "n_cells"].unique()
            assert n_cells == np.isin(used, mdata[name].obs_names).sum()


def test_variance_agreement_signs_and_directions(simulated):
    table = loadings(simulated, n_directions=4)
    axes = simulated.uns["clipdim"]["directions"]
    assert axes.dtype == np.float32
    np.testing.assert_allclose(axes.T @ axes, np.eye(4), atol=1e-5)
    train, held_out = ((simulated.obs["clipdim_split"] == name).to_numpy() for name in ("train", "held-out"))
    points = simulated.obsm["X_clipdim"]
    positions = points @ axes
    of_rna, of_prot = (simulated[name].obsm["X_clipdim"] @ axes for name in ("rna", "prot"))
    np.testing.assert_allclose(np.corrcoef(positions[train].T), np.eye(4), atol=1e-3)
    assert held_out.sum() >= 100
    for direction, rows in table.groupby("direction"):
        k = direction - 1
        share = positions[train, k].var() / points[train].var(axis=0).sum()
        np.testing.assert_allclose(rows["variance"], share, rtol=1e-4)
        agreement = np.corrcoef(of_rna[held_out, k], of_prot[held_out, k])[0, 1]
        np.testing.assert_allclose(rows["agreement"], agreement, atol=1e-5)
        assert rows["loading"].abs().max() == rows["loading"].max()
        # the joint position has the same sign
        strongest = rows.loc[rows["loading"].idxmax()]
        values = simulated[strongest["modality"]][:, strongest["feature"]].X
        values = values.toarray() if hasattr(values, "toarray") else values
        assert np.corrcoef(values[:, 0], positions[:, k])[0, 1] > 0
    variance = table.drop_duplicates("direction")["variance"]
    assert variance.is_monotonic_decreasing
    assert variance.sum() < 1


@pytest.mark.parametrize(("modality", "least"), [("rna", 0.98), ("prot", 0.95)])
def test_features_load_as_much_as_they_share(simulated, modality, least):
    adata = simulated[modality]
    found = matrix(loadings(simulated), modality).reindex(adata.var_names).to_numpy()
    X = adata.X.toarray() if modality == "rna" else adata.X
    latent = simulated.obsm["shared_latent"]
    basis = np.linalg.qr(latent - latent.mean(axis=0))[0]
    varies = X.std(axis=0) > 0
    X = X[:, varies] - X[:, varies].mean(axis=0)
    explained = np.square(basis.T @ X).sum(axis=0) / np.square(X).sum(axis=0)
    assert (np.isfinite(found).all(axis=1) == varies).all()
    strength = np.square(found[varies]).sum(axis=1)
    assert np.corrcoef(strength, explained)[0, 1] > least
    # of the three directions that are shared, next to nothing is private
    truth = adata.varm["loadings"].astype(float)
    weights = np.linalg.lstsq(truth, np.nan_to_num(found[:, :3]), rcond=None)[0] ** 2
    assert weights[3:].sum() < 0.03 * weights.sum()


def test_private_features_load_on_no_direction():
    """Features that see only what their modality has alone, in a fit whose embedding has room for it."""
    rng = np.random.default_rng(0)
    cells = pd.DataFrame(index=[f"cell{i}" for i in range(2000)])
    shared, modalities = rng.normal(size=(2000, 2)), {}
    for name in ("rna", "prot"):
        private = rng.normal(size=(2000, 2))
        latent = np.hstack([shared, private]).repeat(4, axis=1)
        X = (latent + 0.3 * rng.normal(size=latent.shape)).astype(np.float32)
        modalities[name] = AnnData(X, obs=cells, var=pd.DataFrame(index=[f"{name}{i}" for i in range(16)]))
    mdata = mudata.MuData(modalities)
    fit(mdata, 8, progress=False, device="cpu")
    table = loadings(mdata)
    for name in modalities:
        strength = np.sqrt(np.square(matrix(table, name)).sum(axis=1))
        assert strength.iloc[:8].min() > 0.8
        assert strength.iloc[8:].max() < 0.2


def test_cells_in_any_order_and_sparse_or_dense(simulated):
    expected = loadings(simulated)
    other = mudata.MuData({name: adata.copy() for name, adata in simulated.mod.items()})
    rng = np.random.default_rng(0)
    other.mod["prot"] = other["prot"][rng.permutation(other.n_obs)].copy()
    other.mod["rna"].X = other["rna"].X.toarray()
    other.mod["prot"].X = csr_matrix(other["prot"].X)
    other.obs["clipdim_split"] = simulated.obs["clipdim_split"]
    other.obsm["X_clipdim"], other.uns["clipdim"] = simulated.obsm["X_clipdim"], simulated.uns["clipdim"]
    pd.testing.assert_frame_equal(loadings(other), expected, atol=1e-6)


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_survives_the_file(small, through_file, form):
    mdata = small()
    table = loadings(mdata, n_directions=2)
    pd.testing.assert_frame_equal(mdata.uns["clipdim"]["loadings"], table)
    directions = mdata.uns["clipdim"]["directions"]
    again = through_file(mdata, form)
    stored = again.uns["clipdim"]["loadings"].reset_index(drop=True)
    pd.testing.assert_frame_equal(stored, table, check_exact=True)
    np.testing.assert_array_equal(again.uns["clipdim"]["directions"], directions)
    pd.testing.assert_frame_equal(loadings(again, n_directions=2), table)


def test_layers_and_constant_features(small):
    mdata = small()
    expected = loadings(mdata)
    assert expected["direction"].max() == 4
    for adata in mdata.mod.values():
        adata.layers["measured"] = csr_matrix(3 * adata.X + 1)
        adata.X = np.zeros_like(adata.X)
    pd.testing.assert_frame_equal(loadings(mdata, layer="measured"), expected, atol=1e-5)
    mdata["prot"].X = mdata["prot"].layers["measured"].toarray()
    mdata["prot"].X[:, 3] = 5
    found = loadings(mdata, layer={"rna": "measured"})
    constant = found["feature"] == "prot3"
    assert found.loc[constant, "loading"].isna().all()
    assert not found.loc[~constant, "loading"].isna().any()
    np.testing.assert_allclose(matrix(found, "rna"), matrix(expected, "rna"), atol=1e-5)


def test_warns_of_values_that_are_not_measured_expression(small):
    mdata = small()
    mdata["rna"].obsm["X_scVI"] = mdata["rna"].X.copy()
    with pytest.warns(UserWarning, match=r"X of modality 'rna' is .obsm\['X_scVI'\].*layer=\{'rna': \.\.\.\}"):
        loadings(mdata)
    del mdata["rna"].obsm["X_scVI"]
    mdata["rna"].X = csr_matrix(np.random.default_rng(0).poisson(20, size=mdata["rna"].shape).astype(np.float32))
    with pytest.warns(UserWarning, match=r"X of modality 'rna' holds .* raw counts.*clipdim.pp.citeseq\(mdata\)"):
        loadings(mdata)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (
            {"n_directions": 0},
            ValueError,
            "n_directions must be .* at least 1 and at most 4, got 0; there are 4 dimensions",
        ),
        ({"n_directions": 5}, ValueError, "n_directions must be .* at most 4, got 5; there are 4 dimensions"),
        ({"n_directions": 2.0}, TypeError, "n_directions must be an integer .* got 2.0"),
        ({"n_directions": True}, TypeError, "n_directions must be an integer .* got True"),
        ({"cells": "test"}, ValueError, "cells must be one of .* got 'test'"),
        ({"key": "other"}, KeyError, r"no fit in mdata.uns\['other'\].*clipdim.tl.fit"),
        ({"layer": "raw"}, KeyError, "modality 'rna' has no layer 'raw'"),
        ({"layer": {"atac": "raw"}}, KeyError, "not among the modalities of the fit"),
    ],
)
def test_bad_arguments(small, unchanged, arguments, error, match):
    mdata = small()
    with unchanged(mdata), pytest.raises(error, match=match):
        loadings(mdata, **arguments)


def test_bad_objects(small, unchanged):
    mdata = small()
    record = mdata.uns.pop("clipdim")
    with unchanged(mdata), pytest.raises(KeyError, match=r"no fit in mdata.uns\['clipdim'\]"):
        loadings(mdata)
    mdata.uns["clipdim"] = record
    with pytest.raises(TypeError, match="expected a MuData"):
        loadings(mdata["rna"])
    with pytest.raises(ValueError, match="view"):
        loadings(mdata[:50])
    with unchanged(mdata), pytest.raises(ValueError, match=r"0 cells of cells='held-out'.*pass cells='all'"):
        loadings(mdata, cells="held-out")
    query = mudata.MuData({name: adata.copy() for name, adata in mdata.mod.items()})
    query.obsm["X_clipdim"] = mdata.obsm["X_clipdim"]
    with unchanged(query), pytest.raises(KeyError, match="came from the encoders of another MuData"):
        loadings(query)
    few = mdata[:5].copy()
    with unchanged(few), pytest.raises(ValueError, match=r"5 cells of .* at least 10 are needed for the directions"):
        loadings(few)


def test_bad_values(small, unchanged):
    mdata = small()
    good, names = mdata["prot"].X.copy(), mdata["prot"].var_names.copy()
    mdata["prot"].X[3, 2] = np.nan
    with unchanged(mdata), pytest.raises(ValueError, match=r"'prot'.*NaN or infinite.*layer=\{'prot'"):
        loadings(mdata)
    mdata["prot"].X = np.ones_like(good)
    with unchanged(mdata), pytest.raises(ValueError, match="every feature of modality 'prot' is constant"):
        loadings(mdata)
    mdata["prot"].X = good.astype(complex)
    with unchanged(mdata), pytest.raises(TypeError, match="X of modality 'prot' has dtype complex128"):
        loadings(mdata)
    mdata["prot"].X = None
    with unchanged(mdata), pytest.raises(ValueError, match=r"^modality 'prot' has no X; name one of its layers"):
        loadings(mdata)
    mdata["prot"].X = good
    mdata["prot"].var_names = ["same", "same", *names[2:]]
    with pytest.raises(ValueError, match=r"not unique.*mdata\['prot'\].var_names_make_unique"):
        loadings(mdata)


@pytest.mark.parametrize("sparse", [False, True])
def test_values_of_yes_and_no(small, sparse):
    mdata = small()
    seen = mdata["prot"].X > 0
    mdata["prot"].X = seen.astype(np.float32)
    expected = loadings(mdata)
    mdata["prot"].X = csr_matrix(seen) if sparse else seen
    pd.testing.assert_frame_equal(loadings(mdata), expected)


@pytest.mark.parametrize("layer", [3, ["counts"], {"prot": 3}, {"prot": ["counts"]}])
def test_layer_that_is_no_name(small, unchanged, layer):
    mdata = small()
    with unchanged(mdata), pytest.raises(TypeError, match=r"layer must be the name of a layer.* got (3|\['counts'\])"):
        loadings(mdata, layer=layer)


# the panel has no CD20, so the gene of CD20 is held against CD19, the other protein of B cells
MARKERS = [("CD14", "CD14"), ("CD8A", "CD8a"), ("MS4A1", "CD19"), ("NCAM1", "CD56"), ("FCGR3A", "CD16")]


def found_together(table, *, n_proteins=3, n_genes=80):
    """Whether a gene and a protein are among the first of one end of a direction, (genes x proteins): 2 % of 4,000."""
    genes, proteins = matrix(table, "rna").fillna(0), matrix(table, "prot")
    found = np.zeros((len(genes), len(proteins)), dtype=bool)
    for direction in proteins:
        for sign in (-1, 1):
            first = [
                (sign * frame[direction]).rank(ascending=False).to_numpy() <= n
                for frame, n in ((genes, n_genes), (proteins, n_proteins))
            ]
            found |= np.outer(*first)
    return pd.DataFrame(found, index=genes.index, columns=proteins.index)


@pytest.mark.slow
def test_markers_of_pbmc10k(data_dir):
    mdata = datasets.pbmc10k()
    pp.citeseq(mdata)
    fit(mdata, progress=False, device="cpu")
    table = loadings(mdata)
    found, strictly = found_together(table), found_together(table, n_genes=40)
    assert [pair for pair in MARKERS if not found.loc[pair]] == []
    # the RNA of NCAM1 is seen in few cells; the others are among the first 1 %
    assert [pair for pair in MARKERS if not strictly.loc[pair] and pair[0] != "NCAM1"] == []
    # a gene drawn at random is seldom found, so all five by chance in one of 100,000 draws at most
    assert found[[protein for _, protein in MARKERS]].mean().max() < 0.15
    assert np.prod([found[protein].mean() for _, protein in MARKERS]) < 1e-5


@pytest.mark.slow
def test_nothing_loads_where_cells_are_paired_at_random(data_dir):
    mdata = datasets.pbmc10k()
    mdata["prot"].X = mdata["prot"].X[np.random.default_rng(0).permutation(mdata.n_obs)]
    pp.citeseq(mdata)
    fit(mdata, progress=False, device="cpu")
    table = loadings(mdata)
    # of a protein alone, in three permutations .31 to .36
    assert table["loading"].abs().max() < 0.4
    assert table["agreement"].abs().max() < 0.2
    found = found_together(table)
    assert sum(found.loc[pair] for pair in MARKERS) < 3
