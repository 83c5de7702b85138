"""Checks of a fit with a ``batch_key``: whether conditioning on the batch works, and whether it is right."""

import numpy as np
import pandas as pd

from clipdim.tl._diagnosis.run import Finding, Run, judge

# fewer negatives than this make a loss that is soon solved
NEGATIVES_OF_A_BATCH = 8.0
BATCH_SKILL = 0.5
# fewer cells say little of where a category is found
MIN_CELLS = 20
# of a batch's cells in one category, or of a category's cells in one batch
ALL_BUT_ALL = 0.95
# a batch with more of the cells than this holds nearly all of a category by chance
LARGE_BATCH = 0.8


def batch_size(run: Run) -> Finding | None:
    """Each batch has enough cells in a minibatch to be negatives of each other."""
    if not run.batches:
        return None
    name, value = min(run.batches.items(), key=lambda item: item[1])
    what = f"A minibatch holds {value} cells of {name!r}, the smallest batch"
    return judge(
        *("batch_size", value, NEGATIVES_OF_A_BATCH, value >= NEGATIVES_OF_A_BATCH),
        good=f"{what}: enough negatives.",
        bad=f"{what}: too few negatives, so little is learned from these cells. Join it with another batch.",
    )


def batch_mixing(run: Run) -> Finding | None:
    """Whether the embedding gives the batch away."""
    if not run.batches or np.isnan(run.batch_skill):
        return None
    value = run.batch_skill
    scale = f"{value:.2f} on a scale from 0, chance, to 1"
    return judge(
        *("batch_mixing", value, BATCH_SKILL, value <= BATCH_SKILL),
        good=f"Neighbours name a cell's batch with skill {scale}.",
        bad=f"Neighbours still name a cell's batch, with skill {scale}: nothing is gained by keeping it, but it is in "
        "the inputs. Pass the same batch_key to clipdim.pp.citeseq; or integrate the representations, for instance by "
        "harmonypy, and pass them as use_rep, without a batch_key.",
    )


def batch_confounding(run: Run) -> Finding | None:
    """Whether something that may be biology is the same for all cells of a batch."""
    if not run.batches:
        return None
    named = [column for column, counts in run.counts.items() if _is_of_batches(counts)]
    what = f"within each batch all cells have one value of {', '.join(map(repr, named))}"
    return judge(
        *("batch_confounding", len(named), 0, not named),
        good="No column of .obs is decided by the batch.",
        bad=f"Confounded: {what}. If that is biology, as a disease is, nothing is gained by telling its values apart, "
        "and the embedding may lose them: compare it with a fit without batch_key, or with a key of the lane only.",
    )


def batch_categories(run: Run) -> Finding | None:
    """Whether categories, as cell types, are found in one batch only."""
    if not run.batches:
        return None
    found = {
        column: names
        for column, counts in run.counts.items()
        if not _is_of_batches(counts) and (names := _of_one_batch(counts))
    }
    value = sum(map(len, found.values()))
    what = "; ".join(f"{names[:5]}{' ...' * (len(names) > 5)} of {column!r}" for column, names in found.items())
    return judge(
        *("batch_categories", value, 0, value == 0),
        good="No category of .obs is found in one batch only.",
        bad=f"Found in one batch only: {what}. Their negatives come from this batch, so nothing keeps them apart from "
        "cells of other batches: do not read a neighbourhood with these as kinship.",
    )


def _is_of_batches(counts: pd.DataFrame) -> bool:
    """Whether each batch has one category, and the batches have several."""
    batches = counts.loc[:, counts.sum() > 0]
    of_one = (batches.max() >= ALL_BUT_ALL * batches.sum()).all()
    return bool(of_one and len(set(batches.to_numpy().argmax(axis=0))) > 1)


def _of_one_batch(counts: pd.DataFrame) -> list[str]:
    """Categories with nearly all of their cells in one batch that does not hold most of the cells."""
    shares = counts.sum() / counts.to_numpy().sum()
    totals, place = counts.sum(axis=1).to_numpy(), counts.to_numpy().argmax(axis=1)
    alone = (
        (counts.max(axis=1) >= ALL_BUT_ALL * totals)
        & (totals >= MIN_CELLS)
        & (shares.iloc[place] < LARGE_BATCH).to_numpy()
    )
    return [str(name) for name in counts.index[alone]]
