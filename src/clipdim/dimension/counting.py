"""How many dimensions embeddings of the same cells share: what is counted of the shared spectrum, and how surely."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from clipdim import _check
from clipdim.dimension.alignment import alignment
from clipdim.dimension.bounds import above_shares, interval, perhaps, resampled, with_hidden
from clipdim.dimension.estimation import TooFewPointsError, require_points
from clipdim.dimension.places import FEWEST_NEIGHBORS, Island, Places, draw_places, islands, neighborhood_size
from clipdim.dimension.shared_spectrum import N_FLIPS, Spectrum, spectrum_of

# of a neighbourhood half as large, below which it says too little
FEWEST_OF_SECOND = 100
# of the cells that a neighbourhood may have where there are many directions
LARGEST_SHARE = 0.4
# one in a hundred unrelated pairs passes for related
SOMETHING = 0.01


@dataclass(frozen=True)
class SharedDimension:
    """The number of dimensions that embeddings of the same cells share.

    Attributes
    ----------
    estimate
        Mean number of directions that count, over resampled fits and neighbourhoods.
    low
        Lower end of the 95 % interval: over resampled fits and neighbourhoods, of two sizes.
    high
        Upper end of the 95 % interval.
    at_least
        Directions that count in 97.5 % of the resamples, at the size of neighbourhood that shows fewer.
    at_most
        Directions that are more than chance, and those that noise may hide.
    p_value
        Chance to find so much where nothing is shared.
    groups_only
        Whether the embeddings tell the same groups apart and share nothing within these.
    spectrum
        One row for each `direction`, the last one not significant: `information` above chance and by `chance`, in
        nats, its 95 % interval `low` to `high`, `p`, and whether it is `counted`.
    n_neighbors
        Cells of a neighbourhood.
    n_places
        Neighbourhoods.
    around
        Nats that the counted directions hold around each cell, (cells,), NaN where no neighbourhood has it.
    """

    estimate: float
    low: float
    high: float
    at_least: int
    at_most: int
    p_value: float
    groups_only: bool
    spectrum: pd.DataFrame
    n_neighbors: int
    n_places: int
    around: np.ndarray


def shared_dimension(
    *embeddings: ArrayLike,
    parts: ArrayLike | None = None,
    cells: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    quick: bool = False,
    random_state: int = 0,
) -> SharedDimension:
    """Count the dimensions that two or more embeddings of the same cells share.

    In a small neighbourhood, chosen by one of the embeddings alone, what is shared is nearly linear in each, and what
    one has alone is independent of the others. So there are as many directions of correlation as dimensions are shared.
    Each one found is regressed out, with its powers and products, before the next is looked for. A direction counts if
    its correlation is more than that of cells with random signs, and if it has 2 % of the information of the first one
    and 14 % of the one before it.

    Embed cells that the encoders were not trained on: cells learned by heart share what they should not.

    Parameters
    ----------
    *embeddings
        Two or more arrays, (rows x columns), row i of each the same cell. Rows that all have length one are taken as
        points on the sphere.
    parts
        Which fit each row comes from, (rows,): neighbourhoods lie within a fit.
    cells
        Which cell each row is, (rows,), where several fits have embedded the same one. By default all differ.
    groups
        Batch of each row, (rows,): neighbourhoods lie within a batch.
    quick
        Half as many random signs, and neighbourhoods of one size only: a tenth of the time, a rougher interval.
    random_state
        Seed of the draws.

    Returns
    -------
    The number, its interval and the spectrum.

    Raises
    ------
    TypeError
        If fewer than two embeddings are given.
    TooFewPointsError
        If no part and group has 60 rows that no gap divides; a ValueError.
    ValueError
        If the embeddings have different numbers of rows, or values that are not finite.

    References
    ----------
    Winkler and others, NeuroImage 220, 2020, on testing one canonical correlation after another.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> shared, own = rng.normal(size=(1_500, 2)), rng.normal(size=(2, 1_500, 3))
    >>> u, v = (np.hstack([shared, 0.3 * one]) @ rng.normal(size=(5, 8)) for one in own)
    >>> found = shared_dimension(u, v)
    >>> found.at_least, found.at_most
    (2, 2)
    """
    points, labels, cell = _require(embeddings, parts, cells, groups)
    rng = np.random.default_rng(_check.seed(random_state))
    found = islands(points, labels, rng)
    n_neighbors = neighborhood_size(found, labels)
    if not n_neighbors:
        raise TooFewPointsError(_too_few(len(np.unique(cell))))
    n_flips = N_FLIPS // 2 if quick else N_FLIPS
    drawn, spectra = _spectra(points, cell, found, n_neighbors, n_flips, rng, both=not quick)
    drawn_anew = [resampled(spectrum, places.part, rng) for places, spectrum in zip(drawn, spectra, strict=True)]
    counts = [above_shares(one, spectrum) for one, spectrum in zip(drawn_anew, spectra, strict=True)]
    places, spectrum = drawn[0], spectra[0]
    n_counted = int(above_shares(spectrum.information, spectrum))
    p_value = min(1.0, 2 * min(float(spectrum.p[0]), alignment(points, labels)))
    several = len(found) > len({(island.part, island.group, island.modality) for island in found})
    low, high = interval(counts, spectra)
    hidden = 1 if p_value < SOMETHING and not several else 0
    return SharedDimension(
        estimate=float(counts[0].mean()),
        low=low,
        high=high,
        at_least=int(low),
        at_most=max(int(high), hidden, with_hidden(spectrum), *map(perhaps, spectra)),
        p_value=p_value,
        groups_only=n_counted == 0 and p_value < SOMETHING and several,
        spectrum=_table(spectrum, drawn_anew[0], n_counted),
        n_neighbors=places.cells.shape[1],
        n_places=len(places.cells),
        around=_around(spectrum, places, n_counted, cell.max() + 1),
    )


def _too_few(n_cells: int) -> str:
    return (
        f"{n_cells} cells are too few to count shared dimensions: {FEWEST_NEIGHBORS} of one batch that no gap divides "
        f"are the least, {10 * FEWEST_NEIGHBORS} and more are better"
    )


def _require(
    embeddings: Sequence[ArrayLike], parts: ArrayLike | None, cells: ArrayLike | None, groups: ArrayLike | None
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return the points of each embedding, part and group of each row as numbers, and its cell."""
    if len(embeddings) < 2:
        msg = f"{len(embeddings)} embedding was given; what is shared is shared by two or more: pass u, v"
        raise TypeError(msg)
    n_rows = len(embeddings[0])  # type: ignore[arg-type]
    if n_rows < FEWEST_NEIGHBORS:
        raise TooFewPointsError(_too_few(n_rows))
    points = [require_points(one) for one in embeddings]
    if any(len(one) != n_rows for one in points):
        msg = f"the embeddings have {[len(one) for one in points]} rows; row i of each must be the same cell"
        raise ValueError(msg)
    codes = []
    for name, values in (("parts", parts), ("groups", groups), ("cells", cells)):
        given = (np.arange(n_rows) if name == "cells" else np.zeros(n_rows)) if values is None else np.asarray(values)
        if given.shape != (n_rows,):
            msg = f"{name} has shape {given.shape}; expected one value for each of the {n_rows} rows"
            raise ValueError(msg)
        codes.append(pd.factorize(given, use_na_sentinel=False)[0])
    return points, np.stack(codes[:2], axis=1), codes[2]


def _spectra(
    points: list[np.ndarray],
    cells: np.ndarray,
    found: list[Island],
    n_neighbors: int,
    n_flips: int,
    rng: np.random.Generator,
    *,
    both: bool,
) -> tuple[list[Places], list[Spectrum]]:
    """Read the spectrum of neighbourhoods that hold enough cells for all directions, and of half as large ones."""

    def read(size: int) -> tuple[Places, Spectrum]:
        places = draw_places(points, cells, found, size, rng)
        # threads that share each small product wait for each other: three times as long on two busy cores
        with threadpool_limits(1, user_api="blas"):
            return places, spectrum_of(places, rng, n_flips=n_flips)

    spectra = [read(n_neighbors)]
    largest = LARGEST_SHARE * np.median([len(island.rows) for island in found])
    while spectra[0][1].full and 2 * n_neighbors <= largest:
        n_neighbors *= 2
        spectra = [read(n_neighbors)]
    if both and n_neighbors // 2 >= FEWEST_OF_SECOND:
        spectra.append(read(n_neighbors // 2))
    return [places for places, _ in spectra], [spectrum for _, spectrum in spectra]


def _around(spectrum: Spectrum, places: Places, n_counted: int, n_cells: int) -> np.ndarray:
    """Mean over the places that a cell is in of the information of the counted directions."""
    nats = spectrum.above_chance[:n_counted].sum(axis=0)
    times = np.bincount(places.cells.ravel(), minlength=n_cells)
    total = np.bincount(places.cells.ravel(), np.repeat(nats, places.cells.shape[1]), minlength=n_cells)
    return np.divide(total, times, out=np.full(n_cells, np.nan), where=times > 0)


def _table(spectrum: Spectrum, resampled: np.ndarray, n_counted: int) -> pd.DataFrame:
    low, high = np.quantile(resampled, [0.025, 0.975], axis=1)
    direction = np.arange(1, len(low) + 1)
    return pd.DataFrame(
        {
            "direction": direction,
            "information": spectrum.information,
            "chance": spectrum.chance,
            "low": low,
            "high": high,
            "p": spectrum.p,
            "counted": direction <= n_counted,
        }
    )
