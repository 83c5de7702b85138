from itertools import combinations

import mudata
import numpy as np
import pytest

from clipdim import datasets


def canonical_correlations(a, b):
    a, b = (np.linalg.qr(values - values.mean(axis=0))[0] for values in (a, b))
    return np.linalg.svd(a.T @ b, compute_uv=False)


@pytest.fixture(scope="module")
def complete():
    return datasets.simulate_modalities(6_000)


def test_layout(complete, tmp_path):
    complete.write(tmp_path / "three.h5mu")
    for mdata in (complete, mudata.read(tmp_path / "three.h5mu")):
        assert list(mdata.mod) == ["x", "y", "z"]
        assert dict(mdata.uns["truth"]) == {
            "n_shared": 3,
            "n_pairwise": 2,
            "n_private": 2,
            "noise": 0.3,
            "missing": 0.0,
        }
        assert mdata.obsm["shared"].shape == (6_000, 3)
        for a, b in combinations("xyz", 2):
            assert mdata.obsm[f"shared_{a}_{b}"].shape == (6_000, 2)
        for name, adata in mdata.mod.items():
            assert adata.X.dtype == adata.obsm["private"].dtype == np.float32
            assert adata.shape == (6_000, 20)
            assert adata.obsm["private"].shape == (6_000, 2)
            assert adata.var_names[0] == f"{name}_1"


def test_two_modalities_share_what_all_and_what_the_two_have(complete):
    for a, b in combinations("xyz", 2):
        found = canonical_correlations(complete[a].X, complete[b].X)
        np.testing.assert_allclose(found[:5], 1 / 1.09, atol=0.02)
        assert found[5] < 0.12


def test_latents_are_where_they_belong(complete):
    """A latent is seen in the modalities that it is named after and is independent of all the others."""
    latents = {name: complete.obsm[name] for name in complete.obsm if name.startswith("shared")}
    latents |= {name: adata.obsm["private"] for name, adata in complete.mod.items()}
    together = np.hstack(list(latents.values()))
    np.testing.assert_allclose(np.cov(together.T), np.eye(15), atol=5 / np.sqrt(6_000))
    for group, values in latents.items():
        owners = "xyz" if group == "shared" else group.removeprefix("shared_").split("_")
        for name in "xyz":
            found = canonical_correlations(complete[name].X, values)
            if name in owners:
                np.testing.assert_allclose(found, 1 / np.sqrt(1.09), atol=0.02)
            else:
                assert found.max() < 0.12


def test_without_noise_the_features_are_a_rotation_of_the_latents():
    mdata = datasets.simulate_modalities(50, 2, 1, noise=0, n_private=1, n_features=5)
    latents = [mdata.obsm["shared"], mdata.obsm["shared_x_z"], mdata.obsm["shared_y_z"], mdata["z"].obsm["private"]]
    latents = np.hstack(latents)
    np.testing.assert_allclose(mdata["z"].X @ mdata["z"].X.T, latents @ latents.T, atol=1e-4)


@pytest.mark.parametrize("missing", [0.1, 0.4, 2 / 3])
def test_missing(missing, tmp_path):
    complete, mdata = datasets.simulate_modalities(500), datasets.simulate_modalities(500, missing=missing)
    mdata.write(tmp_path / "mosaic.h5mu")
    mdata = mudata.read(tmp_path / "mosaic.h5mu")
    assert mdata.n_obs == 500
    assert sum(adata.n_obs for adata in mdata.mod.values()) == 1_500 - round(1_500 * missing)
    n_modalities = np.hstack([mdata.obsm[name] for name in "xyz"]).sum(axis=1)
    assert n_modalities.min() == 1
    assert (n_modalities.max() == 1) == (missing == 2 / 3)
    for name, adata in mdata.mod.items():
        assert 0.8 < adata.n_obs / (500 * (1 - missing)) < 1.2
        known = complete[name][adata.obs_names]
        np.testing.assert_array_equal(adata.X, known.X)
        np.testing.assert_array_equal(adata.obsm["private"], known.obsm["private"])
    rows = complete.obs_names.get_indexer(mdata.obs_names)
    for name in ("shared", "shared_x_y", "shared_y_z"):
        np.testing.assert_array_equal(mdata.obsm[name], complete.obsm[name][rows])


def test_two_and_ten_modalities():
    two = datasets.simulate_modalities(100, 2, 1, n_modalities=2, n_private=0, n_features=3)
    assert list(two.mod) == ["x", "y"]
    assert two["x"].obsm["private"].shape == (100, 0)
    many = datasets.simulate_modalities(10, 1, 0, n_modalities=10, missing=0.9)
    assert "".join(many.mod) == "xyzwvutsrq"
    assert [adata.n_obs for adata in many.mod.values()] == [1] * 10
    only_pairs = datasets.simulate_modalities(4_000, 0, 2)
    assert (canonical_correlations(only_pairs["x"].X, only_pairs["y"].X) > 0.5).sum() == 2


def test_reproducible():
    state = np.random.get_state()[1].copy()
    first, again = (datasets.simulate_modalities(50, missing=0.3, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    other = datasets.simulate_modalities(50, missing=0.3, random_state=4)
    for name in "xyz":
        np.testing.assert_array_equal(first[name].X, again[name].X)
        assert list(first[name].obs_names) == list(again[name].obs_names)
    assert list(first["x"].obs_names) != list(other["x"].obs_names)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_cells": 2}, "n_cells .* at least 3, got 2"),
        ({"n_modalities": 1}, "n_modalities .* at least 2 and at most 10, got 1"),
        ({"n_modalities": 11, "n_pairwise": 0, "n_cells": 20}, "n_modalities .* at most 10, got 11"),
        ({"n_shared": -1}, "n_shared .* at least 0, got -1"),
        ({"n_features": 8}, "each modality shows 9 latents, 3 shared by all, 2 with .* 2 of its own.* n_features=8"),
        ({"n_shared": 0, "n_pairwise": 0, "n_private": 0}, "each modality shows 0 latents"),
        ({"noise": -0.1}, r"noise .* at least 0, got -0\.1"),
        ({"noise": np.inf}, "noise .* got inf"),
        ({"missing": np.nan}, "missing .* got nan"),
        ({"missing": 0.7}, r"missing .* at least 0 and at most 0\.666667, got 0\.7"),
        ({"random_state": -1}, "random_state .* got -1"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        datasets.simulate_modalities(**{"n_cells": 20, **arguments})


@pytest.mark.parametrize("arguments", [{"n_pairwise": 1.5}, {"n_private": True}, {"random_state": None}])
def test_arguments_of_another_type(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(TypeError, match=f"{name} must be an integer .* got {value!r}"):
        datasets.simulate_modalities(20, **arguments)
