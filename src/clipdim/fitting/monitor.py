"""What ``tl.fit`` measures while it trains and once it is done."""

from collections.abc import Mapping

import numpy as np
import torch

from clipdim import _keys, dimension
from clipdim.contrast import ContrastiveModel
from clipdim.contrast.minibatches import Minibatches
from clipdim.contrast.objective import pair_losses
from clipdim.evaluation.similarity import draw_negatives

MAX_CELLS = 5_000
ENOUGH_CELLS = 500
MAX_NEGATIVES = 2_000
QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}
N_ANCHORS = 100
NEIGHBORS = 20
MIN_CELLS = NEIGHBORS + 2


class Monitor:
    """Measures of an epoch on held-out cells: 500 of them, or as many as two minibatches, at most 5,000.

    The held-out loss is the training loss on minibatches of the same size, so the two can be compared, unless fewer
    cells than that are held out. The intrinsic dimension is taken around 100 of the cells, the quantiles of the
    negative similarities of at most 2,000 random couples of cells, the same ones in every epoch.
    """

    def __init__(
        self,
        model: ContrastiveModel,
        inputs: Mapping[str, torch.Tensor],
        *,
        rows: torch.Tensor | None = None,
        groups: torch.Tensor | None = None,
    ) -> None:
        # of as many held-out cells as training cells, all would take a seventh of the run
        enough = max(ENOUGH_CELLS, 2 * model.recipe.batch_size)
        if rows is None:
            rows = torch.arange(len(inputs[model.modalities[0]])).to(model.device)
            rows = rows[:, None].expand(-1, len(inputs))
        self.model, self.rows = model, rows[:enough]
        self.groups = None if groups is None else groups[:enough]
        present = self.rows >= 0
        self.inputs = {name: x[: int(present[:, place].sum())] for place, (name, x) in enumerate(inputs.items())}
        self.anchors = {
            name: np.sort(np.random.default_rng(0).permutation(len(x))[:N_ANCHORS]) for name, x in self.inputs.items()
        }
        place = {name: number for number, name in enumerate(inputs)}
        both = {pair: present[:, place[pair[0]]] & present[:, place[pair[1]]] for pair in model.pairs}
        self.rows_of = {
            pair: [self.rows[has, place[name]] for name in pair] for pair, has in both.items() if has.sum() > 1
        }
        self.negatives = {pair: draw_negatives(len(rows[0]), MAX_NEGATIVES) for pair, rows in self.rows_of.items()}
        # as in training
        self.minibatches = Minibatches(present, model.recipe.batch_size, self.groups).draw(None)

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """Return the measures of the model as it is now, NaN where no cells were held out."""
        names = self.model.modalities
        columns = [f"{sign}_similarity{of}" for sign in ("positive", "negative") for of in ("", "_sd")]
        columns += [f"{sign}_similarity_{quantile}" for sign in ("positive", "negative") for quantile in QUANTILES]
        measures = dict.fromkeys(["held_out_loss", *columns], np.nan)
        measures |= {
            _keys.of_modality(measure, name): np.nan
            for measure in ("intrinsic_dimension", "norm_spread")
            for name in names
        }
        if not self.rows_of:
            return measures
        embeddings, points = {}, {}
        for name, x in self.inputs.items():
            if len(x) == 0:
                continue
            outputs = self.model.encoders[name](x)
            norms = outputs.norm(dim=1)
            measures[_keys.of_modality("norm_spread", name)] = (norms.std(correction=0) / norms.mean()).item()
            embeddings[name] = self.model.normalize(outputs, norms.mean())
            points[name] = embeddings[name].cpu()
            measures[_keys.of_modality("intrinsic_dimension", name)] = _mle(points[name], self.anchors[name])
        measures["held_out_loss"] = self._loss(embeddings)
        similarities = []
        for pair, rows in self.rows_of.items():
            u, v = (points[name][own.cpu()] for name, own in zip(pair, rows, strict=True))
            similarities.append([*similarity_moments(u, v), *_similarity_quantiles(u, v, self.negatives[pair])])
        return measures | dict(zip(columns, np.mean(similarities, axis=0).tolist(), strict=True))

    def _loss(self, embeddings: dict[str, torch.Tensor]) -> float:
        losses = []
        for modalities, cells in self.minibatches:
            names = {place: self.model.modalities[place] for place in modalities}
            own = {name: embeddings[name][self.rows[cells, place]] for place, name in names.items()}
            losses += pair_losses(self.model, own, groups=None if self.groups is None else self.groups[cells])
        return torch.stack(losses).mean().item() if losses else np.nan


def similarity_moments(u: torch.Tensor, v: torch.Tensor) -> list[float]:
    """Mean and standard deviation of the similarities of the same cells and of different ones."""
    u, v = u.double(), v.double()
    n_cells = len(u)
    n_negatives = n_cells * (n_cells - 1)
    positive = (u * v).sum(dim=1)
    # sums over all couples of cells from (d x d) products, without the (cells x cells) matrix
    mean = (u.sum(dim=0) @ v.sum(dim=0) - positive.sum()) / n_negatives
    mean_square = (((u.T @ u) * (v.T @ v)).sum() - positive.square().sum()) / n_negatives
    deviation = (mean_square - mean.square()).clamp_min(0).sqrt()
    return [positive.mean().item(), positive.std(correction=0).item(), mean.item(), deviation.item()]


def _similarity_quantiles(u: torch.Tensor, v: torch.Tensor, negatives: np.ndarray) -> list[float]:
    """Quantiles of the similarities of the same cells and of the given different ones."""
    first, second = torch.from_numpy(negatives)
    levels = list(QUANTILES.values())
    values = [(u * v).sum(dim=1), (u[first] * v[second]).sum(dim=1)]
    return [quantile for sample in values for quantile in np.quantile(sample.double().numpy(), levels).tolist()]


def _mle(points: torch.Tensor, anchors: np.ndarray) -> float:
    """Intrinsic dimension around some of the points, as `dimension.mle` would have it, in a fifth of its time.

    Measured in every epoch that would take a third of the training of few cells. Distances of candidates are taken from
    differences; where two points are as good as one, `dimension.mle` decides.
    """
    k = NEIGHBORS
    if len(points) > k + 1:
        rows = torch.from_numpy(anchors)
        asked, squares = points[rows], points.square().sum(dim=1)
        candidates = torch.addmm(squares, asked, points.T, alpha=-2).topk(k + 1, largest=False, sorted=False).indices
        distances = (points[candidates] - asked[:, None]).norm(dim=2)
        distances[candidates == rows[:, None]] = torch.inf
        if distances.min() > 1e-4 * squares.max().sqrt():
            logarithms = distances[distances < torch.inf].view(-1, k).double().log()
            farthest = logarithms.max(dim=1).values
            return 1 / (k / (k - 1) * (farthest - logarithms.mean(dim=1))).mean().item()
    try:
        return dimension.mle(points.numpy(), n_neighbors=k, n_anchors=N_ANCHORS)
    except dimension.TooFewPointsError:
        return np.nan
