"""``tl.embed``: new cells into a fitted reference."""

import torch
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim.contrast import ContrastiveModel, Recipe
from clipdim.tl._completion import private_dimensions
from clipdim.tl._device import resolve_device


def embed(
    mdata: MuData,
    reference: MuData,
    *,
    key: str = _keys.KEY,
    device: str | torch.device = "auto",
    copy: bool = False,
) -> MuData | None:
    """
    Embed new cells, with all the modalities or some, by the encoders of a fitted reference.

    The reference MuData is the model: no other file is needed. Features are matched by name: those of ``X`` by
    ``.var_names``, principal components by the loadings that made them. Components of a new sample come from
    ``clipdim.pp.citeseq(mdata, reference=reference)``. Other representations are matched by number.

    Parameters
    ----------
    mdata
        New cells. Modalities that the reference was not fitted on are left alone.
    reference
        MuData after :func:`clipdim.tl.fit`.
    key
        The ``key_added`` of the fit.
    device
        ``"auto"`` (CUDA, else MPS, else CPU) or the name of a torch device.
    copy
        Return a copy with the embedding and leave ``mdata`` as it is.

    Returns
    -------
    None, or the copy. Written are

    ``mdata.obsm["X_{key}"]`` : float32 (cells x out_dim)
        Joint embedding, the mean over the modalities that a cell has.
    ``mdata[mod].obsm["X_{key}"]`` : float32 (cells x out_dim)
        Embedding of each modality.
    ``mdata[mod].obs["{key}_norm"]`` : float32
        Norm of the encoder's output over its mean in the reference.
    ``mdata[mod].obsm["X_{key}_private"]``, ``mdata.obsm["X_{key}_complete"]`` : float32
        If the reference has private dimensions: see :func:`clipdim.tl.private`.
    ``mdata.uns["{key}_embedded"]`` : dict
        ``fit``, a fingerprint of the reference's encoders, and ``version``; not where ``mdata`` holds the fit itself.

    Raises
    ------
    TypeError
        If ``mdata`` or ``reference`` is not a MuData.
    KeyError
        If the reference holds no fit of that name, or a representation is missing.
    ValueError
        If no modality is shared with the reference, more than a fifth of the features are missing, the values look like
        another normalisation (raw counts?), the MuData holds another fit of that name, or the reference's was written
        by a newer version. ``mdata`` is unchanged then.

    Warns
    -----
    UserWarning
        If some features of ``X`` are missing, which count as the reference's mean, or the values are unusually far from
        the reference's.

    References
    ----------
    Gui, Ma and Ma (NeurIPS 2025), section 4: out-of-sample evaluation of the encoders.

    Examples
    --------
    >>> import clipdim, numpy as np
    >>> reference = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> query = reference[:50].copy()
    >>> clipdim.pp.citeseq(reference)
    >>> clipdim.tl.fit(reference, out_dim=8, max_epochs=2, progress=False)
    >>> clipdim.pp.citeseq(query, reference=reference)
    >>> clipdim.tl.embed(query, reference)
    >>> np.allclose(query.obsm["X_clipdim"], reference.obsm["X_clipdim"][:50], atol=1e-5)
    True
    """
    mdata = _mudata.require_mudata(mdata, copy=copy)
    if not isinstance(reference, MuData):
        msg = f"reference must be the MuData that clipdim.tl.fit was called on, got {type(reference).__name__}"
        raise TypeError(msg)
    fit = _mudata.read_fit(reference, key)
    arrays = fit["encoders"]
    names = [name for name in mdata.mod if name in arrays]
    if not names:
        alike = _keys.alike(mdata.mod, arrays)
        renamed = ", ".join(f"{ours!r}: mdata[{theirs!r}]" for theirs, ours in alike.items())
        msg = f"the MuData has the modalities {list(mdata.mod)}, the reference was fitted on {list(arrays)}; rename "
        msg += f"them: mudata.MuData({{{renamed}}})" if alike else "those that are meant: mudata.MuData({...})"
        raise ValueError(msg)
    _mudata.refuse_other_fit(mdata, fit, key)
    model = ContrastiveModel.from_arrays(arrays, Recipe.from_stored(fit["params"]["recipe"])).to(resolve_device(device))
    inputs, embeddings, norms = {}, {}, {}
    for name in names:
        inputs[name] = _mudata.matched_representation(mdata, reference, name, fit)
        embeddings[name], norms[name] = model.embed(name, torch.from_numpy(inputs[name]))
    rows = _mudata.pair(mdata, names)  # refuses cells that cannot be paired before anything is written
    target = mdata.copy() if copy else mdata
    _mudata.write_embeddings(target, embeddings, norms, key=key)
    if "private" in fit:
        _mudata.write_private(target, *private_dimensions(fit["private"], inputs, embeddings, rows), key=key)
    if key not in target.uns:
        _mudata.write_embedded(target, fit, key=key)
    return target if copy else None
