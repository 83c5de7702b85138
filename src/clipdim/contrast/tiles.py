"""The symmetric InfoNCE of many cells, tile by tile: exact, in memory proportional to the cells."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# rows x columns: tiles stay in a core's cache; a GPU needs more work at a time
CPU_TILE = (512, 512)
GPU_TILE = (4096, 4096)
# beyond it float32 rounds a logit too coarsely for gradients exact to 1e-5, and float64 takes over
LARGEST_FLOAT32_LOGIT = 64.0


class TiledInfoNCE(Function):
    """``info_nce`` from tiles of the logits S, of which one exists at a time; the backward pass computes them again.

    ``exp(S - m)`` with one m for all cells serves the sums over rows and those over columns; it is taken in base 2,
    several times as fast. Beforehand only ``max S <= max|u| max|v| / temperature`` is known; m lies below this
    bound by as much as sums of n terms can do without overflow. Where a sum still comes out so small that terms may
    have been lost, each row and each column gets its own maximum, at twice the exponentials.

    With x the logarithm of the sum over a cell's negatives less the cell's own logit, its loss is ``softplus(x)``, and
    the gradient of its own logit ``-sigmoid(x)``: no digits are lost when the loss is nearly 0. The gradient of the
    temperature follows from that of u, since S is linear in ``u / temperature``.

    ``groups`` must be sorted.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor, temperature: Tensor, groups: Tensor | None) -> Tensor:
        """Sum over the tiles, by one shift or by the maxima of rows and columns."""
        n = len(u)
        wide = _wide(u)
        bound = (u.norm(dim=1).max() * v.norm(dim=1).max() / temperature).item()
        dtype = u.dtype if bound <= LARGEST_FLOAT32_LOGIT else wide
        limits = torch.finfo(dtype)
        shift = bound / math.log(2) - (math.log2(limits.max) - 2 - math.log2(n))
        own = u.new_empty(n, dtype=dtype)
        negatives = u.new_zeros(2, n, dtype=dtype)
        kept = None  # a single tile need not be computed again
        for i, j, tile in _tiles(u.to(dtype), v.to(dtype), temperature, shift, groups):
            _move_diagonal(tile, i, j, own)
            tile.exp2_()
            negatives[0, i] += tile.sum(dim=1)
            negatives[1, j] += tile.sum(dim=0)
            if tile.shape == (n, n):
                kept = tile
        sums = negatives + own.exp2()
        # what may have underflowed, n terms below tiny, must be less than the rounding of a sum
        one_shift = bool((sums > n * limits.tiny / limits.eps).all())
        if one_shift:
            x = negatives.to(wide).log2() - own.to(wide)
            normalizers = sums.reciprocal()
        else:
            shift, kept = 0.0, None
            own = u.new_empty(n, dtype=wide)
            negatives = u.new_full((2, n), -torch.inf, dtype=wide)
            buffer = own.new_empty(0)
            for i, j, tile in _tiles(u.to(wide), v.to(wide), temperature, shift, groups):
                _move_diagonal(tile, i, j, own)
                buffer.resize_(tile.shape)
                negatives[0, i] = negatives[0, i].logaddexp2(_logsumexp2(tile, 1, buffer))
                negatives[1, j] = negatives[1, j].logaddexp2(_logsumexp2(tile, 0, buffer))
            x = negatives - own
            normalizers = negatives.logaddexp2(own)
        x = x * math.log(2)
        ctx.save_for_backward(u, v, temperature, normalizers, -x.sigmoid().sum(dim=0), groups, kept)
        ctx.one_shift, ctx.shift = one_shift, shift
        return x.logaddexp(x.new_zeros(())).mean().to(u.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Compute the tiles again and add up the gradients."""
        u, v, temperature, (rows, columns), own, groups, kept = ctx.saved_tensors
        x, y = u.to(rows.dtype), v.to(rows.dtype)
        grad_x, grad_y_t = torch.zeros_like(x), torch.zeros_like(y.T, memory_format=torch.contiguous_format)
        buffer = x.new_empty(0)
        everything = slice(0, len(u))
        again = _tiles(x, y, temperature, ctx.shift, groups) if kept is None else [(everything, everything, kept)]
        for i, j, tile in again:
            buffer.resize_(tile.shape)
            if kept is not None:
                tile = torch.add(rows[i, None], columns[j], out=buffer).mul_(tile)
            elif ctx.one_shift:
                tile.exp2_().mul_(torch.add(rows[i, None], columns[j], out=buffer))
            else:
                torch.sub(tile, rows[i, None], out=buffer).exp2_()
                tile.sub_(columns[j]).exp2_().add_(buffer)
            k, diagonal = _diagonal(tile, i, j)
            diagonal.copy_(own[k])
            grad_x[i].addmm_(tile, y[j])
            grad_y_t[:, j].addmm_(x[i].T, tile)
        factor = grad / (2 * len(u) * temperature)
        wide = _wide(u)
        grad_temperature = -(x.to(wide) * grad_x.to(wide)).sum() * factor / temperature
        return (grad_x * factor).to(u), (grad_y_t.T * factor).to(v), grad_temperature.to(temperature), None


def _wide(x: Tensor) -> torch.dtype:
    """Type of what must not be rounded; Apple's GPUs have no float64."""
    return x.dtype if x.device.type == "mps" else torch.float64


def _tiles(
    x: Tensor, y: Tensor, temperature: Tensor, shift: float, groups: Tensor | None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Rows, columns and values of each tile of ``x @ y.T / (temperature log 2) - shift``, -inf between groups.

    All tiles share their memory. Those without two cells of one group are left out.
    """
    n = len(x)
    x = x / (temperature * math.log(2))
    n_rows, n_columns = CPU_TILE if x.device.type == "cpu" else GPU_TILE
    starts = range(0, n, n_rows)
    firsts, lasts = [0] * len(starts), [n] * len(starts)
    if groups is not None:
        heads, tails = groups[::n_rows], groups[[min(start + n_rows, n) - 1 for start in starts]]
        firsts = torch.searchsorted(groups, heads.contiguous()).tolist()
        lasts = torch.searchsorted(groups, tails, right=True).tolist()
    shift_ = x.new_tensor(shift)
    buffer = x.new_empty(min(n_rows, n) * min(n_columns, n))
    for start, first, last in zip(starts, firsts, lasts, strict=True):
        i = slice(start, min(start + n_rows, n))
        for column in range(first, last, n_columns):
            j = slice(column, min(column + n_columns, last))
            shape = i.stop - i.start, j.stop - j.start
            tile = buffer[: shape[0] * shape[1]].view(shape)
            torch.addmm(shift_, x[i], y[j].T, beta=-1, out=tile)
            if groups is not None:
                tile.masked_fill_(groups[i, None] != groups[j], -torch.inf)
            yield i, j, tile


def _diagonal(tile: Tensor, i: slice, j: slice) -> tuple[slice, Tensor]:
    """Cells that are both among the rows and among the columns, maybe none, and a view of their own entries."""
    start = max(i.start, j.start)
    k = slice(start, max(start, min(i.stop, j.stop)))
    return k, tile[k.start - i.start : k.stop - i.start, k.start - j.start : k.stop - j.start].diagonal()


def _move_diagonal(tile: Tensor, i: slice, j: slice, own: Tensor) -> None:
    """Move the cells' own entries of a tile to ``own``, so that the tile keeps the negatives."""
    k, diagonal = _diagonal(tile, i, j)
    own[k] = diagonal
    diagonal.fill_(-torch.inf)


def _logsumexp2(tile: Tensor, dim: int, buffer: Tensor) -> Tensor:
    """``log2`` of the sum of ``2 ** tile``, -inf where all is masked."""
    highest = tile.amax(dim, keepdim=True).clamp_min(torch.finfo(tile.dtype).min)
    return torch.sub(tile, highest, out=buffer).exp2_().sum(dim).log2() + highest.squeeze(dim)
