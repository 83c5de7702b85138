"""``tl.transfer_labels``: the labels of a reference to new cells, with the chance that each is right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _check, _keys, _mudata
from clipdim._warn import warn
from clipdim.evaluation.calibration import Calibration, calibrate, reliability
from clipdim.evaluation.votes import votes, votes_among
from clipdim.neighbors import draw_rows

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
        If ``query`` or ``reference`` is not a MuData, or an argument is of a wrong type.
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
    query = _mudata.require_mudata(query, copy=copy)
    n_neighbors = _check.integer("n_neighbors", n_neighbors, least=1, hint="15 is usual")
    hint = "0.5 is usual, 0 labels every cell"
    min_confidence = _check.number("min_confidence", min_confidence, least=0, most=1, hint=hint)
    seed = _check.seed(random_state)
    key_added = label_key if key_added is None else key_added
    _mudata.check_transfer(query, key_added)
    fit = _mudata.read_fit(reference, key)
    new = _mudata.query_embeddings(query, fit, key)
    names = _mudata.choose_modalities(new, modalities)
    voters = _Voters.read(reference, fit, label_key, key)

    winner, confidence = np.full(query.n_obs, -1), np.full(query.n_obs, np.nan, dtype=np.float32)
    tables, n_untrained = [], MIN_CALIBRATION_CELLS
    for having, cells in _mudata.combinations(new, names):
        points, rows = _mudata.comparable(voters.known, having, voters.codes)
        calibration, table, n_measured = voters.calibrate(points, rows, n_neighbors, seed)
        tables.append(table.assign(modalities=" + ".join(having)))
        n_untrained = min(n_untrained, n_measured)
        found = votes(points, voters.codes[rows], new.mean(having, cells), n_neighbors=n_neighbors)
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
        warn(msg)
    if n_without := int((winner < 0).sum()):
        warn(f"{n_without} of {query.n_obs} cells have none of the modalities {names} and get no label")
    categories = list(dict.fromkeys([*voters.classes, _keys.UNASSIGNED]))
    winner[confidence < min_confidence] = categories.index(_keys.UNASSIGNED)
    target = query.copy() if copy else query
    _mudata.write_transfer(
        target,
        key_added,
        pd.Categorical.from_codes(winner, categories=categories),
        confidence,
        fit=fit.fingerprint,
        params={
            "label_key": label_key,
            "modalities": np.array(names, dtype=object),
            "n_neighbors": n_neighbors,
            "min_confidence": min_confidence,
            "key": key,
            "random_state": seed,
        },
        calibration=pd.concat(tables, ignore_index=True)[["modalities", "confidence", "accuracy", "n_cells"]],
    )
    return target if copy else None


@dataclass(frozen=True)
class _Voters:
    """The cells of the reference and what they vote for."""

    known: _mudata.Embeddings
    codes: np.ndarray
    """(cells,) code of the label of each cell that can vote, -1 for the others."""
    classes: list[str]
    batches: np.ndarray | None
    """(cells,) code of each cell's batch."""

    @classmethod
    def read(cls, reference: MuData, fit: _mudata.Fit, label_key: str, key: str) -> "_Voters":
        known, labels = _mudata.read_embeddings(reference, fit, key), _mudata.class_labels(reference, label_key)
        embedded = known.has.any(axis=1)
        if n_missing := int((labels.isna() & embedded).sum()):
            warn(f"{n_missing} of {int(embedded.sum())} cells of the reference have no {label_key!r} and do not vote")
        labels = labels.where(embedded)
        classes = _mudata.class_names(reference, label_key, labels)
        if len(classes) < 2:
            msg = f"{label_key!r} has {len(classes)} classes in the embedded cells of the reference; at least 2 are "
            msg += "needed"
            raise ValueError(msg)
        codes = pd.Categorical(labels, categories=classes).codes.astype(np.intp)
        batch_key = fit.params.batch_key
        batches = None if batch_key is None else _mudata.batch_labels(reference, batch_key).cat.codes.to_numpy()
        return cls(known, codes, classes, batches)

    def calibrate(
        self, points: np.ndarray, voters: np.ndarray, n_neighbors: int, seed: int
    ) -> tuple[Calibration, pd.DataFrame, int]:
        """
        Learn the chance of being right from cells that were not trained on, or, where those are too few, from all.

        ``points`` are the embeddings of the cells ``voters``. Also returns how well it holds, in tenths of the
        confidence, and how many cells were not trained on.
        """
        rows = np.flatnonzero(self.known.split[voters] != _keys.TRAIN)
        n_untrained = len(rows)
        if n_untrained < MIN_CALIBRATION_CELLS:
            rows = np.arange(len(voters))
        rows = rows[draw_rows(len(rows), MAX_CALIBRATION_CELLS, random_state=seed)]
        codes, groups = self.codes[voters], None if self.batches is None else self.batches[voters]
        learned = votes_among(points, codes, rows, groups=groups, n_neighbors=n_neighbors)
        right = learned.code == codes[rows]
        calibration = calibrate(learned.share, learned.distance, right)
        table = reliability(calibration.confidence(learned.share, learned.distance), right)
        shown = {"confidence": table.confidence, "accuracy": table.accuracy, "n_cells": table.n_cells}
        return calibration, pd.DataFrame(shown), n_untrained
