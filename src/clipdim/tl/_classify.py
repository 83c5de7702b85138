"""How well the embeddings hold the labels of the cells."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim._warn import warn
from clipdim.evaluation import class_scores, knn_labels, label_match
from clipdim.neighbors import draw_rows

Predictions = dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]
"""True and predicted labels by split and method."""


def classify(
    mdata: MuData,
    label_key: str,
    *,
    n_neighbors: int = 15,
    n_queries: int | None = 10_000,
    key: str = _keys.KEY,
    random_state: int = 0,
) -> pd.DataFrame:
    """Measure how well labels, as cell types, are predicted from the embeddings.

    Two methods. `"joint k-NN"`: the most frequent label among the nearest training cells in the joint embedding; a
    training cell is predicted from the other training cells only. `"{a} to {b}"`, for both directions of each pair of
    modalities: the label of the most similar cell of the same split in the other modality, of the cells that have
    both. Cells with one modality, and those of a norm set, are left out. A class with one cell is no error: held-out
    cells of a class that no training cell has count as wrong. Of many cells a random subset is predicted, always from
    all, so that time and memory grow with the number of cells and not with its square.

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`.
    label_key
        Column of `mdata.obs` or of a modality's `.obs`: categories, strings or integers.
    n_neighbors
        Neighbours that vote.
    n_queries
        Predict at most so many cells of a split, drawn at random; `None` predicts all. For a rare class, whose
        accuracy then rests on few cells, pass more.
    key
        Name of the fit.
    random_state
        Seed of the draw.

    Returns
    -------
    The rows of this label key, one for each split, method and measure: `label_key`, `split`, `method`, `kind`
    (`"overall"`, `"balanced"`: mean over classes present, or `"class"`), `label` (the class, else as `kind`),
    `accuracy` (fraction), `n_cells` (predicted ones).

    Writes the table to `mdata.uns[key]["classify"]` and the counts of each label and prediction that occur together to
    `mdata.uns[key]["confusion"]` (`label_key`, `split`, `method`, `label`, `predicted`, `n_cells`), beside the rows of
    other label keys.

    Raises
    ------
    TypeError
        If `mdata` is not a MuData, or an argument of a wrong type.
    KeyError
        If there is no fit of that name or no such column.
    ValueError
        If `mdata` is a view, the labels are not classes, fewer than two classes or training cells are labelled, or
        `n_neighbors` or `n_queries` is below 1.

    Warns
    -----
    UserWarning
        If cells have no label (they are left out), or no labelled cell was held out: then only training cells are
        measured.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, section 4 (label match between modalities).

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> table = clipdim.tl.classify(mdata, "cell_type")
    >>> table["method"].unique().tolist()
    ['joint k-NN', 'rna to prot', 'prot to rna']
    """
    fit = _mudata.read_fit(_mudata.require_mudata(mdata), key)
    embeddings = _mudata.read_embeddings(mdata, fit, key)
    predictions = predict_labels(
        embeddings,
        _mudata.class_labels(mdata, label_key),
        label_key,
        n_neighbors=n_neighbors,
        n_queries=n_queries,
        random_state=random_state,
    )
    table, confusion = accuracy_table(label_key, predictions), _confusion(label_key, predictions)
    fit = replace(
        fit,
        classify=_beside(fit.classify, table, label_key),
        confusion=_beside(fit.confusion, confusion, label_key),
    )
    _mudata.write_fit(mdata, fit, key=key)
    return table


def predict_labels(
    embeddings: _mudata.Embeddings,
    labels: pd.Series,
    label_key: str,
    *,
    n_neighbors: int,
    n_queries: int | None,
    random_state: int,
) -> Predictions:
    """Predict the labels of held-out and training cells by their neighbours, and across modalities."""
    used = embeddings.of_split(_keys.TRAIN) | embeddings.of_split(_keys.HELD_OUT)
    labelled = labels.notna().to_numpy()
    if n_missing := int((used & ~labelled).sum()):
        warn(f"{n_missing} of {int(used.sum())} cells have no {label_key!r} and are left out")
    used &= labelled
    if (n_classes := labels[used].nunique()) < 2:
        msg = f"{label_key!r} has {n_classes} classes among the {int(used.sum())} cells used; at least 2 are needed"
        raise ValueError(msg)
    held_out = used & embeddings.of_split(_keys.HELD_OUT)
    if not held_out.any():
        warn("no labelled cell was held out, so only training cells are measured; fit with holdout=0.1")
    train = used & ~held_out
    truth = labels.fillna("").to_numpy().astype(str)
    predictions: Predictions = {}
    for split, cells in ((_keys.HELD_OUT, held_out), (_keys.TRAIN, train)):
        if not cells.any():
            continue
        rows = draw_rows(int(cells.sum()), n_queries, random_state=random_state)
        query = None if split == _keys.TRAIN else embeddings.joint[cells]
        voted = knn_labels(embeddings.joint[train], truth[train], query, n_neighbors=n_neighbors, rows=rows)
        predictions[split, _keys.JOINT_KNN] = truth[cells][rows], voted
        for source, target in permutations(embeddings.modalities, 2):
            both = cells & embeddings.having(source, target)
            if both.any():
                rows = draw_rows(int(both.sum()), n_queries, random_state=random_state)
                u, v = (embeddings.by_modality[name][both] for name in (source, target))
                matched = label_match(u, v, truth[both], rows=rows)
                predictions[split, f"{source} to {target}"] = truth[both][rows], matched
    return predictions


def accuracy_table(label_key: str, predictions: Predictions) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for (split, method), (truth, predicted) in predictions.items():
        scores = class_scores(truth, predicted)
        measures = [
            ("overall", "overall", scores.overall, len(truth)),
            ("balanced", "balanced", scores.balanced, len(truth)),
            *(("class", name, accuracy, scores.n_cells[name]) for name, accuracy in scores.by_class.items()),
        ]
        for kind, label, accuracy, n_cells in measures:
            rows.append(
                {
                    "label_key": label_key,
                    "split": split,
                    "method": method,
                    "kind": kind,
                    "label": label,
                    "accuracy": accuracy,
                    "n_cells": n_cells,
                }
            )
    return pd.DataFrame(rows)


def _confusion(label_key: str, predictions: Predictions) -> pd.DataFrame:
    tables = [
        pd.DataFrame({"label": truth, "predicted": predicted})
        .value_counts(sort=False)
        .rename("n_cells")
        .reset_index()
        .assign(label_key=label_key, split=split, method=method)
        for (split, method), (truth, predicted) in predictions.items()
    ]
    columns = ["label_key", "split", "method", "label", "predicted", "n_cells"]
    return pd.concat(tables, ignore_index=True)[columns]


def _beside(stored: pd.DataFrame | None, table: pd.DataFrame, label_key: str) -> pd.DataFrame:
    """Put the rows of one label in the place of its earlier ones."""
    if stored is None:
        return table.copy()
    kept = stored[stored["label_key"] != label_key]
    return pd.concat([kept.astype(table.dtypes.to_dict()), table], ignore_index=True)
