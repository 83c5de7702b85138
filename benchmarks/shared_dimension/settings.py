"""Simulated pairs of modalities that share a known number of dimensions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from zlib import crc32

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.spatial.distance import pdist

import clipdim

NUMBERS = (0, 1, 2, 3, 5, 8, 10)
FEWER_NUMBERS = (0, 2, 5, 10)
# all numbers of shared dimensions with as many cells, fewer numbers with others
MAIN_CELLS = 6_000
CELLS = (MAIN_CELLS, 1_000, 3_000, 12_000)
MANY_CELLS = (100_000, 300_000)
# standard deviation, against features of standard deviation 1.5
NOISE = {"none": 0.05, "weak": 0.3, "medium": 1.0, "strong": 2.0}
SCALE = 1.5
FEATURES = (30, 20)
WIDTH = 64
BATCH = "batch"


@dataclass(frozen=True)
class Setting:
    """Data with a known number of shared dimensions."""

    name: str
    """Without the number of cells."""
    family: str
    true: int
    cells: int
    noise: str
    simulate: Callable[[int, int], MuData]
    """Of the number of cells and a seed."""
    batch_key: str | None = None
    use_rep: str | None = "X"

    def make(self, repeat: int) -> MuData:
        """Simulate data of which each setting, number of cells and repeat has its own."""
        return self.simulate(self.cells, crc32(f"{self.name} {self.cells} {repeat}".encode()) % 2**31)


@dataclass(frozen=True)
class World:
    """What two modalities show."""

    n_shared: int = 0
    manifold: str | None = None
    """On which the shared latents lie, instead of being normal."""
    noise: str = "weak"
    private: tuple[int, int] = (5, 5)
    heavy: bool = False
    """Latents and noise of Student's t with 4 degrees of freedom."""
    network: bool = False
    """Whether a random network mixes the latents, or a random matrix."""
    n_clusters: int = 0
    n_batches: int = 0

    def simulate(self, n_cells: int, seed: int) -> MuData:
        """Draw cells, and what mixes their latents."""
        rng = np.random.default_rng(seed)
        shared = self._shared(n_cells, rng)
        batch = rng.integers(self.n_batches, size=n_cells) if self.n_batches else None
        views = []
        for n_private, n_features in zip(self.private, FEATURES, strict=True):
            latents = np.hstack([shared, self._draw((n_cells, n_private), rng)])
            view = through_network(latents, n_features, rng) if self.network else linear(latents, n_features, rng)
            if batch is not None:
                view += rng.normal(scale=SCALE, size=(self.n_batches, n_features))[batch]
            views.append(view + NOISE[self.noise] * self._draw(view.shape, rng))
        return assemble(views, batch)

    def _shared(self, n_cells: int, rng: np.random.Generator) -> np.ndarray:
        found = [self._draw((n_cells, self.n_shared), rng)]
        if self.manifold is not None:
            found = [MANIFOLDS[self.manifold][1](n_cells, rng)]
        if self.n_clusters:
            found.append(centers(self.n_clusters, rng)[rng.integers(self.n_clusters, size=n_cells)])
        return np.hstack(found)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw values of variance 1."""
        return rng.standard_t(4, size=shape) / np.sqrt(2) if self.heavy else rng.normal(size=shape)


def linear(latents: np.ndarray, n_features: int, rng: np.random.Generator) -> np.ndarray:
    """Mix by a random matrix, so that no feature is a latent."""
    weights = rng.normal(size=(latents.shape[1], n_features))
    return latents @ weights * SCALE / np.sqrt(latents.shape[1])


def through_network(latents: np.ndarray, n_features: int, rng: np.random.Generator) -> np.ndarray:
    """Mix by a random network of one hidden layer; the features' standard deviation is near that of a linear mix."""
    first = rng.normal(size=(latents.shape[1], WIDTH)) * 1.5 / np.sqrt(latents.shape[1])
    hidden = np.tanh(latents @ first + rng.normal(scale=0.5, size=WIDTH))
    return hidden @ rng.normal(size=(WIDTH, n_features)) * 2 * SCALE / np.sqrt(WIDTH)


def centers(n_clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Draw centres in four dimensions that are at least 5 standard deviations of a cluster apart."""
    while True:
        found = rng.normal(scale=3, size=(n_clusters, 4))
        if pdist(found).min() > 5:
            return found


def circle(n_cells: int, rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi, n_cells)
    return 1.4 * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def torus(n_cells: int, rng: np.random.Generator) -> np.ndarray:
    """Two circles."""
    return np.hstack([circle(n_cells, rng), circle(n_cells, rng)])


def sphere(n_cells: int, rng: np.random.Generator) -> np.ndarray:
    points = rng.normal(size=(n_cells, 3))
    return 1.7 * points / np.linalg.norm(points, axis=1, keepdims=True)


def swiss_roll(n_cells: int, rng: np.random.Generator) -> np.ndarray:
    angle = 0.75 * np.pi * rng.uniform(1, 3, n_cells)
    return np.stack([angle * np.cos(angle) / 2, angle * np.sin(angle) / 2, rng.normal(size=n_cells)], axis=1)


MANIFOLDS = {"circle": (1, circle), "torus": (2, torus), "sphere": (2, sphere), "swiss roll": (2, swiss_roll)}


def assemble(views: list[np.ndarray], batch: np.ndarray | None) -> MuData:
    """Make a MuData of two views of the same cells."""
    names = pd.Index([f"cell{i}" for i in range(len(views[0]))])
    adatas = [AnnData(view.astype(np.float32), obs=pd.DataFrame(index=names)) for view in views]
    mdata = MuData(dict(zip(("first", "second"), adatas, strict=True)))
    if batch is not None:
        mdata.obs[BATCH] = batch.astype(str)
    return mdata


def citeseq(n_cells: int, seed: int, *, n_shared: int) -> MuData:
    """Simulate negative-binomial counts of RNA and proteins, normalised."""
    mdata = clipdim.datasets.simulate_citeseq(n_cells=n_cells, n_shared=n_shared, random_state=seed)
    clipdim.pp.citeseq(mdata)
    return mdata


def dataset(n_cells: int, seed: int, *, name: str, n_shared: int) -> MuData:
    """Simulate by ``clipdim.datasets.linear`` or ``nonlinear``."""
    return getattr(clipdim.datasets, name)(n_cells, n_shared=n_shared, random_state=seed)


def settings(cells: tuple[int, ...] = CELLS + MANY_CELLS) -> Iterator[Setting]:
    """Yield all settings with so many cells."""
    for n_cells in cells:
        if n_cells in MANY_CELLS:
            found = [*_counts("many cells", (5,)), *_datasets("many cells", {"linear": (5,)})]
        else:
            numbers = NUMBERS if n_cells == MAIN_CELLS else FEWER_NUMBERS
            found = [
                *_flat(numbers),
                *_curved(),
                *_groups(),
                *_counts("counts", numbers[1:]),
                *_datasets("datasets", {"linear": (2, 5, 10), "nonlinear": (5,)}),
            ]
        yield from (replace(setting, cells=n_cells) for setting in found)


def _of(world: World, name: str, family: str, **changed: str) -> Setting:
    true = world.n_shared if world.manifold is None else MANIFOLDS[world.manifold][0]
    return Setting(f"{name}, {true}", family, true, MAIN_CELLS, world.noise, world.simulate, **changed)


def _flat(numbers: tuple[int, ...]) -> Iterator[Setting]:
    worlds = {
        "linear": World(),
        "network": World(network=True),
        "heavy tails": World(heavy=True),
        "no noise": World(noise="none"),
        "medium noise": World(noise="medium"),
        "strong noise": World(noise="strong"),
        "network with medium noise": World(noise="medium", network=True),
        "unequal private parts": World(private=(10, 2)),
    }
    for name, world in worlds.items():
        yield from (_of(replace(world, n_shared=n), name, name) for n in numbers)


def _curved() -> Iterator[Setting]:
    for manifold in MANIFOLDS:
        yield _of(World(manifold=manifold), manifold, "manifold")
        yield _of(World(manifold=manifold, network=True), f"{manifold} through a network", "manifold")


def _groups() -> Iterator[Setting]:
    for n_shared in (0, 2, 3):
        yield _of(World(n_shared, n_clusters=6), "clusters", "clusters")
    yield _of(World(n_batches=4), "batches without key", "batches")
    for n_shared in (0, 3, 5):
        yield _of(World(n_shared, n_batches=4), "batches with key", "batches", batch_key=BATCH)


def _counts(family: str, numbers: tuple[int, ...]) -> Iterator[Setting]:
    for n in numbers:
        simulate = partial(citeseq, n_shared=n)
        yield Setting(f"counts, {n}", family, n, MAIN_CELLS, "counts", simulate, use_rep=None)


def _datasets(family: str, numbers: dict[str, tuple[int, ...]]) -> Iterator[Setting]:
    for name, several in numbers.items():
        for n in several:
            simulate = partial(dataset, name=name, n_shared=n)
            yield Setting(f"datasets.{name}, {n}", family, n, MAIN_CELLS, "none", simulate)
