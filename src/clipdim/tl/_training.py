"""The training of ``tl.fit`` and ``tl.reduce``, with a history by epoch and a progress bar, and what comes of it."""

import warnings

import numpy as np
import pandas as pd
import torch
from torch.distributed import ProcessGroup
from tqdm.auto import tqdm

from clipdim import _keys, _mudata
from clipdim.contrast import ContrastiveModel, Recipe, train
from clipdim.contrast.noise import PILOT_CELLS, adapt_noise
from clipdim.contrast.objective import Objective
from clipdim.tl._device import threads_for
from clipdim.tl._monitor import MAX_CELLS, MIN_CELLS, Monitor, final_dimension
from clipdim.tl._pairs import pair_table
from clipdim.tl._snapshots import Snapshots


def settle_noise(
    recipe: Recipe, data: _mudata.Inputs, *, device: torch.device, group: ProcessGroup | None, random_state: int
) -> Recipe:
    """Choose the input noise on some of the training cells; all processes take what the first one chooses."""
    names, cells = data.commonest(data.train)
    cells = np.random.default_rng(random_state).permutation(cells)[:PILOT_CELLS]
    groups = None if data.batches is None else torch.from_numpy(data.batches[cells]).to(device)
    inputs = {name: torch.from_numpy(x).to(device) for name, x in data.of(cells)[0].items() if name in names}
    with threads_for(recipe.batch_size):
        chosen = [adapt_noise(recipe, inputs, random_state=random_state, groups=groups)]
    if group is not None:
        torch.distributed.broadcast_object_list(chosen, group_src=0, group=group)
    return chosen[0]


def train_with_history(
    model: ContrastiveModel,
    data: _mudata.Inputs,
    *,
    group: ProcessGroup | None,
    random_state: int,
    n_epochs: int,
    progress: bool,
    objective: Objective | None = None,
    snapshots: Snapshots | None = None,
) -> pd.DataFrame:
    """Train the model, with a progress bar, take the snapshots that are due, and return the history by epoch."""
    device = model.temperature_parameter.device
    rank, size = (0, 1) if group is None else (group.rank(), group.size())

    def tensors_of(cells: np.ndarray) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        values, rows = data.of(cells)
        tensors = {name: torch.from_numpy(x) for name, x in values.items()}
        return tensors, None if rows is None else torch.from_numpy(rows).to(device)

    def part_of(x: torch.Tensor) -> torch.Tensor:
        return x[rank::size].to(device)

    def groups_of(cells: np.ndarray) -> torch.Tensor | None:
        return None if data.batches is None else torch.from_numpy(data.batches[cells])

    (inputs, rows), groups = tensors_of(data.train), groups_of(data.train)
    norm_inputs, _ = tensors_of(data.norm_set)
    if rows is not None and group is not None:
        msg = "distributed=True needs cells with all the modalities; leave out the others, or pass modalities=[...]"
        raise ValueError(msg)
    if model.recipe.standardize:
        for name, encoder in model.encoders.items():
            encoder.standardize(inputs[name])
        model.to(device)
    monitored = np.random.default_rng(random_state).permutation(data.held_out)[:MAX_CELLS]
    monitored_inputs, monitored_rows = tensors_of(monitored)
    monitored_groups = groups_of(monitored)
    monitor = Monitor(
        model,
        {name: x.to(device) for name, x in monitored_inputs.items()},
        rows=monitored_rows,
        groups=None if monitored_groups is None else monitored_groups.to(device),
    )
    # another stream of random numbers in each process; the first has that of a fit in one process
    seed = random_state if rank == 0 else int(np.random.SeedSequence([random_state, rank]).generate_state(1)[0])
    epochs = train(
        model,
        {name: part_of(x) for name, x in inputs.items()},
        generator=torch.Generator(device).manual_seed(seed),
        objective=objective,
        rows=rows,
        groups=None if groups is None else part_of(groups),
        norm_inputs={name: part_of(x) for name, x in norm_inputs.items()} if len(data.norm_set) else None,
        process_group=group,
    )
    if snapshots is not None:
        snapshots.take(model, 0)
    history = []
    bar_of_epochs = tqdm(total=n_epochs, desc="clipdim", unit="epoch", disable=not progress or rank > 0)
    with threads_for(model.recipe.batch_size), bar_of_epochs as bar:
        try:
            for epoch in epochs:
                history.append({"loss": epoch.loss, "temperature": epoch.temperature, **monitor()})
                if len(model.pairs) > 1:
                    history[-1] |= {
                        f"temperature_{_keys.pair_name(*pair)}": value
                        for pair, value in zip(model.pairs, epoch.temperatures, strict=True)
                    }
                if snapshots is not None:
                    snapshots.take(model, len(history))
                bar.set_postfix(loss=f"{epoch.loss:.3f}", temperature=f"{epoch.temperature:.3f}", refresh=False)
                bar.update()
        except KeyboardInterrupt:
            if not history:
                raise
            msg = f"interrupted after {len(history)} of {n_epochs} epochs; what was learned until then is kept"
            warnings.warn(msg, UserWarning, stacklevel=3)
    model.eval()
    model.fix_mean_norms(norm_inputs if len(data.norm_set) else inputs)
    return pd.DataFrame(history, index=pd.RangeIndex(len(history), name="epoch"))


def results_of(
    model: ContrastiveModel, data: _mudata.Inputs, history: pd.DataFrame
) -> tuple[_keys.Fit, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what a fit is made of except ``params`` and ``features``, the embeddings and the norms."""
    embeddings, norms = {}, {}
    for name, values in data.values.items():
        embeddings[name], norms[name] = model.embed(name, torch.from_numpy(values))
    measured = data.held_out if len(data.held_out) >= MIN_CELLS else data.train
    cells, rows = _keys.TRAIN if measured is data.train else _keys.HELD_OUT, data.rows[measured]
    points = {name: x[rows[rows[:, column] >= 0, column]] for column, (name, x) in enumerate(embeddings.items())}
    points[_keys.JOINT] = _mudata.mean_embedding(embeddings, rows)
    pairs = pair_table(
        embeddings, data.rows, train=data.train, measured=measured, temperatures=model.temperatures().tolist()
    )
    result: _keys.Fit = {
        "history": history,
        "temperature": model.temperature(np.flatnonzero(pairs["temperature"].notna()).tolist()).item(),
        "pairs": pairs,
        "intrinsic_dimension": {name: final_dimension(x, cells) for name, x in points.items()},
        "encoders": {name: encoder.to_arrays() for name, encoder in model.encoders.items()},
    }
    return result, embeddings, norms
