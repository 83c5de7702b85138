"""``tl.diagnose``: what the theory predicts of a fit, checked."""

import warnings
from collections.abc import Callable
from dataclasses import asdict
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from mudata import MuData

from clipdim import _keys
from clipdim._keys import pair_name
from clipdim._mudata import (
    Embeddings,
    batch_codes,
    batch_columns,
    pair,
    paired_embeddings,
    read_fit,
    require_mudata,
    write_tables,
)
from clipdim.contrast import Recipe
from clipdim.contrast.objective import pair_loss
from clipdim.evaluation import class_scores, knn_labels, ranks
from clipdim.tl import _checks, _checks_batches, _checks_dimension
from clipdim.tl._checks import Finding, Pair, Run
from clipdim.tl._monitor import MIN_CELLS, draw_pairs

CHECKS: tuple[Callable[[Run], Finding | None], ...] = (
    _checks.matching,
    _checks.positive_similarity,
    _checks.separation,
    _checks.misplaced_cells,
    _checks_dimension.resolution,
    _checks_dimension.dimension_agreement,
    _checks_dimension.dimension_settled,
    _checks_dimension.room,
    _checks_dimension.sample_size,
    _checks_dimension.temperature,
    _checks_dimension.training_length,
    _checks_dimension.overfitting,
    _checks_dimension.held_out_loss,
    _checks.norms,
    _checks_batches.batch_size,
    _checks_batches.batch_mixing,
    _checks_batches.batch_confounding,
    _checks_batches.batch_categories,
)
MAX_CELLS = 2_000
MAX_NEGATIVES = 200_000
# more are names of cells or clones, not types or conditions
MAX_CATEGORIES = 200


def diagnose(mdata: MuData, *, key: str = _keys.KEY) -> pd.DataFrame:
    """
    Check a fit against what the theory predicts, and say what to do where it falls short.

    Measured are held-out cells, at most 2,000 of them, always the same ones; training cells where fewer than 22 were
    held out, which the readings then say. With a ``batch_key`` cells are compared within their batch only.

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`.
    key
        The ``key_added`` of the fit.

    Returns
    -------
    One row for each check: ``check``, ``value``, ``threshold``, ``verdict`` (``"ok"``, ``"note"`` or ``"warning"``) and
    ``reading``, a sentence or two in plain language. The checks, and what fails them:

    - ``matching``: mean share of other cells closer than the own partner; not below what chance can give (warning:
      nothing shared was found).
    - ``positive_similarity``: median similarity of a cell's embeddings; more than 0.2 from 1.
    - ``separation``: that median less the 95 % quantile between different cells; not positive (warning).
    - ``misplaced_cells``: share of cells to which most others are closer than their own partner; above 2 %.
    - ``resolution``: median rank of the partner among the cells the dimension is read from; above 5 (of 20 neighbours):
      it is then an upper bound.
    - ``dimension_agreement``: largest over smallest intrinsic dimension of the modalities; above 1.25.
    - ``dimension_settled``: relative change of the dimension in the last quarter of the epochs; above 10 %.
    - ``room``: dimension over that of points that fill all of ``out_dim``; above 0.75 (warning: raise ``out_dim``).
    - ``sample_size``: dimension read off as many Gaussian points, over theirs; below 0.8.
    - ``temperature``: share of its fall, in logarithms, in the last quarter of the epochs; above 10 %: the dimension is
      an upper bound.
    - ``training_length``: epochs; fewer than planned.
    - ``overfitting``: loss of held-out cells less that of as many training cells, in nats; above 1.
    - ``held_out_loss``: last value less the best one, in nats; above 0.1.
    - ``norms``, with ``similarity="inner"``: standard deviation of the norms over their mean; above 0.3.
    - ``batch_size``, with a ``batch_key``: cells of the smallest batch in a minibatch; fewer than 8.
    - ``batch_mixing``, with a ``batch_key``: how much better than chance 15 neighbours name the batch, from 0 to 1;
      above 0.5.
    - ``batch_confounding``, with a ``batch_key``: columns of ``mdata.obs``, as a disease, of which every batch has one
      value only; any.
    - ``batch_categories``, with a ``batch_key``: categories of ``mdata.obs``, as cell types, with 95 % of their cells
      in one batch; any.

    Writes the table to ``mdata.uns[key]["diagnose"]``.

    Raises
    ------
    TypeError
        If ``mdata`` is not a MuData.
    KeyError
        If there is no fit under ``key``, or the column of its ``batch_key`` is gone.
    ValueError
        If ``mdata`` is a view, or there are not two cells with all modalities (and of one batch) to compare.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, sections 1.1, 3 and appendix G.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> clipdim.tl.diagnose(mdata).set_index("check").loc["temperature", "verdict"]
    'note'
    """
    embeddings = paired_embeddings(require_mudata(mdata), key)
    run = _measure(mdata, read_fit(mdata, key), embeddings, key)
    findings = [finding for check in CHECKS if (finding := check(run)) is not None]
    table = pd.DataFrame(map(asdict, findings)).astype({"value": np.float64, "threshold": np.float64})
    write_tables(mdata, {"diagnose": table}, key=key)
    return table.copy()


def _measure(mdata: MuData, fit: _keys.Fit, embeddings: Embeddings, key: str) -> Run:
    """Take all measures that the checks need."""
    splits = {}
    for name in (_keys.HELD_OUT, _keys.TRAIN):
        splits[name] = np.random.default_rng(0).permutation(np.flatnonzero(embeddings.of_split(name)))
    held_out = len(splits[_keys.HELD_OUT]) >= MIN_CELLS
    measured = splits[_keys.HELD_OUT if held_out else _keys.TRAIN][:MAX_CELLS]
    if len(measured) < 2:
        msg = (
            f"{len(measured)} cells of .obs[{_keys.split(key)!r}] have all modalities, at least 2 are needed; fit anew"
        )
        raise ValueError(msg)
    params, train = fit["params"], splits[_keys.TRAIN]
    batch_key = params.get("batch_key")
    if batch_key is None:
        codes, names = np.zeros(mdata.n_obs, dtype=np.int64), np.array(["all"])
    else:
        used = np.concatenate(list(splits.values()))
        with warnings.catch_warnings():  # of what tl.fit has warned of
            warnings.simplefilter("ignore", UserWarning)
            codes, names = batch_codes(mdata, batch_key, used)
    if len(np.unique(codes[measured])) == len(measured):
        msg = f"no batch of {batch_key!r} has two of the cells measured; fit with a batch_key of larger batches"
        raise ValueError(msg)
    n_equal = min(*(len(cells) for cells in splits.values()), MAX_CELLS // 2)
    losses = {name: _loss(embeddings, cells[:n_equal], codes, fit) for name, cells in splits.items() if held_out}
    batches, skill, tables = {}, np.nan, {}
    if batch_key is not None:
        size = int(params["recipe"]["batch_size"])
        counts = np.bincount(codes[train], minlength=len(names))
        batches = {str(names[code]): int(min(size, counts[code])) for code in np.unique(codes[train])}
        tables = _categories(mdata, np.concatenate(list(splits.values())), codes, batch_columns(batch_key))
        skill = _batch_skill(embeddings.joint, codes, train, measured if held_out else None)
    rows = pair(mdata, embeddings.modalities)[measured]
    spreads = []
    for place, name in enumerate(embeddings.modalities):
        own = rows[rows[:, place] >= 0, place]
        norms = mdata[name].obs[_keys.norm(key)].to_numpy(dtype=np.float64)[own]
        spreads.append(float(norms.std() / norms.mean()) if len(own) else np.nan)
    pairs = []
    for first, second in combinations(embeddings.modalities, 2):
        cells = measured[embeddings.having(first, second)[measured]]
        if len(np.unique(codes[cells])) < len(cells):
            u, v = (embeddings.by_modality[name][cells] for name in (first, second))
            pairs.append(_pair(pair_name(first, second), u, v, codes[cells]))
    return Run(
        params=params,
        history=fit["history"],
        dimensions=fit["intrinsic_dimension"],
        modalities=embeddings.modalities,
        held_out=held_out,
        pairs=pairs,
        loss_gap=losses[_keys.HELD_OUT] - losses[_keys.TRAIN] if held_out else np.nan,
        norm_spread=float(np.nanmax(spreads)),
        batches=batches,
        batch_skill=skill,
        counts=tables,
    )


def _categories(mdata: MuData, cells: np.ndarray, codes: np.ndarray, batch_key: list[str]) -> dict[str, pd.DataFrame]:
    """Cells by category and batch, for each column of ``.obs`` that has categories, but not those of a fit."""
    tables = {}
    for name in mdata.obs.columns.difference(batch_key, sort=False):
        column = mdata.obs[name].iloc[cells]
        classes = isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(column.dtype)
        if classes and not str(name).endswith("_split") and 1 < column.nunique() <= MAX_CATEGORIES:
            tables[str(name)] = pd.crosstab(column.astype(str).mask(column.isna()), codes[cells])
    return tables


def _pair(name: str, u: np.ndarray, v: np.ndarray, codes: np.ndarray) -> Pair:
    """Similarities of two embeddings, (cells x out_dim) each, within the batches."""
    first, second = draw_pairs(len(u), MAX_NEGATIVES)
    same = codes[first] == codes[second]
    first, second = first[same], second[same]
    closer = []
    for code in np.unique(codes):
        cells = np.flatnonzero(codes == code)
        if len(cells) > 1:
            both = (ranks(u[cells], v[cells]) + ranks(v[cells], u[cells])) / 2
            closer.append((both - 1) / (len(cells) - 1))
    return Pair(
        name,
        positive=np.einsum("ij,ij->i", u, v),
        negative=np.einsum("ij,ij->i", u[first], v[second]),
        closer=np.concatenate(closer),
    )


def _loss(embeddings: Embeddings, cells: np.ndarray, codes: np.ndarray, fit: _keys.Fit) -> float:
    pairs = list(combinations(embeddings.modalities, 2))
    # fits of older versions have one temperature and no table of pairs
    temperatures = fit["pairs"]["temperature"] if "pairs" in fit else [fit["temperature"]] * len(pairs)
    loss, losses = pair_loss(Recipe.from_stored(fit["params"]["recipe"])), []
    for (first, second), temperature in zip(pairs, temperatures, strict=True):
        both = cells[embeddings.having(first, second)[cells]]
        if len(both) < 2:
            continue
        u, v = (torch.from_numpy(embeddings.by_modality[name][both]) for name in (first, second))
        groups = None if fit["params"].get("batch_key") is None else torch.from_numpy(codes[both])
        losses.append(loss(u, v, float(temperature), groups=groups).item())
    return float(np.mean(losses)) if losses else np.nan


def _batch_skill(joint: np.ndarray, codes: np.ndarray, train: np.ndarray, held_out: np.ndarray | None) -> float:
    """Balanced accuracy of naming the batch by 15 neighbours, from 0 for chance to 1."""
    train = train[: 10 * MAX_CELLS]
    if held_out is None:
        asked = np.arange(min(len(train), MAX_CELLS))
        truth, predicted = codes[train[asked]], knn_labels(joint[train], codes[train], rows=asked)
    else:
        truth, predicted = codes[held_out], knn_labels(joint[train], codes[train], joint[held_out])
    n_batches = len(np.unique(truth))
    if n_batches < 2:
        return np.nan
    return (class_scores(truth, predicted).balanced - 1 / n_batches) / (1 - 1 / n_batches)
