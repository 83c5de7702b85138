"""Two or more Gaussian modalities with latents that all, two or one of them have."""

from itertools import combinations

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _check
from clipdim.datasets._assemble import assemble
from clipdim.datasets._correlated import modality

NAMES = "xyzwvutsrq"


def simulate_modalities(
    n_cells: int = 2_000,
    n_shared: int = 3,
    n_pairwise: int = 2,
    *,
    n_modalities: int = 3,
    n_private: int = 2,
    n_features: int = 20,
    noise: float = 0.3,
    missing: float = 0.0,
    random_state: int = 0,
) -> MuData:
    """Simulate two or more modalities of which any two share a known number of dimensions.

    Every cell has independent standard normal latents: some that all modalities show, some for each two modalities that
    only these two show, and some that only one shows. The features of a modality are its latents times a random matrix
    with orthonormal columns, plus noise, so any two modalities have ``n_shared + n_pairwise`` canonical correlations of
    ``1 / (1 + noise**2)``, and the others are 0.

    Parameters
    ----------
    n_cells
        Number of cells, at least one for each modality.
    n_shared
        Number of latents that all modalities show; may be 0.
    n_pairwise
        Number of latents that only the two of a pair show, for each pair of modalities; may be 0.
    n_modalities
        Number of modalities, named ``x``, ``y``, ``z``, ``w`` and so on backwards through the alphabet; 2 to 10.
    n_private
        Number of latents that only one modality shows, for each modality; may be 0.
    n_features
        Number of features of each modality, at least as many as it shows latents.
    noise
        Standard deviation of the noise of each feature; each latent has 1 in its direction.
    missing
        Share of the cells by modalities that are not measured, drawn at random. Every cell has one modality at least,
        so the share is ``1 - 1 / n_modalities`` at most, where no two modalities have a cell in common.
    random_state
        Seed. Global random state is not touched. What the cells do have is what they have without anything missing.

    Returns
    -------
    MuData with the same order of cells in all modalities, cells without the first one coming last in the MuData:

    ``mdata["x"].X``, ``mdata["y"].X``, ...
        features, dense float32 (cells of the modality x ``n_features``)
    ``mdata.obsm["shared"]``
        what all modalities share, float32 (``n_cells`` x ``n_shared``)
    ``mdata.obsm["shared_x_y"]``, ...
        what only the two modalities of a pair share, float32 (``n_cells`` x ``n_pairwise``)
    ``mdata["x"].obsm["private"]``, ...
        what only this modality shows, float32 (cells of the modality x ``n_private``)
    ``mdata.uns["truth"]``
        dict with the arguments ``n_shared``, ``n_pairwise``, ``n_private``, ``noise`` and ``missing``

    Raises
    ------
    TypeError
        If a number is of another type.
    ValueError
        If a number is out of its range, there are too few features for the latents, or no latent for
        a modality.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_modalities(n_cells=300, missing=0.2)
    >>> list(mdata.mod), [key for key in mdata.obsm if key.startswith("shared")]
    (['x', 'y', 'z'], ['shared', 'shared_x_y', 'shared_x_z', 'shared_y_z'])
    >>> sum(adata.n_obs for adata in mdata.mod.values()) / (3 * 300)
    0.8
    """
    n_modalities = _check.integer("n_modalities", n_modalities, least=2, most=len(NAMES))
    n_cells = _check.integer("n_cells", n_cells, least=n_modalities)
    truth = {
        "n_shared": _check.integer("n_shared", n_shared, least=0),
        "n_pairwise": _check.integer("n_pairwise", n_pairwise, least=0),
        "n_private": _check.integer("n_private", n_private, least=0),
        "noise": _check.number("noise", noise, least=0),
        "missing": _check.number("missing", missing, least=0, most=1 - 1 / n_modalities),
    }
    n_latents = n_shared + (n_modalities - 1) * n_pairwise + n_private
    if not 0 < n_latents <= _check.integer("n_features", n_features, least=1):
        msg = (
            f"each modality shows {n_latents} latents, {n_shared} shared by all, {n_pairwise} with each other modality "
            f"and {n_private} of its own; there must be at least 1, and at most n_features={n_features}"
        )
        raise ValueError(msg)

    names = NAMES[:n_modalities]
    rng = np.random.default_rng(_check.seed(random_state))
    of_latents, of_maps, of_noise, of_missing = rng.spawn(4)
    groups = {"shared": (names, n_shared)}
    groups |= {f"shared_{a}_{b}": (a + b, n_pairwise) for a, b in combinations(names, 2)}
    groups |= {name: (name, n_private) for name in names}
    latents = {
        group: of_latents.standard_normal((n_cells, size), dtype=np.float32) for group, (_, size) in groups.items()
    }
    cells = pd.Index([f"cell_{i}" for i in range(n_cells)])
    modalities = {}
    for name, has in zip(names, _measured(n_cells, n_modalities, missing, of_missing), strict=True):
        shown = np.hstack([latents[group] for group, (members, _) in groups.items() if name in members])
        axes, _ = np.linalg.qr(of_maps.normal(size=(n_features, n_latents)))
        features = shown @ axes.T.astype(np.float32)
        features += np.float32(noise) * of_noise.standard_normal(features.shape, dtype=np.float32)
        modalities[name] = modality(name, features[has], cells[has])
        modalities[name].obsm["private"] = latents[name][has]
    common = {group: values for group, values in latents.items() if group not in names}
    mdata = assemble(modalities, pd.DataFrame(index=cells), common)
    mdata.uns["truth"] = truth
    return mdata


def _measured(n_cells: int, n_modalities: int, missing: float, rng: np.random.Generator) -> np.ndarray:
    """Which modalities are measured in which cells, (``n_modalities`` x ``n_cells``) bool."""
    has = np.ones((n_cells, n_modalities), dtype=bool)
    may_lack = has.copy()
    # as many cells keep the one modality as the other, so that no modality is left without cells
    may_lack[np.arange(n_cells), rng.permutation(n_cells) % n_modalities] = False
    candidates = np.flatnonzero(may_lack)
    n_missing = min(round(missing * has.size), len(candidates))
    has.ravel()[rng.choice(candidates, n_missing, replace=False)] = False
    return has.T
