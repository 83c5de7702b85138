"""The training of a run, with a history by epoch, snapshots and a progress bar."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from clipdim import _keys, _mudata
from clipdim._warn import warn
from clipdim.contrast import ContrastiveModel, Epoch, train
from clipdim.contrast.cells import Cells
from clipdim.contrast.objective import Objective
from clipdim.fitting.devices import threads_for
from clipdim.fitting.monitor import MAX_CELLS, Monitor
from clipdim.fitting.settings import Settings
from clipdim.fitting.snapshots import Snapshots


def train_with_history(
    model: ContrastiveModel,
    data: _mudata.Inputs,
    *,
    settings: Settings,
    objective: Objective | None = None,
    watch: Callable[[int], None] | None = None,
    snapshots: Snapshots | None = None,
    on_trial: bool = False,
) -> pd.DataFrame:
    """Train the model, with a progress bar, take the snapshots that are due, and return the history by epoch.

    Of a model on trial nothing is measured along the way, and an interruption goes on to the caller.
    """
    device, group, random_state = model.device, settings.group, settings.random_state
    rank, size = (0, 1) if group is None else (group.rank(), group.size())
    n_epochs = model.recipe.n_epochs(len(data.train))
    cells, norm_set = cells_of(data, data.train), cells_of(data, data.norm_set)
    if cells.rows is not None and group is not None:
        msg = "distributed=True needs cells with all the modalities; leave out the others, or pass modalities=[...]"
        raise ValueError(msg)
    monitor = dict if on_trial else monitor_of(model, data, random_state)
    # another stream of random numbers in each process; the first has that of a fit in one process
    seed = random_state if rank == 0 else int(np.random.SeedSequence([random_state, rank]).generate_state(1)[0])
    part = slice(rank, None, size)
    own = cells.to(device, part=part)
    epochs = train(
        model,
        own.inputs,
        generator=torch.Generator(device).manual_seed(seed),
        objective=objective,
        rows=own.rows,
        groups=own.groups,
        norm_inputs=norm_set.to(device, part=part).inputs if len(data.norm_set) else None,
        process_group=group,
    )
    if snapshots is not None:
        snapshots.take(model, 0)
    history: list[dict[str, float]] = []
    hidden = not settings.progress or rank > 0
    bar_of_epochs = tqdm(
        total=n_epochs, desc="clipdim, on trial" if on_trial else "clipdim", unit="epoch", disable=hidden
    )
    with threads_for(model.recipe.batch_size), bar_of_epochs as bar:
        try:
            for epoch in epochs:
                history.append(_row(epoch, model) | monitor())
                if watch is not None:
                    watch(epoch.index)
                if snapshots is not None:
                    snapshots.take(model, len(history))
                bar.set_postfix(loss=f"{epoch.loss:.3f}", temperature=f"{epoch.temperature:.3f}", refresh=False)
                bar.update()
        except KeyboardInterrupt:
            if not history or on_trial or not settings.keep_interrupted:
                raise
            msg = f"interrupted after {len(history)} of {n_epochs} epochs; what was learned until then is kept"
            warn(msg)
    return pd.DataFrame(history, index=pd.RangeIndex(len(history), name="epoch"))


def fix_mean_norms(model: ContrastiveModel, data: _mudata.Inputs) -> None:
    """Take the mean norms of the encoders' outputs from the norm set, or from the training cells."""
    model.fix_mean_norms(cells_of(data, data.norm_set if len(data.norm_set) else data.train).inputs)


def measure_untrained(model: ContrastiveModel, data: _mudata.Inputs, random_state: int) -> pd.DataFrame:
    """Return a history of one row, for a model that is not trained."""
    monitor = monitor_of(model, data, random_state)
    row = {"loss": np.nan, "temperature": model.temperature().item(), **monitor()}
    return pd.DataFrame([row], index=pd.RangeIndex(1, name="epoch"))


def monitor_of(model: ContrastiveModel, data: _mudata.Inputs, random_state: int) -> Monitor:
    """Return the monitor of some of the held-out cells."""
    monitored = np.random.default_rng(random_state).permutation(data.held_out)[:MAX_CELLS]
    cells = cells_of(data, monitored).to(model.device)
    return Monitor(model, cells.inputs, rows=cells.rows, groups=cells.groups)


def cells_of(data: _mudata.Inputs, cells: np.ndarray) -> Cells:
    """Return the cells of these numbers, in memory."""
    values, rows = data.of(cells)
    groups = None if data.batches is None else torch.from_numpy(data.batches[cells])
    inputs = {name: torch.from_numpy(x) for name, x in values.items()}
    return Cells(inputs, None if rows is None else torch.from_numpy(rows), groups)


def _row(epoch: Epoch, model: ContrastiveModel) -> dict[str, float]:
    """Return what an epoch of training tells by itself."""
    row = {"loss": epoch.loss, "temperature": epoch.temperature}
    if len(model.pairs) > 1:
        row |= {
            _keys.temperature_of(*names): value for names, value in zip(model.pairs, epoch.temperatures, strict=True)
        }
    return row
