"""One of several processes that train together; started by test_distributed.py."""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import distributed

from clipdim.contrast import RECIPES, ContrastiveModel, train
from clipdim.contrast.distributed import average_gradients, gather_rows
from clipdim.contrast.objective import Contrastive

OBJECTIVE = Contrastive()
QUIET = replace(RECIPES["default"], input_noise=0.0, width=16, shuffle=False, batch_size=48, max_epochs=3)
CASES = {
    "cosine": (QUIET, ("a", "b"), False),
    "groups": (QUIET, ("a", "b"), True),
    "three modalities": (QUIET, ("a", "b", "c"), False),
    "norms of the minibatch": (replace(QUIET, similarity="inner"), ("a", "b"), False),
    "norm set": (replace(QUIET, similarity="inner", norm_fraction=0.1), ("a", "b"), False),
}


def cells(modalities, n, seed):
    draw = torch.Generator().manual_seed(seed)
    latent = torch.randn(n, 3, generator=draw)
    return {name: torch.cat([latent, torch.randn(n, 4, generator=draw)], dim=1) for name in modalities}


def case(name):
    """Model, cells, groups and norm set of a case; the same in every process."""
    recipe, modalities, grouped = CASES[name]
    model = ContrastiveModel.create(dict.fromkeys(modalities, 7), 5, recipe).initialize(
        torch.Generator().manual_seed(0)
    )
    groups = torch.arange(192).remainder(3) if grouped else None
    return model, cells(modalities, 192, 1), groups, cells(modalities, 20, 2) if recipe.norm_fraction else None


def in_one_process(name):
    """Gradients of the first minibatch, and weights after training."""
    model, inputs, groups, norm_inputs = case(name)
    first = {modality: x[:48] for modality, x in inputs.items()}
    OBJECTIVE(model, first, groups=None if groups is None else groups[:48], norm_inputs=norm_inputs).backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    epochs = list(train(model, inputs, generator=torch.Generator(), groups=groups, norm_inputs=norm_inputs))
    return gradients, [p.detach() for p in model.parameters()], [epoch.loss for epoch in epochs]


def in_all_processes(name, group):
    """The same with every second cell: together the minibatches are those of one process."""
    model, inputs, groups, norm_inputs = case(name)
    mine = slice(group.rank(), None, group.size())
    inputs = {modality: x[mine] for modality, x in inputs.items()}
    groups = None if groups is None else groups[mine]
    norm_inputs = None if norm_inputs is None else {modality: x[mine] for modality, x in norm_inputs.items()}
    n = 48 // group.size()
    first = {modality: x[:n] for modality, x in inputs.items()}
    OBJECTIVE(
        model,
        first,
        groups=None if groups is None else groups[:n],
        norm_inputs=norm_inputs,
        gather=lambda rows: gather_rows(rows, group),
    ).backward()
    average_gradients(model.parameters(), group)
    gradients = [p.grad.clone() for p in model.parameters()]
    epochs = list(
        train(
            model,
            inputs,
            generator=torch.Generator(),
            groups=groups,
            norm_inputs=norm_inputs,
            process_group=group,
        )
    )
    return gradients, [p.detach() for p in model.parameters()], [epoch.loss for epoch in epochs]


def main():
    folder, rank, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=size)
    torch.save({name: in_all_processes(name, distributed.group.WORLD) for name in CASES}, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
