"""
The tiles of the symmetric InfoNCE as Triton kernels: in float32, deterministic, without waiting for the GPU.

Importing it imports Triton, which a run on a CPU never needs: ``loss.py`` does so on a CUDA device only.
"""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# rows and columns of a tile, powers of two of at least 16; beyond 32 dimensions more columns would spill registers
ROWS, COLUMNS, COLUMNS_OF_MANY_DIMS = 64, 64, 32
LARGEST_DIM = 128
# blocks of rows at a time: each stores its share of all column sums, 1 KB a pair in total
ROW_BLOCKS = 256
# where the blocks of rows are fewer, several programs share the columns of each
PROGRAMS = 1024


class KernelInfoNCE(Function):
    """
    ``info_nce`` of float32 embeddings from tiles that never leave the GPU's registers.

    Mathematics and arguments are those of :class:`clipdim.contrast.tiles.TiledInfoNCE`, with two differences. Nothing
    is read back from the GPU: whether one shift serves all pairs is decided there, and the kernels of the other case
    return at once; the step can be captured in a CUDA graph. And logits above 64 stay in float32.

    No sum is atomic: two runs give the same bits.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor, temperature: Tensor, groups: Tensor | None) -> Tensor:
        """Sum over the tiles by one shift, and where that is not enough by the maxima of rows and columns."""
        n, limits = len(u), torch.finfo(torch.float32)
        # a rounded temperature would move all logits together, where their own roundings cancel
        x, y = (u.double() / (temperature.double() * math.log(2))).float().contiguous(), v.contiguous()
        # columns of each row's own group: firsts[i] <= j < lasts[i]
        if groups is None:
            firsts, lasts = (torch.full((n,), end, dtype=torch.int32, device=u.device) for end in (0, n))
        else:
            firsts = torch.searchsorted(groups, groups, out_int32=True)
            lasts = torch.searchsorted(groups, groups, out_int32=True, right=True)
        shift = x.norm(dim=1).max() * y.norm(dim=1).max() - (math.log2(limits.max) - 2 - math.log2(n))
        own = x.new_empty(n)
        with torch.cuda.device_of(u):
            negatives = _sums(x, y, firsts, lasts, shift, own)
            sums = negatives + own.exp2()
            # what may have underflowed, n terms below tiny, must be less than the rounding of a sum
            exact = (~(sums > n * limits.tiny / limits.eps).all()).to(torch.int32)
            highest, log_sums = _log_sums(x, y, firsts, lasts, exact, own)
        wide_own = own.double()
        log_negatives = torch.where(exact > 0, highest.double() + log_sums, negatives.double().log2())
        logits = (log_negatives - wide_own) * math.log(2)
        # a sum is 2 ** (high + low) where maxima are needed, else 2 ** high / low
        high = torch.where(exact > 0, torch.maximum(highest, own), shift)
        low = torch.where(exact > 0, torch.logaddexp2(log_negatives, wide_own) - high, 1 / sums.double()).float()
        own_weights = -logits.sigmoid().sum(dim=0).float()
        ctx.save_for_backward(x, y, temperature, firsts, lasts, exact, high, low, own_weights)
        return logits.logaddexp(logits.new_zeros(())).mean().to(u.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        """Compute the tiles again, once for u and once for v: adding up both at once would need atomic sums."""
        x, y, temperature, firsts, lasts, exact, high, low, own_weights = ctx.saved_tensors
        needs_u, needs_v, needs_temperature, _ = ctx.needs_input_grad
        grad = grad / (2 * len(x))
        grad_u = grad_v = grad_temperature = None
        with torch.cuda.device_of(x):
            if needs_u or needs_temperature:
                sums = _weighted_sums(x, y, firsts, lasts, exact, high, low, own_weights)
                grad_u = sums * (grad / temperature)
                grad_temperature = (x.double() * sums.double()).sum().float() * (-math.log(2) * grad / temperature)
            if needs_v:
                # x is u over (temperature log 2)
                sums = _weighted_sums(y, x, firsts, lasts, exact, high.flip(0), low.flip(0), own_weights)
                grad_v = sums * (grad * math.log(2))
        return grad_u, grad_v, grad_temperature, None


def try_out(device: torch.device, d: int) -> None:
    """Compile the kernels and start them, so that whatever stands in the way is raised here; reads nothing back."""
    with torch.inference_mode(False), torch.enable_grad():
        u = torch.eye(ROWS, d, device=device).requires_grad_()
        torch.autograd.grad(KernelInfoNCE.apply(u, u, u.new_ones(()), None), u)


def _sizes(x: Tensor) -> tuple[tuple[int, int], dict[str, int | bool]]:
    """Blocks of rows and programs that share the columns of each; shapes and settings that all kernels take."""
    (n, d), width = x.shape, max(16, triton.next_power_of_2(x.shape[1]))
    columns = COLUMNS if width <= 32 else COLUMNS_OF_MANY_DIMS
    blocks = triton.cdiv(n, ROWS)
    settings = {"ROWS": ROWS, "COLUMNS": columns, "D": width, "num_warps": 8, "enable_fp_fusion": True}
    return (blocks, max(1, min(triton.cdiv(n, columns), PROGRAMS // blocks))), {"n": n, "d": d, **settings}


def _sums(x: Tensor, y: Tensor, firsts: Tensor, lasts: Tensor, shift: Tensor, own: Tensor) -> Tensor:
    """Sum ``2 ** (x @ y.T - shift)`` over the negatives of each row and of each column, (2, n); fills ``own``."""
    n, ((blocks, splits), sizes) = len(x), _sizes(x)
    row_sums, column_sums = x.new_empty(splits, n), x.new_zeros(n)
    for block in range(0, blocks, ROW_BLOCKS):
        # not all are stored: a block of rows visits the columns of its groups only
        shares = x.new_zeros(min(ROW_BLOCKS, blocks - block), n)
        _sum_kernel[(len(shares), splits)](
            x, y, firsts, lasts, shift, own, row_sums, shares, first_row=block * ROWS, **sizes
        )
        column_sums += shares.sum(dim=0)
    return torch.stack([row_sums.sum(dim=0), column_sums])


def _log_sums(x: Tensor, y: Tensor, firsts: Tensor, lasts: Tensor, exact: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Largest negatives and ``log2`` of the sums relative to them, (2, n), noise if not ``exact``; fills ``own``."""
    (grid, sizes), tops, logs = _sizes(x), [], []
    for a, b in ((x, y), (y, x)):
        highest, sums = x.new_empty(grid[1], len(x)), x.new_empty(grid[1], len(x))
        _log_sum_kernel[grid](a, b, firsts, lasts, exact, own, highest, sums, **sizes)
        tops.append(highest.amax(dim=0))
        logs.append((sums.double() * (highest - tops[-1]).double().exp2()).sum(dim=0).log2())
    return torch.stack(tops), torch.stack(logs)


def _weighted_sums(
    x: Tensor, y: Tensor, firsts: Tensor, lasts: Tensor, exact: Tensor, high: Tensor, low: Tensor, own: Tensor
) -> Tensor:
    """Sum over the rows of y, by the derivatives of the loss with respect to a row of ``x @ y.T``, (n, d)."""
    grid, sizes = _sizes(x)
    out = x.new_empty(grid[1], *x.shape)
    for case in (0, 1):
        _weighted_sum_kernel[grid](x, y, firsts, lasts, exact, high, low, own, out, EXACT=case, **sizes)
    return out.sum(dim=0)


@triton.jit
def _load(x, i, n, d, D: tl.constexpr):
    """Rows i of x, (rows, D): zeros beyond n and d."""
    k = tl.arange(0, D)
    pointers = x + i.to(tl.int64)[:, None] * d + k[None, :]
    return tl.load(pointers, mask=(i < n)[:, None] & (k < d)[None, :], other=0.0)


@triton.jit
def _columns(firsts, lasts, row, n, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """First column and end of this program's share of the columns in the groups of its rows."""
    first = tl.load(firsts + row)
    last = tl.load(lasts + tl.minimum(row + ROWS, n) - 1)
    width = tl.cdiv(tl.cdiv(last - first, tl.num_programs(1)), COLUMNS) * COLUMNS
    start = first + tl.program_id(1) * width
    return start, tl.minimum(start + width, last)


@triton.jit
def _masks(i, j, firsts, lasts, n):
    """Which entries of a tile are a pair's own, and which are negatives."""
    first = tl.load(firsts + i, mask=i < n, other=0)[:, None]
    last = tl.load(lasts + i, mask=i < n, other=0)[:, None]
    same = (j[None, :] >= first) & (j[None, :] < last)
    return i[:, None] == j[None, :], same & (i[:, None] != j[None, :])


@triton.jit(do_not_specialize=["n"])
def _sum_kernel(
    x, y, firsts, lasts, shift, own, row_sums, column_sums, first_row, n, d,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    row = first_row + tl.program_id(0) * ROWS
    i = row + tl.arange(0, ROWS)
    start, stop = _columns(firsts, lasts, row, n, ROWS, COLUMNS)
    rows = _load(x, i, n, d, D)
    level = tl.load(shift)
    total = tl.zeros((ROWS,), tl.float32)
    diagonal = tl.zeros((ROWS,), tl.float32)
    for column in range(start, stop, COLUMNS):
        j = column + tl.arange(0, COLUMNS)
        s = tl.dot(rows, tl.trans(_load(y, j, n, d, D)), input_precision="ieee") - level
        on_diagonal, negative = _masks(i, j, firsts, lasts, n)
        diagonal += tl.sum(tl.where(on_diagonal, s, 0.0), axis=1)
        terms = tl.where(negative, tl.exp2(s), 0.0)
        total += tl.sum(terms, axis=1)
        tl.store(column_sums + tl.program_id(0).to(tl.int64) * n + j, tl.sum(terms, axis=0), mask=j < stop)
    tl.store(row_sums + tl.program_id(1).to(tl.int64) * n + i, total, mask=i < n)
    tl.store(own + i, diagonal, mask=(i < n) & (i >= start) & (i < stop))


@triton.jit(do_not_specialize=["n"])
def _log_sum_kernel(
    x, y, firsts, lasts, exact, own, highest, sums, n, d,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    if tl.load(exact) == 0:
        return
    row = tl.program_id(0) * ROWS
    i = row + tl.arange(0, ROWS)
    start, stop = _columns(firsts, lasts, row, n, ROWS, COLUMNS)
    rows = _load(x, i, n, d, D)
    # finite: a difference of two infinities is not a number
    top = tl.full((ROWS,), -3.0e38, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    diagonal = tl.zeros((ROWS,), tl.float32)
    for column in range(start, stop, COLUMNS):
        j = column + tl.arange(0, COLUMNS)
        s = tl.dot(rows, tl.trans(_load(y, j, n, d, D)), input_precision="ieee")
        on_diagonal, negative = _masks(i, j, firsts, lasts, n)
        diagonal += tl.sum(tl.where(on_diagonal, s, 0.0), axis=1)
        s = tl.where(negative, s, float("-inf"))
        higher = tl.maximum(top, tl.max(s, axis=1))
        total = total * tl.exp2(top - higher) + tl.sum(tl.exp2(s - higher[:, None]), axis=1)
        top = higher
    place = tl.program_id(1).to(tl.int64) * n + i
    tl.store(highest + place, top, mask=i < n)
    tl.store(sums + place, total, mask=i < n)
    tl.store(own + i, diagonal, mask=(i < n) & (i >= start) & (i < stop))


@triton.jit(do_not_specialize=["n"])
def _weighted_sum_kernel(
    x, y, firsts, lasts, exact, high, low, own, out, n, d,
    EXACT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    if tl.load(exact) != EXACT:
        return
    row = tl.program_id(0) * ROWS
    i = row + tl.arange(0, ROWS)
    start, stop = _columns(firsts, lasts, row, n, ROWS, COLUMNS)
    rows = _load(x, i, n, d, D)
    row_high = tl.load(high + i, mask=i < n, other=0.0)[:, None]
    row_low = tl.load(low + i, mask=i < n, other=0.0)[:, None]
    own_weight = tl.load(own + i, mask=i < n, other=0.0)[:, None]
    total = tl.zeros((ROWS, D), tl.float32)
    for column in range(start, stop, COLUMNS):
        j = column + tl.arange(0, COLUMNS)
        columns = _load(y, j, n, d, D)
        s = tl.dot(rows, tl.trans(columns), input_precision="ieee")
        column_low = tl.load(low + n + j, mask=j < n, other=0.0)[None, :]
        if EXACT:
            column_high = tl.load(high + n + j, mask=j < n, other=0.0)[None, :]
            weights = tl.exp2((s - row_high) - row_low) + tl.exp2((s - column_high) - column_low)
        else:
            weights = tl.exp2(s - row_high) * (row_low + column_low)
        on_diagonal, negative = _masks(i, j, firsts, lasts, n)
        weights = tl.where(on_diagonal, own_weight, tl.where(negative, weights, 0.0))
        total += tl.dot(weights, columns, input_precision="ieee")
    k = tl.arange(0, D)
    place = (tl.program_id(1).to(tl.int64) * n + i)[:, None] * d + k[None, :]
    tl.store(out + place, total, mask=(i < n)[:, None] & (k < d)[None, :])
