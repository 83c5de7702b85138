"""The training loop: yields after each epoch, knows nothing of progress bars and measures."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from clipdim.contrast.model import ContrastiveModel


@dataclass(frozen=True)
class Epoch:
    """What an epoch of training came to."""

    index: int
    loss: float
    """Mean over the minibatches."""
    temperature: float
    """At the end of the epoch."""


def train(
    model: ContrastiveModel,
    inputs: Mapping[str, Tensor],
    *,
    generator: Generator,
    groups: Tensor | None = None,
    norm_inputs: Mapping[str, Tensor] | None = None,
) -> Iterator[Epoch]:
    """
    Train a model on paired cells, one epoch for each item that is asked of the iterator.

    Only full minibatches are used; the cells left over in one epoch come in another.

    Parameters
    ----------
    model
        Initialised model on the device of ``inputs``; its recipe sets optimiser, batches and epochs.
    inputs
        (cells x features) for each modality; row i is the same cell in all.
    generator
        Source of the batches and the noise, on the same device.
    groups
        (cells,) integers: negatives come from the same group only.
    norm_inputs
        (cells x features) for each modality, the norm set; needed when the similarity is ``"inner"``.

    Yields
    ------
    :class:`Epoch`.

    Raises
    ------
    FloatingPointError
        If the loss or the temperature becomes NaN or infinite; the message names the epoch and the likely cause.
    ValueError
        If the similarity is ``"inner"`` and ``norm_inputs`` is missing.

    References
    ----------
    Gui, Ma and Ma (NeurIPS 2025), section 4.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from clipdim.contrast import RECIPES, ContrastiveModel, train
    >>> generator = torch.Generator().manual_seed(0)
    >>> x = torch.randn(512, 5, generator=generator)
    >>> recipe = replace(RECIPES["default"], max_epochs=3)
    >>> model = ContrastiveModel({"a": 5, "b": 5}, 4, recipe).initialize(generator)
    >>> losses = [epoch.loss for epoch in train(model, {"a": x, "b": x}, generator=generator)]
    >>> losses[-1] < losses[0]
    True
    """
    recipe = model.recipe
    if recipe.similarity == "inner" and norm_inputs is None:
        msg = "similarity='inner' needs a norm set; pass norm_inputs, or a recipe with similarity='cosine'"
        raise ValueError(msg)
    device = next(iter(inputs.values())).device
    n_cells = len(next(iter(inputs.values())))
    batch_size = min(recipe.batch_size, n_cells)
    n_batches = n_cells // batch_size
    n_epochs = recipe.n_epochs(n_cells)
    optimizer, scheduler = _optimizer(model, n_batches * n_epochs)

    for index in range(n_epochs):
        model.train()
        order = torch.randperm(n_cells, generator=generator, device=device) if recipe.shuffle else None
        total = torch.zeros((), device=device)
        for batch in range(n_batches):
            rows = slice(batch * batch_size, (batch + 1) * batch_size)
            cells = rows if order is None else order[rows]
            minibatch = {name: x[cells] for name, x in inputs.items()}
            minibatch_groups = None if groups is None else groups[cells]
            loss = model.loss(minibatch, groups=minibatch_groups, norm_inputs=norm_inputs, generator=generator)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            total += loss.detach()  # stays on the device: no synchronisation within an epoch
        epoch = Epoch(index, (total / n_batches).item(), model.temperature().item())
        model.eval()
        with torch.no_grad():  # the last step may have been the one that diverged
            last = model.loss(minibatch, groups=minibatch_groups, norm_inputs=norm_inputs).item()
        _check_finite(epoch, last, model, inputs)
        yield epoch


def _optimizer(model: ContrastiveModel, n_steps: int) -> tuple[Optimizer, LRScheduler | None]:
    recipe = model.recipe
    if recipe.optimizer == "adam":
        optimizer: Optimizer = Adam(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    else:
        parameters = list(model.parameters())
        matrices = {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay}
        others = {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}
        optimizer = AdamW([matrices, others], lr=recipe.lr, fused=True)
    # the schedule is asked for one step more than is taken: the rate after the last step
    scheduler = OneCycleLR(optimizer, recipe.lr, total_steps=n_steps + 1) if recipe.one_cycle else None
    return optimizer, scheduler


def _check_finite(epoch: Epoch, last: float, model: ContrastiveModel, inputs: Mapping[str, Tensor]) -> None:
    values = {"loss": epoch.loss, "temperature": epoch.temperature, "loss after the last step": last}
    lost = [f"{name} became {value}" for name, value in values.items() if not math.isfinite(value)]
    if not lost:
        return
    encoders = model.encoders
    extremes = {
        name: ((x - encoders[name].mean) / encoders[name].scale).abs().max().item() for name, x in inputs.items()
    }
    name = max(extremes, key=lambda modality: extremes[modality])
    if extremes[name] > 1e4:
        cause = (
            f"an input of modality {name!r} lies {extremes[name]:.3g} spreads from the mean; remove outliers or rescale"
        )
    else:
        smaller = min(model.recipe.lr / 10, 4e-3)
        cause = f"the learning rate {model.recipe.lr:g} is too large; pass a smaller lr, such as {smaller:g}"
    msg = f"the {', the '.join(lost)} in epoch {epoch.index}; likely cause: {cause}"
    raise FloatingPointError(msg)
