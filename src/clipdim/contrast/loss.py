"""The symmetric InfoNCE loss."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clipdim.contrast import tiles

# up to so many cells the whole matrix of logits is used: it is faster on a CPU core, and on a GPU it needs no waiting
# for the tiles' shift to be read back
WHOLE_CELLS = 512
WHOLE_CELLS_ON_DEVICES = 8192


def info_nce(u: Tensor, v: Tensor, temperature: Tensor | float, *, groups: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE loss of the cells' embeddings in two modalities.

    With ``S = u @ v.T / temperature`` it is the mean over the cells of ``logsumexp_j S_ij - S_ii``, averaged with the
    same for the columns. The sum inside the logarithm is not divided by the number of cells, so the loss of embeddings
    that carry no information is ``log(B)``.

    Exact, in memory that grows with B and not with its square: the logits are computed in tiles, and again in the
    backward pass, which cannot be differentiated further. Loss and gradients are within 1e-5 of those in float64, for
    which logits above 64 (temperatures below 1/64, if u and v have norm 1) are computed in float64. Half precision and
    autocast are computed in float32.

    Up to 512 cells, or 8,192 on a GPU, go through the whole matrix in the format of u and v: in float32 a logit of size
    s is off by ``1e-7 s`` or so, and each softmax weight by this fraction of itself.

    Parameters
    ----------
    u, v
        Normalised embeddings, (B, d); row i is the same cell in both.
    temperature
        Positive number or scalar tensor; its gradient is computed when it asks for one.
    groups
        Integers, (B,), for instance the batch of each cell. The negatives of a cell then come from its own group only,
        so that telling the groups apart does not lower the loss.

    Returns
    -------
    Scalar tensor.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    References
    ----------
    Gui, Ma and Ma (NeurIPS 2025), section 1, equation 1; Radford et al. (2021).

    Examples
    --------
    >>> import torch
    >>> from clipdim.contrast import info_nce
    >>> round(info_nce(torch.eye(4), torch.eye(4), 0.1).item(), 6)
    0.000136
    """
    if u.ndim != 2 or u.shape != v.shape:
        msg = f"u and v must have one shape (cells, dimensions), got {tuple(u.shape)} and {tuple(v.shape)}"
        raise ValueError(msg)
    if groups is not None and groups.shape != u.shape[:1]:
        msg = f"groups must have shape ({u.shape[0]},), one entry a cell, got {tuple(groups.shape)}"
        raise ValueError(msg)
    if u.dtype in (torch.float16, torch.bfloat16):
        u, v = u.float(), v.float()
    with torch.autocast(u.device.type, enabled=False):
        if u.device.type != "cpu" and len(u) <= WHOLE_CELLS_ON_DEVICES:
            return info_nce_plain(u, v, temperature, groups=groups)
        loss = None
        if u.device.type == "cpu" and len(u) <= WHOLE_CELLS:
            loss = _of_whole_matrix(u, v, temperature, groups)
        if loss is not None:
            return loss
        if groups is not None:
            groups, order = groups.sort(stable=True)
            u, v = u[order], v[order]
        if isinstance(temperature, Tensor):
            temperature = temperature.to(u.device, u.dtype).reshape(())
        else:
            # written by the device, where a copy would be waited for
            temperature = u.new_full((), float(temperature))
        return tiles.TiledInfoNCE.apply(u, v, temperature, groups)


def info_nce_plain(u: Tensor, v: Tensor, temperature: Tensor | float, *, groups: Tensor | None = None) -> Tensor:
    """:func:`info_nce` from the whole matrix of logits, unchecked: memory grows with the square of the cells."""
    logits = u @ v.T / temperature
    positive = logits.diagonal()
    if groups is not None:
        logits = logits.masked_fill(groups[:, None] != groups[None, :], -torch.inf)
    return ((logits.logsumexp(dim=1) + logits.logsumexp(dim=0)) / 2 - positive).mean()


def _of_whole_matrix(u: Tensor, v: Tensor, temperature: Tensor | float, groups: Tensor | None) -> Tensor | None:
    """:func:`info_nce` in less time than by automatic differentiation; None where sums leave the format."""
    temperature = torch.as_tensor(temperature, dtype=u.dtype)
    with torch.no_grad():
        weights = u @ (v / temperature).T
        positive = weights.diagonal().clone()
        weights.exp_()
        if groups is not None:
            weights.mul_(groups[:, None] == groups)
        sums = torch.stack([weights.sum(dim=1), weights.sum(dim=0)])
        smallest, largest = sums.aminmax()
        limits = torch.finfo(u.dtype)
        # what underflowed is then less than the rounding of a sum
        if not (smallest > len(u) * limits.tiny / limits.eps and largest < torch.inf):
            return None
    return _WholeMatrix.apply(u, v, temperature, weights, sums, positive)


class _WholeMatrix(torch.autograd.Function):
    """The loss from the exponentials of all logits, and its gradient from the same."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, v: Tensor, temperature: Tensor, weights: Tensor, sums: Tensor, positive: Tensor
    ) -> Tensor:
        """Return the mean of the logarithms of the sums less the positive logits."""
        ctx.save_for_backward(u, v, temperature, weights, sums)
        return (sums.log().mean(dim=0) - positive).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Each logit's gradient is its share of its row and of its column, less 2 for a positive."""
        u, v, temperature, weights, sums = ctx.saved_tensors
        rows, columns = sums.reciprocal()
        shares = weights * (rows[:, None] + columns)
        shares.diagonal().sub_(2)
        factor = grad / (2 * len(u) * temperature)
        grad_u = torch.mm(shares, v).mul_(factor)
        grad_v = torch.mm(shares.T, u).mul_(factor)
        return grad_u, grad_v, -(u * grad_u).sum() / temperature, None, None, None
