"""Canonical correlation analysis of the components (scikit-learn), scored by its Gaussian model."""

from typing import Any

import numpy as np
from sklearn.cross_decomposition import CCA

from benchmarks.peers import inputs
from benchmarks.peers.peer import Embedded, Job, Peer

N_COMPONENTS = 15
# two variates that are the same would have an infinite likelihood ratio
LARGEST_CORRELATION = 0.9999


def fit(job: Job, components: dict[str, np.ndarray]) -> tuple[CCA, np.ndarray]:
    """Variates of the known cells, 15 or as many as the smaller modality has features, and their correlations."""
    n, (x, y) = job.known.n_obs, components.values()
    n_components = min(N_COMPONENTS, x.shape[1], y.shape[1])
    model = CCA(n_components=n_components, max_iter=2_000).fit(x[:n], y[:n])
    variates = _standardized(model.transform(x[:n], y[:n]), n)
    return model, np.mean(np.prod(variates, axis=0), axis=0).clip(0, LARGEST_CORRELATION)


def embed(job: Job, components: dict[str, np.ndarray], fitted: tuple[CCA, np.ndarray]) -> Embedded:
    """
    Mean of both modalities' variates, weighted by their correlations, and vectors whose inner products match cells.

    Inner products of the variates themselves would prefer cells far from the mean, and count weak correlations like
    strong ones. Those of the returned vectors are log likelihood ratios, ``log p(x, y) / p(x) p(y)`` up to a constant,
    in the model of Bach and Jordan, "A probabilistic interpretation of canonical correlation analysis" (2005).
    """
    model, rho = fitted
    x, y = _standardized(model.transform(*components.values()), job.known.n_obs)
    squares = rho**2 / (2 * (1 - rho**2))
    one = np.ones((len(x), 1))
    vectors = (
        np.hstack([x * rho / (1 - rho**2), -(x**2 @ squares)[:, None], one]),
        np.hstack([y, one, -(y**2 @ squares)[:, None]]),
    )
    return Embedded((x + y) * rho / 2, dict(zip(components, vectors, strict=True)))


def _standardized(variates: Any, n_known: int) -> np.ndarray:
    """(modalities x cells x variates) of mean 0 and spread 1 over the known cells."""
    values = np.stack(variates)
    return (values - values[:, :n_known].mean(axis=1, keepdims=True)) / values[:, :n_known].std(axis=1, keepdims=True)


PEER = Peer(
    prepare=inputs.components,
    fit=fit,
    embed=embed,
    settings="15 variates of the principal components, weighted by their correlations; matched by likelihood ratio",
    new_cells="both, RNA, protein",
)
