"""The symmetric InfoNCE loss."""

import torch
from torch import Tensor


def info_nce(u: Tensor, v: Tensor, temperature: Tensor | float, *, groups: Tensor | None = None) -> Tensor:
    """
    Symmetric InfoNCE loss of paired embeddings.

    With ``S = u @ v.T / temperature`` it is the mean over the pairs of ``logsumexp_j S_ij - S_ii``, averaged with the
    same for the columns. The sum inside the logarithm is not divided by the number of pairs, so the loss of embeddings
    that carry no information is ``log(B)``.

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
    logits = u @ v.T / temperature
    positive = logits.diagonal()
    if groups is not None:
        if groups.shape != u.shape[:1]:
            msg = f"groups must have shape ({u.shape[0]},), one entry a pair, got {tuple(groups.shape)}"
            raise ValueError(msg)
        logits = logits.masked_fill(groups[:, None] != groups[None, :], -torch.inf)
    return ((logits.logsumexp(dim=1) + logits.logsumexp(dim=0)) / 2 - positive).mean()
