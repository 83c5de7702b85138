"""``tl.embed``: new cells into a fitted reference."""

import torch
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim._renamed import renamed
from clipdim.contrast import ContrastiveModel
from clipdim.fitting.devices import resolve_device


@renamed(mdata="query")
def embed(
    query: MuData,
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
    ``clipdim.pp.citeseq(query, reference=reference)``. Other representations are matched by number.

    Parameters
    ----------
    query
        New cells. Modalities that the reference was not fitted on are left alone.
    reference
        MuData after :func:`clipdim.tl.fit`.
    key
        The ``key_added`` of the fit.
    device
        ``"auto"`` (CUDA, else MPS, else CPU) or the name of a torch device.
    copy
        Return a copy with the embedding and leave ``query`` as it is.

    Returns
    -------
    None, or the copy. Written are

    ``query.obsm["X_{key}"]`` : float32 (cells x out_dim)
        Joint embedding, the mean over the modalities that a cell has.
    ``query[mod].obsm["X_{key}"]`` : float32 (cells x out_dim)
        Embedding of each modality.
    ``query[mod].obs["{key}_norm"]`` : float32
        Norm of the encoder's output over its mean in the reference.
    ``query[mod].obsm["X_{key}_private"]``, ``query.obsm["X_{key}_complete"]`` : float32
        If the reference has private dimensions: see :func:`clipdim.tl.private`.
    ``query.uns["{key}_embedded"]`` : dict
        ``fit``, a fingerprint of the reference's encoders, and ``version``; not where ``query`` holds the fit itself.

    Raises
    ------
    TypeError
        If ``query`` or ``reference`` is not a MuData.
    KeyError
        If the reference holds no fit of that name, or a representation is missing.
    ValueError
        If no modality is shared with the reference, more than a fifth of the features are missing, the values look like
        another normalisation (raw counts?), the MuData holds another fit of that name, or the reference's was written
        by a newer version. ``query`` is unchanged then.

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
    query = _mudata.require_mudata(query, copy=copy)
    if not isinstance(reference, MuData):
        msg = f"reference must be the MuData that clipdim.tl.fit was called on, got {type(reference).__name__}"
        raise TypeError(msg)
    fit = _mudata.read_fit(reference, key)
    names = _known_modalities(query, fit)
    _mudata.refuse_other_fit(query, fit, key)
    model = ContrastiveModel.from_arrays(fit.encoders, fit.params.recipe).to(resolve_device(device))
    inputs, embeddings, norms = {}, {}, {}
    for name in names:
        inputs[name] = _mudata.matched_representation(query, reference, name, fit)
        embeddings[name], norms[name] = model.embed(name, torch.from_numpy(inputs[name]))
    rows = _mudata.cell_rows(query, names)  # refuses cells that cannot be paired before anything is written
    target = query.copy() if copy else query
    _mudata.write_embeddings(target, embeddings, norms, key=key)
    if fit.private is not None:
        joint = _mudata.mean_embedding(embeddings, rows)
        _mudata.write_private(target, *fit.private.of_cells(inputs, joint, rows), key=key)
    _mudata.write_embedded(target, fit, key=key)
    return target if copy else None


def _known_modalities(query: MuData, fit: _mudata.Fit) -> list[str]:
    """Names of the query's modalities that the fit has an encoder for."""
    known = list(fit.encoders)
    names = [name for name in query.mod if name in known]
    if not names:
        alike = _keys.alike(query.mod, known)
        call = ", ".join(f"{ours!r}: query[{theirs!r}]" for theirs, ours in alike.items())
        msg = f"the MuData has the modalities {list(query.mod)}, the reference was fitted on {known}; rename "
        msg += f"them: mudata.MuData({{{call}}})" if alike else "those that are meant: mudata.MuData({...})"
        raise ValueError(msg)
    return names
