"""What single tools do with the cells that they get."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from mudata import MuData
from scipy.stats import multivariate_normal, norm
from sklearn.neighbors import KNeighborsClassifier

import clipdim
from benchmarks.peers import data, peer, run
from benchmarks.peers.tools import cca


def test_canonical_variates_match_by_the_likelihood_ratio_of_their_model(small, parts, monkeypatch):
    monkeypatch.setattr(cca, "N_COMPONENTS", 4)
    job = peer.Job(*parts, small, 0, 1, quick=False)
    components = cca.PEER.prepare(job)
    fitted = cca.fit(job, components)
    vectors = list(cca.embed(job, components, fitted).modalities.values())
    rho, n = fitted[1], job.known.n_obs
    x, y = (z[n : n + 5] for z in cca._standardized(fitted[0].transform(*components.values()), n))
    ratios = vectors[0][n : n + 5] @ vectors[1][n : n + 5].T
    pairs = [multivariate_normal([0, 0], [[1, r], [r, 1]]) for r in rho]
    expected = [
        [
            sum(p.logpdf([a, b]) - norm.logpdf(a) - norm.logpdf(b) for p, a, b in zip(pairs, u, v, strict=True))
            for v in y
        ]
        for u in x
    ]
    np.testing.assert_allclose(ratios, np.array(expected) - np.sum(-np.log(1 - rho**2) / 2), atol=1e-6)


def test_harmony_takes_batches_away_and_needs_them(small, parts, job, monkeypatch):
    pytest.importorskip("harmonypy")
    from benchmarks.peers.tools import harmony

    cells = peer.Job(*parts, small, 0, 1, quick=False)
    batches = np.concatenate([part.obs["batch"] for part in (cells.known, cells.new)])
    rng = np.random.default_rng(0)
    types = rng.integers(3, size=len(batches))
    values = rng.normal(size=(len(batches), 5)) + 8 * np.eye(5)[types]
    values[batches == batches[0], 4] += 3
    corrected = harmony.correct(cells, values)
    for names, kept in ((batches, False), (types, True)):
        known, new = slice(cells.known.n_obs), slice(cells.known.n_obs, None)
        named = KNeighborsClassifier(15).fit(corrected[known], names[known]).score(corrected[new], names[new])
        assert named > 0.95 if kept else named < 0.7
    monkeypatch.setattr(clipdim.tl, "fit", partial(clipdim.tl.fit, max_epochs=2))
    scores = run.measure(job(peer="Harmony + clipdim"))
    assert {"15-NN accuracy", "top-0.5 %", "run named"} <= set(scores)
    monkeypatch.setitem(data.DATA, "small", replace(small, batch=None))
    for name in ("Harmony", "Harmony + clipdim"):
        assert run.measure(job(peer=name))["error"].startswith("cannot run: no batches")


def test_corrected_components_keep_to_their_cells(small, parts, monkeypatch):
    """Whatever the order of the cells in a modality."""
    pytest.importorskip("harmonypy")
    from benchmarks.peers.tools import harmony, harmony_clipdim

    def shuffled(part, seed):
        prot = part["prot"]
        prot = prot[np.random.default_rng(seed).permutation(prot.n_obs)].copy()
        found = MuData({"rna": part["rna"].copy(), "prot": prot})
        found.obs = part.obs.loc[found.obs_names]
        return found

    known, new = (shuffled(part, seed) for seed, part in enumerate(parts))
    seen = []

    def doubled(job, values):
        seen.append(values)
        return values * 2

    monkeypatch.setattr(harmony, "correct", doubled)
    monkeypatch.setattr(clipdim.tl, "fit", lambda *args, **kwargs: None)
    cells = peer.Job(known, new, small, 0, 1, quick=False)
    harmony_clipdim.PEER.prepare(cells)
    harmony_clipdim.PEER.fit(cells, None)
    for part in (known, new):
        for adata in part.mod.values():
            np.testing.assert_array_equal(adata.obsm["X_pca_harmony"], adata.obsm["X_pca"] * 2)
    # Harmony sees the cells in the order of the batches that it is told
    for values, adata in zip(seen, known.mod.values(), strict=True):
        np.testing.assert_array_equal(values[0], adata[known.obs_names[0]].obsm["X_pca"][0])


@pytest.mark.slow
def test_new_cells_on_the_weights_of_mofa(small, parts):
    pytest.importorskip("mofapy2")
    from benchmarks.peers.tools import mofa

    job = peer.Job(*parts, small, 0, 1, quick=False)
    prepared = mofa.PEER.prepare(job)
    fitted = mofa.fit(job, prepared)
    found = mofa.embed(job, prepared, fitted)
    factors = fitted.obsm["X_mofa"]
    used = factors.std(axis=0) > 0.1
    for mine, its in zip(found.joint[: job.known.n_obs, used].T, factors[:, used].T, strict=True):
        assert np.corrcoef(mine, its)[0, 1] > 0.95
    assert found.joint.shape[0] == 400
    assert all(np.allclose(np.linalg.norm(x, axis=1), 1) for x in found.modalities.values())
