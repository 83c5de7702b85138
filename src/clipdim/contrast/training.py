"""The training loop: yields after each epoch, knows nothing of progress bars and measures."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor
from torch.distributed import ProcessGroup

from clipdim.contrast.cells import Cells
from clipdim.contrast.distributed import average_gradients, fewest, gather_rows
from clipdim.contrast.minibatches import Minibatches
from clipdim.contrast.model import ContrastiveModel
from clipdim.contrast.objective import Objective, contrastive
from clipdim.contrast.optimizer import Optimizer
from clipdim.contrast.recipes import Recipe


@dataclass(frozen=True)
class Epoch:
    """What an epoch of training came to."""

    index: int
    loss: float
    """Mean over the minibatches."""
    temperature: float
    """At the end of the epoch."""
    temperatures: tuple[float, ...]
    """The same for each pair of modalities."""


def train(
    model: ContrastiveModel,
    inputs: Mapping[str, Tensor],
    *,
    generator: Generator,
    objective: Objective | None = None,
    rows: Tensor | None = None,
    groups: Tensor | None = None,
    norm_inputs: Mapping[str, Tensor] | None = None,
    process_group: ProcessGroup | None = None,
) -> Iterator[Epoch]:
    """Train a model on paired cells, one epoch for each item that is asked of the iterator.

    Only full minibatches are used; the cells left over in one epoch come in another. The cells of a minibatch have the
    same modalities, and are of one group as far as that has enough of them.

    Parameters
    ----------
    model
        Initialised model on the device of ``inputs``; its recipe sets optimiser, batches and epochs.
    inputs
        (cells x features) for each modality; row i is the same cell in all, unless ``rows`` says otherwise.
    generator
        Source of the batches and the noise, on the same device.
    objective
        What is lowered, by default the mean of the recipe's loss over the pairs of modalities. It is called as
        ``objective(model, inputs, groups=groups, norm_inputs=norm_inputs, generator=generator, gather=gather)`` with
        the rows of a minibatch and returns a scalar. ``gather`` is None, or collects the rows of all processes.
    rows
        (cells x modalities) row of each cell in each modality's inputs, -1 where it lacks the modality. The loss is
        over the pairs of modalities that a cell has.
    groups
        (cells,) integers: negatives come from the same group only.
    norm_inputs
        (cells x features) for each modality, the norm set; needed when the similarity is ``"inner"`` and the recipe's
        ``norm_fraction`` is above 0.
    process_group
        Train together with the other processes of the group. Each calls this with a model of the same weights, with a
        part of the cells (and of the norm set) and with a generator of its own. The recipe's ``batch_size`` is that of
        all processes together, negatives come from all of them, and every process ends with the same weights. The loss
        of the whole minibatch is computed in every process; what is shared is the work of the encoders.

    Yields
    ------
    :class:`Epoch`.

    Raises
    ------
    FloatingPointError
        If the loss or the temperature becomes NaN or infinite; the message names the epoch and the likely cause.
    ValueError
        If a norm set is needed and missing, or one of several processes has too few cells, or cells lack modalities.

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
    >>> model = ContrastiveModel.create({"a": 5, "b": 5}, 4, recipe).initialize(generator)
    >>> losses = [epoch.loss for epoch in train(model, {"a": x, "b": x}, generator=generator)]
    >>> losses[-1] < losses[0]
    True
    """
    recipe, training = model.recipe, Cells(inputs, rows, groups)
    if recipe.similarity == "inner" and recipe.norm_fraction > 0 and norm_inputs is None:
        msg = "similarity='inner' with norm_fraction above 0 needs a norm set; pass norm_inputs, or norm_fraction=0"
        raise ValueError(msg)
    n_cells, n_processes, gather = len(training), 1, None
    if process_group is not None:
        n_cells, norm_inputs = _as_many_in_all(training, norm_inputs, process_group)
        n_processes, gather = process_group.size(), partial(gather_rows, group=process_group)
    batch_size = _batch_size(recipe, n_cells, n_processes)
    # the minibatches of several processes make one, so they cannot each be of another group
    minibatches = training.minibatches(batch_size, by_group=process_group is None)
    n_batches = min(len(minibatches), n_cells // batch_size) if rows is None else len(minibatches)
    n_epochs = recipe.n_epochs(n_cells * n_processes)
    optimizer = Optimizer(model, recipe, n_batches * n_epochs)
    trained = _trained_pairs(model, list(inputs), minibatches)
    compute = partial(contrastive if objective is None else objective, model, norm_inputs=norm_inputs, gather=gather)
    for index in range(n_epochs):
        model.train()
        total = torch.zeros((), device=training.device)
        with _tf32(recipe.precision == "tf32"):
            for modalities, cells in minibatches.draw(generator if recipe.shuffle else None)[:n_batches]:
                optimizer.clear()
                minibatch, minibatch_groups = training.take(modalities, cells)
                loss = compute(minibatch, groups=minibatch_groups, generator=generator)
                loss.backward()
                # stays on the device: no synchronisation within an epoch
                total += loss.detach()
                if process_group is not None:
                    average_gradients(optimizer.parameters, process_group)
                optimizer.step()
        epoch = Epoch(
            index,
            (total / n_batches).item(),
            model.temperature(trained).item(),
            tuple(model.temperatures().tolist()),
        )
        model.eval()
        last = 0.0
        if index == n_epochs - 1:
            with torch.no_grad():  # weights may be finite and what they make of the cells not
                last = compute(minibatch, groups=minibatch_groups).item()
        _check_finite(epoch, last, model, inputs)
        yield epoch


def _as_many_in_all(
    training: Cells, norm_inputs: Mapping[str, Tensor] | None, process_group: ProcessGroup
) -> tuple[int, Mapping[str, Tensor] | None]:
    """Return the cells of the process that has the fewest, and as much of the norm set as all have."""
    if training.rows is not None:
        msg = "several processes can only train on cells that have all the modalities; leave out rows"
        raise ValueError(msg)
    n_cells = fewest(len(training), process_group, training.device)
    if norm_inputs is not None:
        n_norm = fewest(len(next(iter(norm_inputs.values()))), process_group, training.device)
        norm_inputs = {name: x[:n_norm] for name, x in norm_inputs.items()}
    return n_cells, norm_inputs


def _batch_size(recipe: Recipe, n_cells: int, n_processes: int) -> int:
    """Return the cells of a minibatch in each process."""
    batch_size = min(recipe.batch_size // n_processes, n_cells)
    if batch_size < 1:
        msg = (
            f"a batch of {recipe.batch_size} cells and {n_cells} training cells in the smallest of {n_processes} "
            "processes leave a process without cells; use fewer processes"
        )
        raise ValueError(msg)
    return batch_size


def _trained_pairs(model: ContrastiveModel, names: Sequence[str], minibatches: Minibatches) -> list[int]:
    """Return the numbers of the pairs of modalities that some minibatch has."""
    together = [{names[number] for number in numbers} for numbers in minibatches.modalities]
    return [number for number, pair in enumerate(model.pairs) if any(set(pair) <= has for has in together)]


@contextmanager
def _tf32(enabled: bool) -> Iterator[None]:
    """Let CUDA round the factors of float32 products to tf32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = before or enabled
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _check_finite(epoch: Epoch, last: float, model: ContrastiveModel, inputs: Mapping[str, Tensor]) -> None:
    # the last step may have been the one that diverged, and then only the weights tell
    weights = torch.stack([p.detach().sum() for p in model.parameters()]).sum().item()
    values = {"loss": epoch.loss, "temperature": epoch.temperature, "sum of the weights": weights}
    values["loss after the last step"] = last
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
