"""What other methods say of the same data."""

import numpy as np
from mudata import MuData
from scipy.stats import false_discovery_control, pearsonr

import clipdim
from benchmarks.shared_dimension.settings import Setting

OUT_DIMS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
# nats, of the information of a fit
STANDARD_ERROR = 0.02
LEVEL = 0.05
MOST_CELLS = 20_000


def read(mdata: MuData, setting: Setting, *, random_state: int = 0) -> dict[str, int]:
    """Count shared dimensions by each of the cheap methods."""
    rng = np.random.default_rng(random_state)
    u, v, r = canonical(*inputs(mdata, setting, rng))
    return {"cca_edge": above_edge(r, u, v), "mojitoo": mojitoo(r, u, v), "permutation": permutations(u, v, rng)}


def inputs(mdata: MuData, setting: Setting, rng: np.random.Generator) -> list[np.ndarray]:
    """Return what the fit was given, each column standardised, and centred within the batches where there is a key."""
    rows = np.sort(rng.permutation(mdata.n_obs)[:MOST_CELLS])
    found = []
    for adata in mdata.mod.values():
        values = np.asarray(adata.X if setting.use_rep == "X" else adata.obsm["X_pca"], np.float64)[rows]
        if setting.batch_key is not None:
            batch = mdata.obs[setting.batch_key].to_numpy()[rows]
            for one in np.unique(batch):
                values[batch == one] -= values[batch == one].mean(axis=0)
        values = values - values.mean(axis=0)
        found.append(values / values.std(axis=0).clip(1e-12))
    return found


def canonical(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return orthonormal canonical variates, also those without partner, and the canonical correlations."""
    bases = []
    for values in (x, y):
        left, singular, _ = np.linalg.svd(values, full_matrices=False)
        bases.append(left[:, singular > 1e-8 * singular[0]])
    left, r, right = np.linalg.svd(bases[0].T @ bases[1])
    return bases[0] @ left, bases[1] @ right.T, r.clip(0, 1 - 1e-12)


def above_edge(r: np.ndarray, u: np.ndarray, v: np.ndarray) -> int:
    """Count correlations above those of independent noise (Wachter, Annals of Statistics 8, 1980)."""
    c1, c2 = u.shape[1] / len(u), v.shape[1] / len(v)
    return int((r**2 > (np.sqrt(c1 * (1 - c2)) + np.sqrt(c2 * (1 - c1))) ** 2).sum())


def mojitoo(r: np.ndarray, u: np.ndarray, v: np.ndarray) -> int:
    """Count pairs with a significant correlation in sample (MOJITOO: Cheng, Li and Costa, Bioinformatics 38, 2022)."""
    p = [pearsonr(u[:, i], v[:, i]).pvalue for i in range(len(r))]
    return int((false_discovery_control(p) < LEVEL).sum())


def permutations(u: np.ndarray, v: np.ndarray, rng: np.random.Generator, *, n_permutations: int = 200) -> int:
    """Count stepwise by permutations of what earlier pairs leave (Winkler and others, NeuroImage 220, 2020)."""
    for step in range(min(u.shape[1], v.shape[1])):
        rest, partner = u[:, step:], v[:, step:]
        found = wilks(rest, partner)
        chance = [wilks(rest[rng.permutation(len(rest))], partner) for _ in range(n_permutations)]
        if (1 + sum(one >= found for one in chance)) / (1 + n_permutations) > LEVEL:
            return step
    return min(u.shape[1], v.shape[1])


def wilks(u: np.ndarray, v: np.ndarray) -> float:
    """Logarithm of Wilks' statistic of orthonormal columns, the larger the more they are related."""
    r = np.linalg.svd(u.T @ v, compute_uv=False)
    return float(-np.log1p(-(r.clip(0, 1 - 1e-9) ** 2)).sum())


def information(setting: Setting, repeat: int, out_dim: int) -> float:
    """Nats that a fit of so many columns finds on its held-out cells."""
    mdata = setting.make(repeat)
    clipdim.tl.fit(mdata, out_dim, use_rep=setting.use_rep, batch_key=setting.batch_key, progress=False)
    return float(mdata.uns["clipdim"]["shared_dimension"]["information"].iloc[0])


def saturation(by_out_dim: dict[int, float]) -> int:
    """Fewest columns of which the information is a standard error below the best (Gulati et al., arXiv 2602.08105)."""
    best = np.nanmax(list(by_out_dim.values()))
    return min(out_dim for out_dim, nats in by_out_dim.items() if nats >= best - STANDARD_ERROR)
