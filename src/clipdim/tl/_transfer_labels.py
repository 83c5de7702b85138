"""``tl.transfer_labels``: the labels of a reference to new cells, with the chance that each is right."""

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from numbers import Integral, Real

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _keys
from clipdim._mudata import (
    Embeddings,
    batch_labels,
    fingerprint,
    obs_column,
    paired_embeddings,
    query_embeddings,
    read_fit,
    require_mudata,
)
from clipdim.evaluation.calibration import calibrate, reliability
from clipdim.evaluation.votes import votes, votes_among
from clipdim.neighbors import draw_rows
from clipdim.tl._classify import class_labels
from clipdim.tl._combinations import choose_modalities, combinations, comparable, mean_embedding

UNASSIGNED = "unassigned"
MAX_CALIBRATION_CELLS = 10_000
MIN_CALIBRATION_CELLS = 100


def transfer_labels(
    query: MuData,
    reference: MuData,
    label_key: str,
    *,
    modalities: Sequence[str] | None = None,
    n_neighbors: int = 15,
    min_confidence: float = 0.5,
    key: str = _keys.KEY,
    key_added: str | None = None,
    random_state: int = 0,
    copy: bool = False,
) -> MuData | None:
    """
    Transfer labels, as cell types, from a reference to new cells, with the chance that each label is right.

    The nearest labelled cells of the reference vote on a new cell, the nearer with more weight. Like is compared with
    like: a cell that has only RNA with the RNA of the reference's cells, one that has RNA and protein with the mean of
    the two embeddings of the reference's cells that have both. Where these lack a class, the joint embedding of all the
    reference's cells takes their place.

    The confidence is learned on the reference: cells that were held out of training, at most 10,000, are predicted from
    the other cells, those of other batches where the fit had a ``batch_key``, and a logistic regression maps the share
    of the votes and the distance to the voters to the chance of being right, for each combination of modalities.

    Parameters
    ----------
    query
        New cells after :func:`clipdim.tl.embed`.
    reference
        The MuData that they were embedded into, with the labels.
    label_key
        Column of `reference.obs` or of a modality's `.obs`: categories, strings or integers.
    modalities
        Modalities to use of those that a cell has; all by default.
    n_neighbors
        Cells that vote; fewer where fewer are labelled.
    min_confidence
        Chance of being right below which a cell is `"unassigned"`, in [0, 1]. With 0 every cell gets its best label.
    key
        The ``key_added`` of the fit.
    key_added
        Name of the column with the labels; by default ``label_key``.
    random_state
        Seed of the draw of the cells that are learned on. Global random state is not touched.
    copy
        Return a copy with the labels and leave ``query`` as it is; refused for a MuData on disk.

    Returns
    -------
    None, or the copy. Written are, with ``name`` for ``key_added``:

    ``query.obs["{name}"]`` : categorical
        Labels, with the reference's categories and ``"unassigned"``; missing where a cell has none of the modalities.
    ``query.obs["{name}_confidence"]`` : float32
        Chance that the best label is right, also where it is withheld.
    ``query.uns["{name}_transfer"]`` : dict
        ``params``; ``fit``, a fingerprint of the reference's encoders; ``version``; ``calibration``, a DataFrame
        with the mean ``confidence``, ``accuracy`` and ``n_cells`` of the reference's cells that were learned on, in
        tenths of the confidence for each combination of ``modalities``.

    Raises
    ------
    TypeError
        If ``query`` or ``reference`` is not a MuData.
    KeyError
        If the reference holds no fit of that name or no such column, the query is not embedded, or a modality is
        unknown.
    ValueError
        If the query is a view or was embedded by another reference; if the labels are not classes, or fewer than two;
        if ``n_neighbors`` or ``min_confidence`` is out of range; if ``query.obs`` has a column of that name that this
        function did not write. ``query`` is unchanged in all these cases.

    Warns
    -----
    UserWarning
        If cells of the reference have no label (they do not vote), too few cells were held out of training, so that
        trained ones are learned on and the confidence is too high, or new cells have none of the modalities.

    References
    ----------
    Hechenbichler and Schliep, Weighted k-nearest-neighbor techniques, 2004; Platt, Probabilistic outputs for support
    vector machines, 1999.

    Examples
    --------
    >>> import clipdim
    >>> cells = clipdim.datasets.simulate_citeseq(n_cells=400)
    >>> reference, query = cells[:300].copy(), cells[300:].copy()
    >>> clipdim.pp.citeseq(reference)
    >>> clipdim.tl.fit(reference, out_dim=8, holdout=0.4, max_epochs=4, progress=False)
    >>> clipdim.pp.citeseq(query, reference=reference)
    >>> clipdim.tl.embed(query, reference)
    >>> clipdim.tl.transfer_labels(query, reference, "cell_type", key_added="transferred")
    >>> query.obs["transferred"].cat.categories[-1], query.obs["transferred_confidence"].between(0, 1).all().item()
    ('unassigned', True)
    """
    query = require_mudata(query, copy=copy)
    new = query_embeddings(query, reference, key)
    known = paired_embeddings(reference, key)
    names = choose_modalities(new, modalities)
    _check_arguments(n_neighbors=n_neighbors, min_confidence=min_confidence)
    key_added = label_key if key_added is None else key_added
    _check_writable(query, key_added)
    codes, classes = _labels(reference, label_key, known)
    batch_key = read_fit(reference, key)["params"].get("batch_key")
    batches = None if batch_key is None else batch_labels(reference, batch_key).cat.codes.to_numpy()

    winner, confidence = np.full(query.n_obs, -1), np.full(query.n_obs, np.nan, dtype=np.float32)
    tables, n_untrained = [], MIN_CALIBRATION_CELLS
    untrained = ~(known.split == _keys.TRAIN).to_numpy(dtype=bool, na_value=False)
    for having, cells in combinations(new, names):
        points, voters = comparable(known, having, codes)
        rows = np.flatnonzero(untrained[voters])
        if len(rows) < MIN_CALIBRATION_CELLS:
            n_untrained, rows = min(n_untrained, len(rows)), np.arange(len(voters))
        rows = rows[draw_rows(len(rows), MAX_CALIBRATION_CELLS, random_state=random_state)]
        groups = None if batches is None else batches[voters]
        learned = votes_among(points, codes[voters], rows, groups=groups, n_neighbors=n_neighbors)
        right = learned.code == codes[voters][rows]
        calibration = calibrate(learned.share, learned.distance, right)
        table = reliability(calibration.confidence(learned.share, learned.distance), right)
        tables.append(
            pd.DataFrame(
                {
                    "modalities": " + ".join(having),
                    "confidence": table.confidence,
                    "accuracy": table.accuracy,
                    "n_cells": table.n_cells,
                }
            )
        )
        found = votes(points, codes[voters], mean_embedding(new, having, cells), n_neighbors=n_neighbors)
        winner[cells] = found.code
        confidence[cells] = calibration.confidence(found.share, found.distance)

    if not tables:
        msg = f"no cell of the query has one of the modalities {names}; choose others of {new.modalities}"
        raise ValueError(msg)
    if n_untrained < MIN_CALIBRATION_CELLS:
        msg = (
            f"{n_untrained} labelled cells of the reference were held out of training, fewer than "
            f"{MIN_CALIBRATION_CELLS}, so the confidence is learned on trained cells too and may be too high; fit the "
            "reference with holdout=0.1, or more"
        )
        warnings.warn(msg, UserWarning, stacklevel=2)
    if n_without := int((winner < 0).sum()):
        msg = f"{n_without} of {query.n_obs} cells have none of the modalities {names} and get no label"
        warnings.warn(msg, UserWarning, stacklevel=2)
    categories = list(dict.fromkeys([*classes, UNASSIGNED]))
    winner[confidence < min_confidence] = categories.index(UNASSIGNED)
    target = query.copy() if copy else query
    target.obs[key_added] = pd.Categorical.from_codes(winner, categories=categories)
    target.obs[_keys.confidence(key_added)] = confidence
    target.uns[_keys.transferred(key_added)] = {
        "version": version("clipdim"),
        "fit": fingerprint(read_fit(reference, key)),
        "params": {
            "label_key": label_key,
            "modalities": np.array(names, dtype=object),
            "n_neighbors": int(n_neighbors),
            "min_confidence": float(min_confidence),
            "key": key,
            "random_state": int(random_state),
        },
        "calibration": pd.concat(tables, ignore_index=True),
    }
    return target if copy else None


def _check_arguments(*, n_neighbors: int, min_confidence: float) -> None:
    if not isinstance(n_neighbors, Integral) or isinstance(n_neighbors, bool) or n_neighbors < 1:
        msg = f"n_neighbors={n_neighbors!r} must be an integer of at least 1, for instance 15"
        raise ValueError(msg)
    if not isinstance(min_confidence, Real) or not 0 <= min_confidence <= 1:
        msg = f"min_confidence={min_confidence!r} must be in [0, 1], for instance 0.5, or 0 to label every cell"
        raise ValueError(msg)


def _check_writable(query: MuData, key_added: str) -> None:
    if not isinstance(key_added, str) or not key_added or "/" in key_added:
        msg = f"key_added must be a non-empty string without '/', which files cannot hold, got {key_added!r}"
        raise ValueError(msg)
    # what this function wrote may be replaced, but not the user's column
    taken = [name for name in (key_added, _keys.confidence(key_added)) if name in query.obs]
    if taken and _keys.transferred(key_added) not in query.uns:
        msg = f"query.obs has {taken[0]!r} already, which would be lost; pass key_added={key_added + '_transferred'!r}"
        raise ValueError(msg)


def _labels(reference: MuData, label_key: str, known: Embeddings) -> tuple[np.ndarray, list[str]]:
    """Code of the label of each cell that can vote, -1 for the others, and the names of the codes."""
    column = obs_column(reference, label_key)
    labels, embedded = class_labels(column, label_key), known.has.any(axis=1)
    if n_missing := int((labels.isna() & embedded).sum()):
        msg = f"{n_missing} of {int(embedded.sum())} cells of the reference have no {label_key!r} and do not vote"
        warnings.warn(msg, UserWarning, stacklevel=3)
    labels = labels.where(embedded)
    present = sorted(labels.dropna().unique())
    categorical = isinstance(column.dtype, pd.CategoricalDtype)
    classes = [name for name in map(str, column.cat.categories) if name in present] if categorical else present
    if len(classes) < 2:
        msg = f"{label_key!r} has {len(classes)} classes in the embedded cells of the reference; at least 2 are needed"
        raise ValueError(msg)
    return pd.Categorical(labels, categories=classes).codes.astype(np.intp), classes
