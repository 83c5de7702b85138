"""The symmetric InfoNCE loss."""

import functools
import importlib.util
import logging

import torch
from torch import Tensor
from torch.autograd import Function

from clipdim.contrast import tiles

# up to so many pairs the whole matrix of logits is used: it is faster on a CPU core and next to a kernel, and on a GPU
# without the kernel needs no waiting for the tiles' shift to be read back
PLAIN_PAIRS = 128
PLAIN_PAIRS_BEFORE_KERNEL = 2048
PLAIN_PAIRS_ON_DEVICES = 8192

logger = logging.getLogger(__name__)


def info_nce(u: Tensor, v: Tensor, temperature: Tensor | float, *, groups: Tensor | None = None) -> Tensor:
    """
    Symmetric InfoNCE loss of paired embeddings.

    With ``S = u @ v.T / temperature`` it is the mean over the pairs of ``logsumexp_j S_ij - S_ii``, averaged with the
    same for the columns. The sum inside the logarithm is not divided by the number of pairs, so the loss of embeddings
    that carry no information is ``log(B)``.

    Exact, in memory that grows with B and not with its square: the logits are computed in tiles, and again in the
    backward pass, which cannot be differentiated further. Loss and gradients are within 1e-5 of those in float64, for
    which logits above 64 (temperatures below 1/64, if u and v have norm 1) are computed in float64. Batches of at most
    128 pairs go through the whole matrix in the format of u and v. Half precision and autocast are computed in float32.

    On a CUDA GPU with Triton, float32 embeddings of at most 128 dimensions and more than 2,048 pairs go through a
    kernel; else up to 8,192 pairs go through the whole matrix. Both stay in float32, where a logit of size s is off by
    ``1e-7 s`` or so, and each softmax weight by this fraction of itself: 1e-5 while ``max|u| max|v| / temperature`` is
    at most 64, 1e-4 at a temperature of 1e-3. The kernel, unlike the whole matrix, keeps the digits of a loss near 0.
    It reads nothing back: after a first step, which compiles it, the training step can be captured in a CUDA graph.

    Parameters
    ----------
    u, v
        Normalised embeddings, (B, d); row i of one is paired with row i of the other.
    temperature
        Positive number or scalar tensor; its gradient is computed when it asks for one.
    groups
        Integers, (B,), for instance the batch of each cell. The negatives of a pair then come from its own group only,
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
        msg = f"u and v must have one shape (pairs, dimensions), got {tuple(u.shape)} and {tuple(v.shape)}"
        raise ValueError(msg)
    if groups is not None and groups.shape != u.shape[:1]:
        msg = f"groups must have shape ({u.shape[0]},), one entry a pair, got {tuple(groups.shape)}"
        raise ValueError(msg)
    if u.dtype in (torch.float16, torch.bfloat16):
        u, v = u.float(), v.float()
    with torch.autocast(u.device.type, enabled=False):
        algorithm = _algorithm(u)
        if algorithm is None:
            return info_nce_plain(u, v, temperature, groups=groups)
        if groups is not None:
            groups, order = groups.sort(stable=True)
            u, v = u[order], v[order]
        if isinstance(temperature, Tensor):
            temperature = temperature.to(u.device, u.dtype).reshape(())
        else:
            # written by the device, where a copy would be waited for
            temperature = u.new_full((), float(temperature))
        return algorithm.apply(u, v, temperature, groups)


def info_nce_plain(u: Tensor, v: Tensor, temperature: Tensor | float, *, groups: Tensor | None = None) -> Tensor:
    """
    :func:`info_nce` from the whole matrix of logits: memory grows with the square of the pairs.

    Parameters are those of :func:`info_nce`; nothing is checked, and the format is that of the arguments.

    Examples
    --------
    >>> import torch
    >>> from clipdim.contrast.loss import info_nce_plain
    >>> round(info_nce_plain(torch.eye(4), torch.eye(4), 0.1).item(), 6)
    0.000136
    """
    logits = u @ v.T / temperature
    positive = logits.diagonal()
    if groups is not None:
        logits = logits.masked_fill(groups[:, None] != groups[None, :], -torch.inf)
    return ((logits.logsumexp(dim=1) + logits.logsumexp(dim=0)) / 2 - positive).mean()


def _algorithm(u: Tensor) -> type[Function] | None:
    """Choose what goes through the logits of so many pairs on this device; None for the whole matrix."""
    if len(u) <= (PLAIN_PAIRS if u.device.type == "cpu" else PLAIN_PAIRS_BEFORE_KERNEL):
        return None
    if u.device.type == "cuda" and u.dtype == torch.float32 and _kernel_runs(u.device, u.shape[1]):
        from clipdim.contrast.kernels import KernelInfoNCE

        return KernelInfoNCE
    return None if u.device.type != "cpu" and len(u) <= PLAIN_PAIRS_ON_DEVICES else tiles.TiledInfoNCE


@functools.cache
def _kernel_runs(device: torch.device, d: int) -> bool:
    """Whether Triton is there and its kernel starts: some machines lack a compiler, old GPUs the shared memory."""
    if importlib.util.find_spec("triton") is None:
        return False
    try:
        from clipdim.contrast import kernels

        if d > kernels.LARGEST_DIM:
            return False
        kernels.try_out(device, d)
    except Exception:
        logger.warning("The Triton kernel of the loss does not run here; PyTorch computes it.", exc_info=True)
        return False
    return True
