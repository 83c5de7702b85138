"""One of several processes that train together; started by test_distributed.py."""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import distributed

from clipdim.contrast import RECIPES, ContrastiveModel, train
from clipdim.contrast.distillation import Distillation
from clipdim.contrast.distributed import average_gradients, gather_rows
from clipdim.contrast.objective import contrastive

QUIET = replace(RECIPES["default"], input_noise=0.0, width=16, shuffle=False, batch_size=48, max_epochs=3)
CASES = {
    "cosine": (QUIET, ("a", "b")),
    "groups": (QUIET, ("a", "b")),
    "three modalities": (QUIET, ("a", "b", "c")),
    "norms of the minibatch": (replace(QUIET, similarity="inner"), ("a", "b")),
    # of both one process has one more, which is left out
    "191 cells, 21 in the norm set": (replace(QUIET, similarity="inner", norm_fraction=0.1), ("a", "b")),
    "distillation": (QUIET, ("a", "b")),
}


def cells(modalities, n, seed):
    draw = torch.Generator().manual_seed(seed)
    latent = torch.randn(n, 3, generator=draw)
    return {name: torch.cat([latent, torch.randn(n, 4, generator=draw)], dim=1) for name in modalities}


def case(name):
    """Model, objective, cells, groups and norm set of a case; the same in every process."""
    recipe, modalities = CASES[name]
    model = ContrastiveModel.create(dict.fromkeys(modalities, 7), 5, recipe)
    model.initialize(torch.Generator().manual_seed(0))
    objective = contrastive
    if name == "distillation":
        model, objective = model.project(torch.eye(5)[:, :3]), Distillation(model)
    inputs = cells(modalities, 191 if recipe.norm_fraction else 192, 1)
    groups = torch.arange(192).remainder(3) if name in ("groups", "distillation") else None
    return model, objective, inputs, groups, cells(modalities, 21, 2) if recipe.norm_fraction else None


def rows(arrays, which):
    return None if arrays is None else {modality: x[which] for modality, x in arrays.items()}


def in_one_process(name):
    """Gradients of the first minibatch, and weights after training."""
    model, objective, inputs, groups, norm_inputs = case(name)
    norm_inputs = rows(norm_inputs, slice(20))
    first = rows(inputs, slice(48))
    objective(model, first, groups=None if groups is None else groups[:48], norm_inputs=norm_inputs).backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    arguments = {"objective": objective, "groups": groups, "norm_inputs": norm_inputs}
    epochs = list(train(model, inputs, generator=torch.Generator(), **arguments))
    return gradients, [p.detach() for p in model.parameters()], [epoch.loss for epoch in epochs]


def in_all_processes(name, group):
    """The same with every second cell: together the minibatches are those of one process."""
    model, objective, inputs, groups, norm_inputs = case(name)
    mine, n = slice(group.rank(), None, group.size()), 48 // group.size()
    inputs, norm_inputs = rows(inputs, mine), rows(norm_inputs, mine)
    groups = None if groups is None else groups[mine]
    objective(
        model,
        rows(inputs, slice(n)),
        groups=None if groups is None else groups[:n],
        norm_inputs=rows(norm_inputs, slice(20 // group.size())),
        gather=lambda x: gather_rows(x, group),
    ).backward()
    average_gradients(model.parameters(), group)
    gradients = [p.grad.clone() for p in model.parameters()]
    arguments = {"objective": objective, "groups": groups, "norm_inputs": norm_inputs, "process_group": group}
    epochs = list(train(model, inputs, generator=torch.Generator(), **arguments))
    return gradients, [p.detach() for p in model.parameters()], [epoch.loss for epoch in epochs]


def main():
    folder, rank, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=size)
    torch.save({name: in_all_processes(name, distributed.group.WORLD) for name in CASES}, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
