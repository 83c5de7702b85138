"""One training shared by several processes, each with a part of the cells (``torch.distributed``)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd import Function
from torch.distributed import ProcessGroup


class _GatherRows(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: ProcessGroup) -> Tensor:
        ctx.rank, ctx.size, ctx.n = distributed.get_rank(group), distributed.get_world_size(group), len(rows)
        parts = [torch.empty_like(rows) for _ in range(ctx.size)]
        distributed.all_gather(parts, rows.contiguous(), group=group)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        # every process has the gradient of all rows; its own, times the processes, makes up for the mean taken later
        return ctx.size * grad[ctx.rank * ctx.n : (ctx.rank + 1) * ctx.n], None


def gather_rows(rows: Tensor, group: ProcessGroup) -> Tensor:
    """Rows of all processes, (processes x n, ...), in the order of the ranks; every process must bring as many.

    A function of the gathered rows that all processes compute alike has, after :func:`average_gradients`, the gradient
    that one process with all the rows would have.
    """
    gathered: Tensor = _GatherRows.apply(rows, group)
    return gathered


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor], group: ProcessGroup) -> None:
    """Replace each gradient by its mean over the processes, in one message."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    distributed.all_reduce(flat, group=group)
    flat /= distributed.get_world_size(group)
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def fewest(n: int, group: ProcessGroup, device: torch.device) -> int:
    """Smallest of the numbers that the processes bring."""
    number = torch.tensor(n, device=device)
    distributed.all_reduce(number, distributed.ReduceOp.MIN, group=group)
    return int(number)
