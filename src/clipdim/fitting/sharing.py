"""How many dimensions modalities share, counted on cells that the encoders have not seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from clipdim import _keys, _mudata
from clipdim.contrast import RECIPES, info_nce
from clipdim.dimension import SharedDimension, TooFewPointsError, shared_dimension
from clipdim.fitting.learning import learn, new_model
from clipdim.fitting.run import Result
from clipdim.fitting.settings import Settings

# candidates among which a cell is told from, whatever the number of cells
N_CANDIDATES = 1_024
# of a cross-fit: what fits of fewer columns have no room for is shared all the same
FEWEST_COLUMNS = 32
N_FOLDS = 2
CROSS_FITTED = "cross-fitted"
ALL = "all"


@dataclass(frozen=True)
class Part:
    """Cells as encoders embed them that were not trained on them."""

    cells: np.ndarray
    """(rows,) number of each cell."""
    by_modality: dict[str, np.ndarray]
    """(rows x columns) for each modality, NaN for cells that lack it."""
    batches: np.ndarray | None
    """(rows,)"""
    temperatures: dict[tuple[str, str], float]

    def of(self, rows: np.ndarray) -> "Part":
        """Return some of the rows."""
        return replace(
            self,
            cells=self.cells[rows],
            by_modality={name: values[rows] for name, values in self.by_modality.items()},
            batches=None if self.batches is None else self.batches[rows],
        )


def cross_fitted_parts(
    data: _mudata.Inputs, *, out_dim: int, settings: Settings, n_repeats: int, max_cells: int
) -> Iterator[Part]:
    """Divide the paired cells into halves several times, and embed each half by a fit of the other.

    The fits take the default recipe, whatever the fit in question took: the answer is about the modalities.
    """
    rng = np.random.default_rng(settings.random_state)
    paired = distinct_cells(data, np.sort(np.concatenate([data.train, data.held_out, data.norm_set])))
    chosen = np.sort(rng.choice(paired, min(len(paired), max_cells), replace=False))
    drawn = _only(data, chosen)
    out_dim, quiet = max(out_dim, FEWEST_COLUMNS), replace(settings, progress=False, keep_interrupted=False)
    bar = tqdm(total=n_repeats * N_FOLDS, desc="cross-fits", disable=not settings.progress, leave=False)
    with bar:
        for repeat in range(n_repeats):
            folds = np.array_split(rng.permutation(len(chosen)), N_FOLDS)
            for i, fold in enumerate(folds):
                others = np.sort(np.concatenate(folds[:i] + folds[i + 1 :]))
                seeded = replace(quiet, random_state=settings.random_state + repeat)
                result = learn(replace(drawn, train=others), out_dim, RECIPES["default"], seeded)
                rows = np.sort(fold)
                yield _part(drawn, rows, chosen[rows], result.fit, result.by_modality)
                bar.update()


def distinct_cells(data: _mudata.Inputs, cells: np.ndarray) -> np.ndarray:
    """Return the first of cells that are equal in all modalities: encoders that were trained on one know its copies."""
    rng, seen = np.random.default_rng(0), np.zeros(len(cells))
    for column, values in enumerate(data.values.values()):
        own = data.rows[cells, column]
        # rows that differ have other sums, but for one chance in a trillion
        seen += np.where(own >= 0, (values @ rng.normal(size=values.shape[1]))[own], 0)
    first = np.unique(seen, return_index=True)[1]
    return np.sort(cells[first])


def _only(data: _mudata.Inputs, cells: np.ndarray) -> _mudata.Inputs:
    """Return the inputs of some cells only, none of which is held out."""
    values, rows = data.of(cells)
    none = np.array([], dtype=np.int64)
    return replace(
        data,
        cells=data.cells[cells],
        values=values,
        rows=np.tile(np.arange(len(cells))[:, None], len(values)) if rows is None else rows,
        batches=None if data.batches is None else data.batches[cells],
        holdout=0.0,
        train=none,
        held_out=none,
        norm_set=none,
    )


def _part(
    data: _mudata.Inputs,
    rows: np.ndarray,
    cells: np.ndarray,
    fit: _mudata.Fit,
    by_modality: Mapping[str, np.ndarray],
) -> Part:
    embedded = {}
    for column, (name, values) in enumerate(by_modality.items()):
        own = data.rows[rows, column]
        embedded[name] = np.where(own[:, None] >= 0, values[own], np.nan)
    temperatures = {pair: fit.temperature_of(*pair) for pair in combinations(by_modality, 2)}
    return Part(cells, embedded, None if data.batches is None else data.batches[rows], temperatures)


@dataclass(frozen=True)
class Sharing:
    """What modalities share."""

    table: pd.DataFrame
    """One row for each pair of modalities, and one for all where there are more."""
    spectrum: pd.DataFrame
    """One row for each direction of each row of the table."""
    around: dict[tuple[str, str], np.ndarray]
    """Of each pair, (cells,) nats shared around each cell, NaN for cells that were not measured."""


def measure_sharing(
    parts: Sequence[Part],
    *,
    cells: str,
    group: str = ALL,
    too_few: str = "",
    quick: bool = False,
    random_state: int = 0,
) -> Sharing:
    """Count what each pair of modalities shares, and what all of them do; or say why the cells are ``too_few``."""
    names = list(parts[0].by_modality)
    sets = [*combinations(names, 2), *([tuple(names)] if len(names) > 2 else [])]
    rows, spectra, around = [], [], {}
    for members in sets:
        first, second = members if len(members) == 2 else (ALL, ALL)
        having = [part.of(_having(part, members)) for part in parts]
        row = {"first": first, "second": second, "group": group}
        try:
            found: SharedDimension | str = too_few or _count(having, members, quick=quick, random_state=random_state)
        except TooFewPointsError as error:
            found = f"{error}. clipdim.tl.shared_dimension needs none held out." if quick else f"{error}."
        rows.append(row | _row(found, having, members, cells, random_state))
        if isinstance(found, SharedDimension):
            spectra.append(found.spectrum.assign(**row))
            numbers = np.unique(np.concatenate([part.cells for part in having]))
            around[first, second] = np.full(int(numbers.max()) + 1, np.nan)
            around[first, second][numbers] = found.around
    columns = ["first", "second", "group", "direction", "information", "chance", "low", "high", "p", "counted"]
    spectrum = pd.concat(spectra, ignore_index=True)[columns] if spectra else pd.DataFrame(columns=columns)
    return Sharing(pd.DataFrame(rows), spectrum, around)


def with_sharing(result: Result) -> Result:
    """Return the result of a run with what its held-out cells say of the shared dimension, counted the quick way.

    Encoders without a linear start bend what batches share, so that more directions would count: with batches, their
    start is measured in their place.
    """
    data, params, by_modality = result.data, result.fit.params, result.by_modality
    if data.batches is not None and params.recipe.start == "random":
        settings = Settings(device=torch.device(params.device), random_state=params.random_state)
        start = new_model(data, max(params.out_dim, FEWEST_COLUMNS), RECIPES["default"], settings)
        by_modality = {name: start.embed(name, torch.from_numpy(x))[0] for name, x in data.values.items()}
    # the first ones are those of the training
    distinct = distinct_cells(data, np.concatenate([data.train, data.norm_set, data.held_out]))
    held_out = np.intersect1d(distinct, data.held_out)
    part = _part(data, held_out, held_out, result.fit, by_modality)
    found = measure_sharing([part], cells=_keys.HELD_OUT, quick=True)
    # the information is that of the fit itself, whose temperature belongs to its own embeddings
    own = _part(data, held_out, held_out, result.fit, result.by_modality)
    for number, row in found.table[found.table["information"].notna()].iterrows():
        pair = row["first"], row["second"]
        told = _information(own.of(_having(own, pair)), *pair, 0)
        found.table.loc[number, ["information", "information_ceiling"]] = told
    return replace(result, fit=replace(result.fit, shared_dimension=found.table, shared_spectrum=found.spectrum))


def _having(part: Part, members: Sequence[str]) -> np.ndarray:
    return np.flatnonzero(np.all([np.isfinite(part.by_modality[name][:, 0]) for name in members], axis=0))


def _count(parts: Sequence[Part], members: Sequence[str], *, quick: bool, random_state: int) -> SharedDimension:
    together = [np.concatenate([part.by_modality[name] for part in parts]) for name in members]
    batches = None if parts[0].batches is None else np.concatenate([part.batches for part in parts])
    number = np.repeat(np.arange(len(parts)), [len(part.cells) for part in parts])
    cells = np.concatenate([part.cells for part in parts])
    return shared_dimension(
        *together, parts=number, cells=cells, groups=batches, quick=quick, random_state=random_state
    )


def _row(
    found: SharedDimension | str, parts: Sequence[Part], members: Sequence[str], cells: str, random_state: int
) -> dict[str, object]:
    n_cells = len(np.unique(np.concatenate([part.cells for part in parts])))
    information, ceiling = np.nan, np.nan
    if len(members) == 2 and not isinstance(found, str):
        told = [_information(part, members[0], members[1], random_state) for part in parts]
        information, ceiling = np.mean(told, axis=0).tolist()
    known = {
        name: np.nan if isinstance(found, str) else float(getattr(found, name))
        for name in ("estimate", "low", "high", "at_least", "at_most", "p_value")
    }
    if not isinstance(found, str):
        known |= {name: int(known[name]) for name in ("at_least", "at_most")}
    return {
        **known,
        "information": information,
        "information_ceiling": ceiling,
        "n_cells": n_cells,
        "cells": cells,
        "n_fits": len(parts),
        "reading": found if isinstance(found, str) else reading(found),
    }


def _information(part: Part, first: str, second: str, random_state: int) -> tuple[float, float]:
    """Lower bound of the mutual information by the contrastive loss, in nats, and the most that it can say."""
    rng = np.random.default_rng(random_state)
    rows = np.sort(rng.permutation(len(part.cells))[:N_CANDIDATES])
    u, v = (torch.from_numpy(np.asarray(part.by_modality[name][rows], np.float32)) for name in (first, second))
    groups = None if part.batches is None else torch.from_numpy(part.batches[rows])
    sizes = np.unique(np.zeros(len(rows)) if groups is None else groups.numpy(), return_counts=True)[1]
    ceiling = float((sizes * np.log(sizes)).sum() / sizes.sum())
    loss = info_nce(u, v, part.temperatures[first, second], groups=groups).item()
    return max(0.0, ceiling - loss), ceiling


def reading(found: SharedDimension) -> str:
    """One sentence that says what was found."""
    least, most = found.at_least, found.at_most
    if found.groups_only:
        return "Groups only: the modalities tell the same groups of cells apart, and share no dimension within them."
    if most == 0:
        return f"Nothing shared was found (p = {found.p_value:.2g})."
    if least == 0 and round(found.estimate) == 0:
        return f"Something is shared (p = {found.p_value:.2g}), too weakly to count its dimensions."
    if least == most:
        return f"{least} dimension{'s are' if least > 1 else ' is'} shared."
    return f"At least {least}, at most {most} dimensions are shared; best estimate {found.estimate:.1f}."
