"""A new fit: the closed-form start, then as much learning as cells that are left out of it want."""

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Generator

from clipdim import _mudata
from clipdim.contrast import ContrastiveModel, Recipe, ridge_cca
from clipdim.contrast.validation import SHARES, Candidate, Validation
from clipdim.fitting.run import Result, run
from clipdim.fitting.settings import Settings
from clipdim.fitting.training import cells_of, monitor_of, train_with_history

_T = TypeVar("_T")
# nats: of so little nothing can be hidden
LITTLE = 0.2
VALIDATION, MAX_VALIDATION, MIN_VALIDATION = 0.15, 300, 10
# where validation takes more of the training cells than this, a second fit learns from all
SPARED = 0.1
# share of the epochs in which noise that does harm is found out, and shares of the information that it then hides:
# on counts of cells 4 to 12 %, on clean simulated data 19 to 32 % (benchmarks/recipe/noise.py)
WATCHED, DOUBTFUL, HARMFUL = 0.3, 0.12, 0.15


def learn(data: _mudata.Inputs, out_dim: int, recipe: Recipe, settings: Settings) -> Result:
    """Fit encoders to the training cells.

    Some of the training cells are left out to choose how much of what is learned beyond the start is kept, and whether
    noise is added to the inputs. Where these are many of few cells, what they chose is then learned from all.
    """
    if not (recipe.shrink or recipe.adaptive_noise):
        return run(data, new_model(data, out_dim, recipe, settings), settings)
    choice = Choice(data, recipe, settings)
    if not choice.cells.comparable:  # too few of any set of modalities
        return run(data, new_model(data, out_dim, recipe, settings), settings)
    if len(choice.validation) <= SPARED * len(data.train):
        model = new_model(choice.rest, out_dim, recipe, settings)
        watch = choice.watch(model)

        def choose() -> None:
            choice.consider(watch)
            choice.apply(model)

        result = run(data, model, settings, train_on=choice.rest, watch=watch, afterwards=choose)
    else:
        model = new_model(data, out_dim, replace(recipe, input_noise=choice.by_trials(out_dim)), settings)
        result = run(data, model, settings, afterwards=lambda: choice.apply(model))
    # the last row is of what is kept
    history = result.fit.history.copy()
    measures = monitor_of(model, data, settings.random_state)()
    history.loc[history.index[-1], list(measures)] = list(measures.values())
    return replace(result, fit=replace(result.fit, history=history, learning=choice.table()))


def new_model(data: _mudata.Inputs, out_dim: int, recipe: Recipe, settings: Settings) -> ContrastiveModel:
    """Return a model that knows the scale of the training cells, at its start."""
    model = ContrastiveModel.create({name: x.shape[1] for name, x in data.values.items()}, out_dim, recipe)
    generator = Generator().manual_seed(settings.random_state)
    model.initialize(generator)
    cells = cells_of(data, data.train)
    if recipe.standardize:
        for name, encoder in model.encoders.items():
            encoder.standardize(cells.inputs[name])
    if recipe.start == "ridge_cca":
        start = ridge_cca(
            {name: x.numpy() for name, x in cells.inputs.items()},
            out_dim,
            rows=None if cells.rows is None else cells.rows.numpy(),
            groups=None if cells.groups is None else cells.groups.numpy(),
            random_state=settings.random_state,
        )
        model.begin_at(start, generator)
    return model.to(settings.device)


@dataclass(frozen=True)
class Trial:
    """How a trained model does on the validation cells."""

    input_noise: float
    hidden_by_noise: float
    """Share of the information that noise hid early in the training; 0 without noise."""
    candidate: Candidate


class Choice:
    """What validation cells choose, and why."""

    def __init__(self, data: _mudata.Inputs, recipe: Recipe, settings: Settings) -> None:
        self.recipe, self.settings = recipe, settings
        order = np.random.default_rng([settings.random_state, len(data.train)]).permutation(data.train)
        most = min(MAX_VALIDATION, round(VALIDATION * len(order)))
        n_validation = min(max(most, MIN_VALIDATION), len(order) // 3)
        # as many of each set of modalities as it has of the cells, so that none is left without
        pattern = np.unique(data.rows[order] >= 0, axis=0, return_inverse=True)[1].ravel()
        drawn = np.zeros(len(order), dtype=bool)
        for number in range(pattern.max() + 1):
            own = np.flatnonzero(pattern == number)
            drawn[own[: n_validation * len(own) // len(order)]] = True
        self.validation, self.rest = np.sort(order[drawn]), replace(data, train=np.sort(order[~drawn]))
        self.cells = Validation(cells_of(data, self.validation).to(settings.device))
        self.trials: list[Trial] = []

    @property
    def best(self) -> Trial:
        """The trial of the lowest loss."""
        return min(self.trials, key=lambda trial: trial.candidate.loss)

    def watch(self, model: ContrastiveModel) -> "Watch":
        """Return what looks at a model while it is trained on the rest, and leaves out noise that does harm."""
        return Watch(self, model)

    def consider(self, watch: "Watch") -> None:
        """Try shares of what the model that was watched learned."""
        model = watch.model
        # a start that is not followed by learning has no shares, and a random one cannot be gone back to
        recipe = model.recipe
        several = recipe.shrink and recipe.start == "ridge_cca"
        shares = (0.0,) if recipe.max_epochs == 0 else SHARES if several else (1.0,)
        for candidate in self.agreed(self.cells.candidates(model, shares)):
            self.trials.append(Trial(model.recipe.input_noise, watch.share, candidate))

    def by_trials(self, out_dim: int) -> float:
        """Choose by models that are trained on the rest and not kept, and return the input noise.

        They are trained for half as many epochs as the fit will be, unless the user chose how many.
        """
        recipe = self.recipe
        if recipe.max_epochs is None:
            recipe = replace(recipe, max_epochs=math.ceil(recipe.n_epochs(len(self.rest.train)) / 2))

        def train(recipe: Recipe) -> Watch:
            model = new_model(self.rest, out_dim, recipe, self.settings)
            watch = self.watch(model)
            if recipe.max_epochs != 0:
                train_with_history(model, self.rest, settings=self.settings, watch=watch, on_trial=True)
            self.consider(watch)
            return watch

        if train(recipe).doubtful:
            train(replace(recipe, input_noise=0.0))
        return self.best.input_noise

    def apply(self, model: ContrastiveModel) -> None:
        """Shrink a model to its start as was chosen, and set the temperatures that go with it."""
        best = self.best.candidate
        model.shrink(best.share)
        known = zip(best.temperatures, model.temperatures().tolist(), strict=True)
        model.set_temperature([own if np.isnan(found) else found for found, own in known])

    def table(self) -> pd.DataFrame:
        """Return the validation loss of all that was tried."""
        return pd.DataFrame(
            {
                "share": [trial.candidate.share for trial in self.trials],
                "input_noise": [trial.input_noise for trial in self.trials],
                "hidden_by_noise": [trial.hidden_by_noise for trial in self.trials],
                "loss": [trial.candidate.loss for trial in self.trials],
                "n_cells": len(self.validation),
                "chosen": [trial is self.best for trial in self.trials],
            }
        )

    def agreed(self, value: _T) -> _T:
        """Return the value of the first process in all of them."""
        if self.settings.group is None:
            return value
        held = [value]
        torch.distributed.broadcast_object_list(held, group_src=0, group=self.settings.group)
        return held[0]


class Watch:
    """Looks at a model in the first epochs of its training, and leaves out input noise that does harm.

    Noise on the inputs keeps encoders from learning cells by heart, which counts with their own noise call for. Where
    the modalities agree more closely than that noise (simulations, two views of one measurement) it costs matching,
    and nuisance directions enter the embedding.
    """

    def __init__(self, choice: Choice, model: ContrastiveModel) -> None:
        self.choice, self.model = choice, model
        self.n_epochs = max(1, round(WATCHED * model.recipe.n_epochs(len(choice.rest.train))))
        self.hidden = self.known = 0.0
        self._generator = Generator(model.device).manual_seed(choice.settings.random_state)

    @property
    def share(self) -> float:
        """Share of the information that the noise hid from validation cells, so far."""
        return self.hidden / self.known if self.known > LITTLE else 0.0

    @property
    def doubtful(self) -> bool:
        """Whether a model without noise should be tried too."""
        return self.model.recipe.input_noise > 0 and self.share > DOUBTFUL

    def __call__(self, epoch: int) -> None:
        """Look at the model after an epoch."""
        if not self.model.recipe.adaptive_noise or self.model.recipe.input_noise == 0 or epoch >= self.n_epochs:
            return
        hidden, known = self.choice.agreed(self.choice.cells.hidden_by_noise(self.model, self._generator))
        self.hidden, self.known = self.hidden + hidden, self.known + known
        # the first epoch alone has little to hide
        if epoch >= min(1, self.n_epochs - 1) and self.share > HARMFUL:
            self.model.without_noise()
