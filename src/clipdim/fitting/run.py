"""One run: from inputs and a model to the record of a fit and the embeddings of its cells."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim.contrast import ContrastiveModel
from clipdim.contrast.objective import Objective
from clipdim.fitting.dimensions import final_dimension
from clipdim.fitting.monitor import MIN_CELLS
from clipdim.fitting.pairs import pair_table
from clipdim.fitting.processes import join_processes, require_same
from clipdim.fitting.settings import Settings
from clipdim.fitting.snapshots import Snapshots
from clipdim.fitting.training import fix_mean_norms, measure_untrained, train_with_history


@dataclass(frozen=True)
class Result:
    """What a run came to; nothing is written yet."""

    data: _mudata.Inputs
    fit: _mudata.Fit
    by_modality: dict[str, np.ndarray]
    """(cells of the modality x out_dim) for each modality."""
    norms: dict[str, np.ndarray]
    """(cells of the modality,) norm of the encoder's output over its mean."""

    def after(self, earlier: _mudata.Params, **params: object) -> "Result":
        """Return the result with what the params of an earlier fit tell of its origin, and with other entries."""
        entries = earlier.origin() | params
        return replace(self, fit=replace(self.fit, params=replace(self.fit.params, **entries)))

    def embeddings(self) -> _mudata.Embeddings:
        """Embeddings with one row for each cell, as they would be read from the MuData."""
        split = pd.Series(self.data.split(), dtype=object).fillna("").to_numpy(dtype=object)
        return _mudata.align_embeddings(self.by_modality, self.data.rows, split)

    def write(self, mdata: MuData, key: str, *, copy: bool) -> MuData | None:
        """Write all into the MuData, or into a copy of it, which is returned."""
        target = mdata.copy() if copy else mdata
        _mudata.write_embeddings(target, self.by_modality, self.norms, key=key)
        _mudata.write_split(target, self.data.split(), key=key)
        _mudata.write_fit(target, self.fit, key=key)
        return target if copy else None


def join(settings: Settings, data: _mudata.Inputs) -> Settings:
    """Return the settings of a run together with the other processes, which must have the same inputs."""
    group = join_processes(settings.device)
    require_same([data.train, *data.values.values(), *([] if data.batches is None else [data.batches])], group)
    return replace(settings, group=group)


def run(
    data: _mudata.Inputs,
    model: ContrastiveModel,
    settings: Settings,
    *,
    objective: Objective | None = None,
    train_on: _mudata.Inputs | None = None,
    trained: bool = True,
    watch: Callable[[int], None] | None = None,
    afterwards: Callable[[], None] | None = None,
) -> Result:
    """Train a model in place, or measure it as it is, and return what comes of it.

    The cells of ``data`` are embedded and measured; ``train_on`` are other inputs to train on, as those that also have
    old cells, or lack some. ``watch`` is called with the number of each epoch once that is over, ``afterwards`` once
    the model is trained, before anything is measured.
    """
    inputs = data if train_on is None else train_on
    n_epochs = model.recipe.n_epochs(len(inputs.train))
    trained = trained and n_epochs > 0
    snapshots = None
    if settings.n_snapshots:
        snapshots = Snapshots(inputs, settings.n_snapshots, n_epochs, settings.random_state)
    if trained:
        history = train_with_history(
            model,
            inputs,
            settings=settings,
            objective=objective,
            watch=watch,
            snapshots=snapshots,
        )
    # an interruption may come in the middle of an epoch
    model.eval()
    if afterwards is not None:
        afterwards()
    fix_mean_norms(model, inputs)
    if not trained:
        history = measure_untrained(model, inputs, settings.random_state)
    by_modality, norms = {}, {}
    for name, values in data.values.items():
        by_modality[name], norms[name] = model.embed(name, torch.from_numpy(values))
    params = _mudata.Params(
        out_dim=model.out_dim,
        modalities=list(data.values),
        use_rep=data.use_rep,
        batch_key=data.batch_key,
        holdout=data.holdout,
        random_state=settings.random_state,
        device=str(settings.device),
        n_epochs=len(history) if trained else 0,
        recipe=replace(model.recipe, max_epochs=n_epochs),
    )
    fit = _measure(model, data, by_modality, history, params)
    if snapshots is not None:
        fit = replace(fit, snapshots=snapshots.finish(by_modality, len(history)))
    return Result(data, fit, by_modality, norms)


def _measure(
    model: ContrastiveModel,
    data: _mudata.Inputs,
    by_modality: dict[str, np.ndarray],
    history: pd.DataFrame,
    params: _mudata.Params,
) -> _mudata.Fit:
    """Return the record of a trained model."""
    measured, split = data.measured(MIN_CELLS)
    rows = data.rows[measured]
    points = {name: x[rows[rows[:, column] >= 0, column]] for column, (name, x) in enumerate(by_modality.items())}
    points[_keys.JOINT] = _mudata.mean_embedding(by_modality, rows)
    pairs = pair_table(
        by_modality, data.rows, train=data.train, measured=measured, temperatures=model.temperatures().tolist()
    )
    return _mudata.Fit(
        params=params,
        history=history,
        temperature=model.temperature(np.flatnonzero(pairs["temperature"].notna()).tolist()).item(),
        pairs=pairs,
        intrinsic_dimension={name: final_dimension(x, split) for name, x in points.items()},
        encoders={name: encoder.to_arrays() for name, encoder in model.encoders.items()},
        features=data.features,
    )
