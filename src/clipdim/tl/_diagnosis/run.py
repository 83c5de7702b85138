"""What the checks of a fit look at, measured; how a check is judged."""

import warnings
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim.contrast.objective import pair_loss
from clipdim.evaluation import class_scores, knn_labels, ranks
from clipdim.evaluation.similarity import draw_negatives
from clipdim.fitting.monitor import MIN_CELLS

# standard errors: 1 in 30,000 pairs of unrelated modalities passes
CHANCE_ERRORS = 4.0
OK, NOTE, WARNING = "ok", "note", "warning"
MAX_CELLS = 2_000
MAX_NEGATIVES = 200_000
# more are names of cells or clones, not types or conditions
MAX_CATEGORIES = 200


@dataclass(frozen=True)
class Pair:
    """Similarities of two modalities' embeddings."""

    name: str
    positive: np.ndarray
    """Of the same cell in both, (cells,)."""
    negative: np.ndarray
    """Of two cells, (pairs,)."""
    closer: np.ndarray
    """Share of the other cells that are closer than the cell's own partner, (cells,), mean of both directions."""


@dataclass(frozen=True)
class Run:
    """All that the checks look at."""

    params: _mudata.Params
    history: pd.DataFrame
    dimensions: dict[str, _mudata.Dimension]
    modalities: list[str]
    held_out: bool
    """Whether the cells measured were held out; else they are training cells."""
    pairs: list[Pair]
    loss_gap: float
    """Loss of held-out cells less that of as many training cells, both without noise; NaN where none were held out."""
    norm_spread: float
    batches: dict[str, int]
    """Cells of each batch in a minibatch of its own; empty without a batch key."""
    batch_skill: float
    """How much better than chance neighbours name the batch, from 0 to 1."""
    learning: pd.DataFrame | None
    """Validation losses of the shares of what was learned, by which one was kept."""
    shared: pd.DataFrame | None
    """What each pair of modalities shares, of all cells."""
    counts: dict[str, pd.DataFrame]
    """Cells by category and batch, for each column of ``.obs`` that has categories; empty without a batch key."""

    @property
    def cells(self) -> str:
        """What to call the cells measured."""
        return "held-out cells" if self.held_out else "training cells (too few were held out)"

    @property
    def inner(self) -> bool:
        """Whether the similarity is the inner product."""
        return self.params.recipe.similarity == "inner"

    @property
    def kept(self) -> float:
        """Share of what was learned beyond the linear start that was kept; 1 where there was no such start."""
        if self.learning is None:
            return 1.0
        return float(self.learning["share"][self.learning["chosen"].astype(bool)].iloc[0])

    def matching(self) -> tuple[float, float]:
        """FOSCTTM of the worst pair, and the value below which it is better than chance."""
        worst = max(self.pairs, key=lambda pair: float(pair.closer.mean()))
        # partners permuted, it is a mean of terms of variance 1/12 at most
        return float(worst.closer.mean()), 0.5 - CHANCE_ERRORS / float(np.sqrt(12 * len(worst.closer)))

    def nothing_shared(self) -> bool:
        """Whether the matching is no better than chance."""
        value, threshold = self.matching()
        return value >= threshold


@dataclass(frozen=True)
class Finding:
    """A check of a run, a row of the table."""

    check: str
    value: float
    threshold: float
    verdict: str
    reading: str


def judge(
    check: str, value: float, threshold: float, passed: bool, *, good: str, bad: str, severity: str = NOTE
) -> Finding:
    """Choose verdict and reading."""
    return Finding(check, value, threshold, OK if passed else severity, good if passed else bad)


def measure(mdata: MuData, fit: _mudata.Fit, embeddings: _mudata.Embeddings, key: str) -> Run:
    """Take all measures that the checks need."""
    splits = {
        name: np.random.default_rng(0).permutation(np.flatnonzero(embeddings.of_split(name)))
        for name in (_keys.HELD_OUT, _keys.TRAIN)
    }
    held_out = embeddings.measured(MIN_CELLS)[1] == _keys.HELD_OUT
    measured = splits[_keys.HELD_OUT if held_out else _keys.TRAIN][:MAX_CELLS]
    codes, names = _batches(mdata, fit, np.concatenate(list(splits.values())))
    _check_enough(measured, codes, fit, key)
    n_equal = min(*(len(cells) for cells in splits.values()), MAX_CELLS // 2)
    losses = {name: _loss(embeddings, cells[:n_equal], codes, fit) for name, cells in splits.items() if held_out}
    batches, skill, tables, train = {}, np.nan, {}, splits[_keys.TRAIN]
    if fit.params.batch_key is not None:
        counts = np.bincount(codes[train], minlength=len(names))
        size = fit.params.recipe.batch_size
        batches = {str(names[code]): int(min(size, counts[code])) for code in np.unique(codes[train])}
        columns = _mudata.batch_columns(fit.params.batch_key)
        tables = _categories(mdata, np.concatenate(list(splits.values())), codes, columns)
        skill = _batch_skill(embeddings.joint, codes, train, measured if held_out else None)
    pairs = []
    for first, second in combinations(embeddings.modalities, 2):
        cells = measured[embeddings.having(first, second)[measured]]
        if len(np.unique(codes[cells])) < len(cells):
            u, v = (embeddings.by_modality[name][cells] for name in (first, second))
            pairs.append(_pair(_keys.pair_name(first, second), u, v, codes[cells]))
    return Run(
        params=fit.params,
        history=fit.history,
        dimensions=fit.intrinsic_dimension,
        modalities=embeddings.modalities,
        held_out=held_out,
        pairs=pairs,
        loss_gap=losses[_keys.HELD_OUT] - losses[_keys.TRAIN] if held_out else np.nan,
        norm_spread=_norm_spread(mdata, embeddings.modalities, measured, key),
        batches=batches,
        batch_skill=skill,
        learning=fit.learning,
        shared=None if fit.shared_dimension is None else fit.shared_dimension.query("group == 'all'"),
        counts=tables,
    )


def _batches(mdata: MuData, fit: _mudata.Fit, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code of each cell's batch, (cells,), and the names of the codes; one of all where there is no batch key."""
    if fit.params.batch_key is None:
        return np.zeros(mdata.n_obs, dtype=np.int64), np.array(["all"])
    with warnings.catch_warnings():  # of what tl.fit has warned of
        warnings.simplefilter("ignore", UserWarning)
        return _mudata.batch_codes(mdata, fit.params.batch_key, used)


def _check_enough(measured: np.ndarray, codes: np.ndarray, fit: _mudata.Fit, key: str) -> None:
    if len(measured) < 2:
        msg = (
            f"{len(measured)} cells of .obs[{_keys.split(key)!r}] have all modalities, at least 2 are needed; fit anew"
        )
        raise ValueError(msg)
    if len(np.unique(codes[measured])) == len(measured):
        msg = f"no batch of {fit.params.batch_key!r} has two of the cells measured; fit with a key of larger batches"
        raise ValueError(msg)


def _norm_spread(mdata: MuData, modalities: list[str], cells: np.ndarray, key: str) -> float:
    """Return the standard deviation of the norms over their mean, the largest of all modalities."""
    norms = [own[cells] for own in _mudata.read_norms(mdata, modalities, key).values()]
    return float(np.nanmax([np.nanstd(own) / np.nanmean(own) if np.isfinite(own).any() else np.nan for own in norms]))


def _categories(mdata: MuData, cells: np.ndarray, codes: np.ndarray, batch_key: list[str]) -> dict[str, pd.DataFrame]:
    """Cells by category and batch, for each column of ``.obs`` that has categories, but not those of a fit."""
    tables = {}
    for name, column in _mudata.columns_of_classes(mdata, cells).items():
        if name not in batch_key and not name.endswith(_keys.split("")) and 1 < column.nunique() <= MAX_CATEGORIES:
            tables[name] = pd.crosstab(column.astype(str).mask(column.isna()), codes[cells])
    return tables


def _pair(name: str, u: np.ndarray, v: np.ndarray, codes: np.ndarray) -> Pair:
    """Similarities of two embeddings, (cells x out_dim) each, within the batches."""
    first, second = draw_negatives(len(u), MAX_NEGATIVES)
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


def _loss(embeddings: _mudata.Embeddings, cells: np.ndarray, codes: np.ndarray, fit: _mudata.Fit) -> float:
    """Mean loss of the pairs of modalities, without noise."""
    losses, loss = [], pair_loss(fit.params.recipe)
    for names in combinations(embeddings.modalities, 2):
        both = cells[embeddings.having(*names)[cells]]
        if len(both) < 2:
            continue
        u, v = (torch.from_numpy(embeddings.by_modality[name][both]) for name in names)
        groups = None if fit.params.batch_key is None else torch.from_numpy(codes[both])
        losses.append(loss(u, v, fit.temperature_of(*names), groups=groups).item())
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
