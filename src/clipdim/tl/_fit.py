"""``tl.fit``: from a MuData with representations to a joint embedding with its intrinsic dimension."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from mudata import MuData

from clipdim import _check, _keys, _mudata
from clipdim.contrast import Recipe
from clipdim.fitting.devices import resolve_device
from clipdim.fitting.learning import learn
from clipdim.fitting.processes import own_device
from clipdim.fitting.run import join
from clipdim.fitting.settings import (
    Settings,
    check_holdout,
    check_key_added,
    check_out_dim,
    check_snapshots,
    choose_recipe,
    warn_of_one_dimension,
)
from clipdim.fitting.sharing import with_sharing


def fit(
    mdata: MuData,
    out_dim: int = 32,
    *,
    modalities: Sequence[str] | None = None,
    use_rep: str | Mapping[str, str] | None = None,
    batch_key: str | Sequence[str] | None = None,
    similarity: Literal["cosine", "inner"] | None = None,
    recipe: str | Recipe = "default",
    max_epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    holdout: float = 0.1,
    device: str | torch.device = "auto",
    distributed: bool = False,
    random_state: int = 0,
    key_added: str = _keys.KEY,
    progress: bool = True,
    n_snapshots: int = 0,
    copy: bool = False,
) -> MuData | None:
    """
    Learn one joint embedding of paired modalities and say how many dimensions they share.

    An encoder for each modality is trained so that the two embeddings of a cell are more similar to each other than to
    those of other cells (symmetric InfoNCE with a learned temperature). Cells are paired by name. With three modalities
    and more, the loss is over the pairs of modalities that a cell has, with a temperature for each pair. Cells with one
    modality take no part in the training and are embedded by it. Interrupting the training
    (Ctrl-C, or the stop button of a notebook) keeps what was learned until then; in the trial fit of few cells, which
    comes first, it ends the call and keeps nothing.

    The encoders begin at a ridge CCA, which is found in closed form (:func:`clipdim.contrast.ridge_cca`), and learn
    from there. At most 300 of the training cells, 15 % of few, are left out of the learning. Their loss says how much
    of what was learned is kept, from nothing (a linear embedding, often best for few hundred cells) to all, and at
    which temperature; and whether noise on the inputs is of use. Where those cells would be missed, because they are
    more than a tenth of the training cells, the fit is then repeated with all of them.

    Parameters
    ----------
    mdata
        MuData with two or more modalities, such as :func:`clipdim.pp.citeseq` leaves it. It may lie on disk, as
        ``mudata.read_h5mu(path, backed="r+")`` opens it: only the representations are read, no counts. The results are
        kept in memory until ``mdata.write()`` adds them to the file.
    out_dim
        Dimensions of the embedding; choose more than the modalities may share.
    modalities
        Names of the modalities to use; all of them by default.
    use_rep
        Representation of each modality: a key of ``.obsm``, or ``"X"``. One for all (``"X_pca"``), a mapping by
        modality (``{"rna": "X_pca", "prot": "X"}``), or one modality's (``"rna:X_scVI"``). By default ``X_pca`` where
        it exists, else ``X`` when it has at most 500 features.
    batch_key
        Column of ``.obs`` (donor, lane, site), or several. Negatives then come from a cell's own batch only, so that
        the embedding gains nothing from telling the batches apart, and minibatches are drawn within batches. Batches
        with fewer than 16 paired cells are joined, with a warning. Wrong where batch and biology are one: see
        :func:`clipdim.tl.diagnose`.
    similarity
        ``"cosine"``, or ``"inner"``: the inner product over the expected norms, as in the paper. By default the
        recipe's: ``"cosine"`` for ``"default"``, ``"inner"`` for ``"paper"``.
    recipe
        ``"default"``, which is ``"batches"`` (no linear path, deeper, more noise: less of the batches passes, and the
        dimension reads lower) with a ``batch_key``; ``"paper"`` (the settings of Gui, Ma and Ma), or a
        :class:`clipdim.contrast.Recipe`.
    max_epochs, batch_size, lr
        Override the recipe. The number of epochs follows from the number of cells by default; 0 leaves it at the
        closed-form start.
    holdout
        Share of the paired cells that is kept out of training, for the measures; 0 keeps out none.
    device
        ``"auto"`` (CUDA, else MPS, else CPU) or the name of a torch device.
    distributed
        Train together with the other processes of ``torchrun --nproc-per-node=2 script.py``. Each opens the same
        MuData, trains on its part of the cells with negatives from all, and ends with the same result; let one save it.
    random_state
        Seed of split, weights, batches and noise. The same seed on the same machine gives the same numbers; the global
        random state is left alone.
    key_added
        Name under which the results are stored.
    progress
        Show a progress bar with loss, temperature and remaining time.
    n_snapshots
        How often to store the embeddings of some cells for :func:`clipdim.pl.snapshots`, from the untrained model to
        the last epoch in even steps: 0 (never), or 2 and more. Nothing else in the result depends on it.
    copy
        Return a fitted copy and leave ``mdata`` as it is; refused for a MuData on disk.

    Returns
    -------
    None, or the copy. Written are, with ``key`` for ``key_added``:

    ``mdata.obsm["X_{key}"]`` : float32 (cells x out_dim)
        Joint embedding, the mean over the modalities that a cell has; NaN for cells that have none of ``modalities``.
    ``mdata[mod].obsm["X_{key}"]`` : float32 (cells x out_dim)
        Embedding of each modality. The inner product of two of them is their similarity.
    ``mdata[mod].obs["{key}_norm"]`` : float32
        Norm of the encoder's output over its mean.
    ``mdata.obs["{key}_split"]`` : categorical
        ``train``, ``held-out``, or ``norm set`` (only with ``recipe="paper"``: cells that serve the expected norms);
        missing for cells with less than two modalities.
    ``mdata.uns[key]`` : dict
        ``params``; ``history`` (DataFrame by epoch; the held-out measures of the last row are of what is kept);
        ``temperature``, with three modalities and more the geometric mean over their pairs; ``pairs`` (DataFrame:
        temperature, similarities on held-out cells, and the intrinsic dimension of what one embedding says of the
        other); ``shared_dimension`` and ``shared_spectrum`` (DataFrames: how many dimensions the modalities share,
        counted on the held-out cells, see :func:`clipdim.tl.shared_dimension`); ``intrinsic_dimension`` of each
        modality's embedding and of the joint one, with a 95 % interval; ``encoders`` (weights, input scaling
        included); ``features``; ``version``; ``learning``, unless the recipe is ``"paper"`` or ``"batches"``
        (DataFrame: the ``share`` of what was learned and the ``input_noise`` that were tried, the share of the
        information ``hidden_by_noise`` early on, ``loss`` on the ``n_cells`` left out, in nats, and which one was
        ``chosen``).
        With ``n_snapshots`` also ``snapshots``: ``epochs`` (int64, epochs of training behind each one, 0
        is untrained), ``cells`` (names of at most 1,000 held-out cells, or of training cells where none were held out),
        ``split`` (which of the two), ``embeddings`` (of each modality, float32, snapshots x cells x out_dim).

    Raises
    ------
    TypeError
        If ``mdata`` is not a MuData, or an argument is of a wrong type.
    KeyError
        If a modality, representation or column does not exist.
    ValueError
        If an argument or a representation cannot be used: a view, one modality, no cells in common, NaN, ...
    FloatingPointError
        If the loss becomes NaN or infinite. ``mdata`` is unchanged in all these cases.

    References
    ----------
    Gui, Ma and Ma, "Multi-modal contrastive learning adapts to intrinsic dimensions of shared latent variables",
    NeurIPS 2025, sections 1 to 4. Vinod (1976) for the ridge CCA.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> mdata.obsm["X_clipdim"].shape
    (300, 8)
    """
    mdata = _mudata.require_mudata(mdata, copy=copy)
    out_dim, holdout, seed = check_out_dim(out_dim), check_holdout(holdout), _check.seed(random_state)
    check_key_added(key_added)
    chosen = choose_recipe(
        recipe,
        batches=batch_key is not None,
        similarity=similarity,
        max_epochs=max_epochs,
        batch_size=batch_size,
        lr=lr,
    )
    warn_of_one_dimension(out_dim, chosen, "pass a larger out_dim or similarity='inner'")
    torch_device = resolve_device(own_device(device) if distributed else device)
    data = _mudata.read_inputs(
        mdata,
        modalities=modalities,
        use_rep=use_rep,
        batch_key=batch_key,
        holdout=holdout,
        norm_fraction=chosen.norm_share,
        random_state=seed,
    )
    check_key_added(key_added, data.use_rep)
    n_snapshots = check_snapshots(n_snapshots, chosen.n_epochs(len(data.train)))
    settings = Settings(device=torch_device, random_state=seed, progress=progress, n_snapshots=n_snapshots)
    if distributed:
        settings = join(settings, data)
    return with_sharing(learn(data, out_dim, chosen, settings)).write(mdata, key_added, copy=copy)
