"""``model.ContrastiveEncoders``: ``tl.fit`` and ``tl.embed`` in the vocabulary of scvi-tools."""

from collections.abc import Mapping, Sequence
from typing import Literal

from mudata import MuData

from clipdim import _check, _keys, _mudata, tl
from clipdim.contrast import Recipe
from clipdim.model._devices import device_of
from clipdim.model._fitted import Fitted
from clipdim.model._saved import extract_model


class ContrastiveEncoders(Fitted):
    """Contrastive encoders of paired modalities, called as a model of scvi-tools is.

    A face on :func:`clipdim.tl.fit` and :func:`clipdim.tl.embed`: the same training with the same result, which lies in
    the MuData as it does after ``tl.fit``, for all other functions. scvi-tools need not be installed.

    Parameters
    ----------
    mdata
        MuData after :meth:`setup_mudata`.
    n_latent
        Dimensions of the latent representation; choose more than the modalities may share.
    similarity
        ``"cosine"`` or ``"inner"``; the recipe's by default.
    recipe
        ``"default"``, ``"batches"``, ``"paper"``, or a :class:`clipdim.contrast.Recipe`; see :func:`clipdim.tl.fit`.
    key_added
        Name under which the results are stored in ``mdata``.

    Attributes
    ----------
    mdata : MuData | None
        The cells; None for a model that was loaded without.

    Raises
    ------
    TypeError
        If ``mdata`` is not a MuData, or ``n_latent`` is not an integer.
    KeyError
        If ``mdata`` was not set up.
    ValueError
        If ``n_latent`` is below 1, or ``mdata`` is a view.

    References
    ----------
    Gui, Ma and Ma, "Multi-modal contrastive learning adapts to intrinsic dimensions of shared latent variables",
    NeurIPS 2025.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.model.ContrastiveEncoders.setup_mudata(mdata)
    >>> model = clipdim.model.ContrastiveEncoders(mdata, n_latent=8)
    >>> model.train(max_epochs=2, progress=False)
    >>> model
    ContrastiveEncoders model with the following parameters:
    n_latent: 8, similarity: None, recipe: default, key_added: clipdim
    modalities: rna (X_pca), prot (X_pca), batch_key: None
    Training status: Trained
    >>> len(model.train_indices), len(model.validation_indices)
    (270, 30)
    >>> model.history["train_loss"].shape
    (2, 1)
    """

    def __init__(
        self,
        mdata: MuData,
        n_latent: int = 32,
        *,
        similarity: Literal["cosine", "inner"] | None = None,
        recipe: str | Recipe = "default",
        key_added: str = _keys.KEY,
    ) -> None:
        n_latent = _check.integer("n_latent", n_latent, least=1, hint="32 is a good start")
        self.mdata = _mudata.require_mudata(mdata)
        self._setup = _mudata.read_setup(mdata)
        self._arguments = _mudata.Arguments(n_latent, similarity, recipe, key_added)

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        *,
        modalities: Sequence[str] | None = None,
        use_rep: str | Mapping[str, str] | None = None,
        batch_key: str | Sequence[str] | None = None,
    ) -> None:
        """Check what a model is to read from a MuData, and note it there.

        Call it after preprocessing (:func:`clipdim.pp.citeseq`): representations are chosen here, not in training.

        Parameters
        ----------
        mdata
            MuData with two or more modalities.
        modalities
            Names of the modalities to use; all of them by default.
        use_rep
            Representation of each modality, see :func:`clipdim.tl.fit`: ``{"rna": "X_scVI", "prot": "X_pca"}``.
        batch_key
            Column of ``.obs``, or several: negatives come from a cell's own batch only.

        Returns
        -------
        None. ``mdata.uns["clipdim_setup"]``, a dict of names that stays in the file when ``mdata`` is written, has
        ``modalities``, ``use_rep``, ``batch_key`` (where there is one) and ``version``.

        Raises
        ------
        TypeError
            If ``mdata`` is not a MuData, or ``modalities`` is a mapping.
        KeyError
            If a modality, representation or column does not exist.
        ValueError
            If they cannot be used, see :func:`clipdim.tl.fit`. ``mdata`` is unchanged in all these cases.

        Examples
        --------
        >>> import clipdim
        >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300, n_batches=2)
        >>> clipdim.pp.citeseq(mdata)
        >>> clipdim.model.ContrastiveEncoders.setup_mudata(mdata, batch_key="batch")
        >>> mdata.uns["clipdim_setup"]["use_rep"]
        {'rna': 'X_pca', 'prot': 'X_pca'}
        """
        _mudata.require_mudata(mdata)
        if isinstance(modalities, Mapping):
            names = list(modalities.values())
            msg = (
                f"modalities must be a list of names, got {modalities!r}; pass modalities={names}, and use_rep={{...}}"
            )
            raise TypeError(msg)
        found = _mudata.read_inputs(
            mdata,
            modalities=modalities,
            use_rep=use_rep,
            batch_key=batch_key,
            holdout=0.0,
            norm_fraction=0.0,
            random_state=0,
        )
        _mudata.write_setup(mdata, found.use_rep, batch_key)

    def train(
        self,
        max_epochs: int | None = None,
        *,
        accelerator: str = "auto",
        devices: str | int | Sequence[int] = "auto",
        batch_size: int | None = None,
        lr: float | None = None,
        train_size: float = 0.9,
        early_stopping: bool = False,
        random_state: int = 0,
        progress: bool = True,
    ) -> None:
        """Train by :func:`clipdim.tl.fit`; a second call starts anew.

        Parameters
        ----------
        max_epochs, batch_size, lr
            Override the recipe. The number of epochs follows from the number of cells by default.
        accelerator
            ``"auto"``, ``"cpu"``, ``"gpu"``, ``"cuda"`` or ``"mps"``.
        devices
            ``"auto"`` or 1: one device; ``[1]``: the GPU of that index. For several see ``tl.fit(distributed=True)``.
        train_size
            Share of the paired cells to train on, above 0 and at most 1; the others are for validation.
        early_stopping
            Only False: the learning rate follows one cycle that ends with the last epoch, and a training that is cut
            short would miss its end. ``max_epochs`` makes it shorter.
        random_state
            Seed of split, weights, batches and noise; ``scvi.settings.seed`` has no effect.
        progress
            Show a progress bar.

        Returns
        -------
        None. ``mdata.obsm["X_{key}"]``, ``mdata[mod].obsm["X_{key}"]``, ``mdata[mod].obs["{key}_norm"]``,
        ``mdata.obs["{key}_split"]`` and ``mdata.uns[key]`` are written, with ``key`` for ``key_added``; shapes and
        contents are those of :func:`clipdim.tl.fit`.

        Raises
        ------
        RuntimeError
            If the model was loaded without cells.
        ValueError
            If an argument cannot be used, such as ``early_stopping=True`` or several devices.
        KeyError, TypeError, FloatingPointError
            As :func:`clipdim.tl.fit`. ``mdata`` and the model are unchanged in all these cases.

        Examples
        --------
        >>> import clipdim
        >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
        >>> clipdim.pp.citeseq(mdata)
        >>> clipdim.model.ContrastiveEncoders.setup_mudata(mdata)
        >>> model = clipdim.model.ContrastiveEncoders(mdata, n_latent=8)
        >>> model.train(max_epochs=2, accelerator="cpu", progress=False)
        >>> mdata.obsm["X_clipdim"].shape
        (300, 8)
        """
        if self.mdata is None:
            msg = "the model was loaded without cells; load it with them: ContrastiveEncoders.load(dir_path, mdata)"
            raise RuntimeError(msg)
        if early_stopping:
            msg = (
                "early_stopping=True is not available: the learning rate follows one cycle that ends by itself with "
                "the last epoch; leave it out, and pass max_epochs=... for a shorter training"
            )
            raise ValueError(msg)
        train_size = _check.number("train_size", train_size, above=0, most=1, hint="a share of the cells, 0.9 is usual")
        device = device_of(accelerator, devices)
        tl.fit(
            self.mdata,
            self._arguments.n_latent,
            modalities=self._setup.modalities,
            use_rep=self._setup.use_rep,
            batch_key=self._setup.batch_key,
            similarity=self._arguments.similarity,
            recipe=self._arguments.recipe,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            holdout=round(1 - train_size, 12),  # 1 - 0.9 is not 0.1
            device=device,
            random_state=random_state,
            key_added=self._arguments.key_added,
            progress=progress,
        )
        self._device = device
        self._model = extract_model(self.mdata, self._arguments)
