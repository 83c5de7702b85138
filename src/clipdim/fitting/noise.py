"""The input noise of a run, chosen on some of its training cells."""

import numpy as np
import torch
from torch.distributed import ProcessGroup

from clipdim import _mudata
from clipdim.contrast import Recipe
from clipdim.contrast.noise import PILOT_CELLS, adapt_noise
from clipdim.fitting.devices import threads_for


def settle_noise(
    recipe: Recipe, data: _mudata.Inputs, device: torch.device, group: ProcessGroup | None, random_state: int
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
