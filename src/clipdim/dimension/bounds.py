"""Which directions of a shared spectrum count, and how surely."""

from collections.abc import Sequence

import numpy as np

from clipdim.dimension.shared_spectrum import SIGNIFICANT, Spectrum

# a direction counts that has so much of the information of the first one, and of the one before it: what is left of
# curved directions has 0.3 to 6 % of the first and up to 12 % of the last one, behind a cliff
OF_FIRST = 0.02
OF_PREVIOUS = 0.14
# a direction that three and more modalities share has so much of the information of the pair that shares least: what
# each two of them share agrees a little on a sphere
OF_PAIRS = 0.15
# a direction may be one if it has so much of the first
PERHAPS_OF_FIRST = 0.005
N_RESAMPLES = 200
# than the latest fall of information from one direction to the next: such a step is a cliff
STEEPER = 0.25


def significant(spectrum: Spectrum) -> int:
    """Count the directions, from the first on, that are more than chance."""
    return int((spectrum.z > SIGNIFICANT).cumprod().sum())


def perhaps(spectrum: Spectrum) -> int:
    """Count the significant directions that have enough information to be real."""
    information = spectrum.information[: significant(spectrum)]
    if spectrum.information[0] < OF_PAIRS * spectrum.of_pairs:
        return 0
    return int((information > PERHAPS_OF_FIRST * spectrum.information[0]).cumprod().sum())


def above_shares(information: np.ndarray, spectrum: Spectrum) -> np.ndarray:
    """Count those of the significant directions of a spectrum that have enough information, (directions x ...)."""
    information = information[: significant(spectrum)]
    if not len(information):
        return np.zeros(information.shape[1:], dtype=int)
    previous = np.concatenate([information[:1], information[:-1]])
    enough = (information > 0) & (information >= OF_FIRST * information[0]) & (information >= OF_PREVIOUS * previous)
    enough &= information[0] >= OF_PAIRS * spectrum.of_pairs
    return enough.cumprod(axis=0).sum(axis=0)


def resampled(spectrum: Spectrum, part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Resample fits, and neighbourhoods within them: (directions x N_RESAMPLES) information above chance."""
    members = [np.flatnonzero(part == one) for one in np.unique(part)]
    chosen = []
    for _ in range(N_RESAMPLES):
        own = [members[i] for i in rng.integers(len(members), size=len(members))]
        # as many of each resample, whatever the fits have
        places = np.concatenate([rng.choice(one, len(one)) for one in own])
        chosen.append(np.resize(places, len(part)))
    found = np.median(spectrum.above_chance[:, np.array(chosen)], axis=2)
    # the median of what is above the mean by chance is not zero by chance
    return found + (spectrum.information - np.median(spectrum.above_chance, axis=1))[:, None]


def interval(counts: Sequence[np.ndarray], spectra: Sequence[Spectrum]) -> tuple[float, float]:
    """Take the ends of the 95 % interval over both sizes of neighbourhood.

    A spectrum of small ones that had to stop early says no end.
    """
    first = counts[0].mean()
    told = [n for n, spectrum in zip(counts, spectra, strict=True) if not (spectrum.full and n.mean() < first)]
    ends = np.array([np.quantile(n, [0.025, 0.975], method="nearest") for n in told or counts[:1]])
    return float(ends[:, 0].min()), float(ends[:, 1].max())


def with_hidden(spectrum: Spectrum) -> int:
    """Count the directions that may be real, and those that noise may hide.

    Behind a cliff none: where even a much steeper fall than the latest would have left the next direction in sight.
    Where the spectrum sinks into noise, it is taken to go on as slowly as it ever fell.
    """
    information, n = spectrum.information, perhaps(spectrum)
    if n == 0 or n < significant(spectrum):
        return n
    last, enough = information[n - 1], PERHAPS_OF_FIRST * information[0]
    falls = np.clip(information[1:n] / information[: n - 1], 0.05, 0.9) if n > 1 else np.array([0.5])
    unseen = information[n] + 2 * spectrum.error[n] if n < len(information) else last
    if unseen < STEEPER * falls[-1] * last:
        return n
    return n + int(np.ceil(np.log(enough / last) / np.log(falls.max())))
