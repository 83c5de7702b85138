"""A new fit: the closed-form start, then as much learning as cells that are left out of it want."""

import math
from collections.abc import Callable
from dataclasses import replace
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
from clipdim.fitting.training import cells_of, train_with_history

_T = TypeVar("_T")
VALIDATION, MAX_VALIDATION, MIN_VALIDATION = 0.15, 300, 10
# where validation takes more of the training cells than this, a second fit learns from all
SPARED = 0.1
# noise that does harm does so from the first epochs on
WATCHED = 0.3


def learn(data: _mudata.Inputs, out_dim: int, recipe: Recipe, settings: Settings) -> Result:
    """Fit encoders to the training cells.

    Where the recipe starts in closed form, some of the training cells are left out to choose how much of what is
    learned beyond the start is kept, and whether noise is added to the inputs. Where these are many of few cells, what
    they chose is then learned from all.
    """
    if not (recipe.shrink or recipe.adaptive_noise):
        return run(data, new_model(data, out_dim, recipe, settings), settings)
    choice = Choice(data, recipe, settings)
    if len(choice.validation) <= SPARED * len(data.train):
        model = new_model(choice.rest, out_dim, recipe, settings)
        result = run(
            data, model, settings, train_on=choice.rest, watch=choice.watch(model), afterwards=lambda: choice.make(model)
        )
    else:
        trial = new_model(choice.rest, out_dim, _shorter(recipe, len(choice.rest.train)), settings)
        if trial.recipe.max_epochs != 0:
            train_with_history(trial, choice.rest, settings=settings, watch=choice.watch(trial), on_trial=True)
        choice.make(trial)
        model = new_model(data, out_dim, replace(recipe, input_noise=trial.recipe.input_noise), settings)
        result = run(data, model, settings, afterwards=lambda: choice.apply(model))
    return replace(result, fit=replace(result.fit, learning=choice.table()))


def _shorter(recipe: Recipe, n_cells: int) -> Recipe:
    """Return the recipe for a trial, of half as many epochs unless the user chose how many."""
    return recipe if recipe.max_epochs is not None else replace(recipe, max_epochs=math.ceil(recipe.n_epochs(n_cells) / 2))


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


class Choice:
    """What validation cells choose, and why."""

    def __init__(self, data: _mudata.Inputs, recipe: Recipe, settings: Settings) -> None:
        self.settings = settings
        order = np.random.default_rng([settings.random_state, len(data.train)]).permutation(data.train)
        most = min(MAX_VALIDATION, round(VALIDATION * len(order)))
        n_validation = min(max(most, MIN_VALIDATION), len(order) // 3)
        self.validation, self.rest = np.sort(order[:n_validation]), replace(data, train=np.sort(order[n_validation:]))
        self.candidates: list[Candidate] = []
        self._cells = Validation(cells_of(data, self.validation).to(settings.device))

    def watch(self, model: ContrastiveModel) -> Callable[[int], None]:
        """Return what looks at the model after each epoch, and leaves out the noise that does harm."""
        n_watched = max(1, round(WATCHED * model.recipe.n_epochs(len(self.rest.train))))
        generator = Generator(self.settings.device).manual_seed(self.settings.random_state)

        def look(epoch: int) -> None:
            wanted = model.recipe.adaptive_noise and model.recipe.input_noise > 0 and epoch < n_watched
            if wanted and self._agreed(self._cells.noise_hides(model, generator)):
                model.without_noise()

        return look

    def make(self, model: ContrastiveModel) -> None:
        """Choose by a trained model, and apply that to it."""
        if model.recipe.shrink:
            shares = (0.0,) if model.recipe.max_epochs == 0 else SHARES
            self.candidates = self._agreed(self._cells.candidates(model, shares))
            self.apply(model)

    def apply(self, model: ContrastiveModel) -> None:
        """Shrink a model to its start as was chosen, and set the temperatures that go with it."""
        if not self.candidates:
            return
        best = min(self.candidates, key=lambda candidate: candidate.loss)
        model.shrink(best.share)
        known = zip(best.temperatures, model.temperatures().tolist(), strict=True)
        model.set_temperature([own if np.isnan(found) else found for found, own in known])

    def table(self) -> pd.DataFrame | None:
        """Return the validation loss of each share."""
        if not self.candidates:
            return None
        best = min(self.candidates, key=lambda candidate: candidate.loss)
        return pd.DataFrame(
            {
                "share": [candidate.share for candidate in self.candidates],
                "loss": [candidate.loss for candidate in self.candidates],
                "n_cells": len(self.validation),
                "chosen": [candidate is best for candidate in self.candidates],
            }
        )

    def _agreed(self, value: _T) -> _T:
        """Return the value of the first process in all of them."""
        if self.settings.group is None:
            return value
        held = [value]
        torch.distributed.broadcast_object_list(held, group_src=0, group=self.settings.group)
        return held[0]
