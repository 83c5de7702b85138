"""What a trained model tells and gives, and how it is kept: the part of ``ContrastiveEncoders`` that trains nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _keys, _mudata, tl
from clipdim.contrast import Recipe
from clipdim.model import _saved
from clipdim.model._devices import device_of

HISTORY_NAMES = {"loss": "train_loss", "held_out_loss": "validation_loss"}


class Fitted:
    """A model that may have been trained, and may have cells."""

    mdata: MuData | None = None
    _model: MuData | None = None
    _device: str = "auto"
    _setup: _mudata.Setup
    _arguments: _mudata.Arguments

    def __repr__(self) -> str:
        arguments, setup = self._arguments, self._setup
        recipe = "a Recipe" if isinstance(arguments.recipe, Recipe) else arguments.recipe
        modalities = ", ".join(f"{name} ({use_rep})" for name, use_rep in setup.use_rep.items())
        return (
            f"{type(self).__name__} model with the following parameters:\n"
            f"n_latent: {arguments.n_latent}, similarity: {arguments.similarity}, recipe: {recipe}, "
            f"key_added: {arguments.key_added}\n"
            f"modalities: {modalities}, batch_key: {setup.batch_key}\n"
            f"Training status: {'Trained' if self.is_trained else 'Not Trained'}"
        )

    @property
    def is_trained(self) -> bool:
        """Whether :meth:`train` was called, here or before the model was saved."""
        return self._model is not None

    @property
    def history(self) -> dict[str, pd.DataFrame]:
        """Measures of each epoch, (epochs x 1) by name: ``train_loss``, ``validation_loss``, ``temperature`` and so on.

        The names of ``mdata.uns[key]["history"]``, but for the first two; no ``validation_loss`` where there are no
        validation cells. The two losses can be compared if there are as many of these as in a minibatch.
        """
        history = _mudata.read_fit(self._trained(), self._arguments.key_added).history.dropna(axis=1, how="all")
        history = history.rename(columns=HISTORY_NAMES)
        return {str(name): history[[name]].copy() for name in history.columns}

    @property
    def train_indices(self) -> np.ndarray:
        """Positions in ``mdata.obs_names`` of the cells that the training has seen, ascending int64.

        Cells are found by name. Those with less than two modalities are neither here nor in ``validation_indices``.
        ValueError if none of ``mdata`` was in the training.
        """
        return _saved.in_split(self._trained(), self.mdata, _keys.TRAIN, _keys.NORM_SET)

    @property
    def validation_indices(self) -> np.ndarray:
        """Positions in ``mdata.obs_names`` of the cells that were held out of the training, ascending int64."""
        return _saved.in_split(self._trained(), self.mdata, _keys.HELD_OUT)

    def get_latent_representation(self, mdata: MuData | None = None, *, modality: str | None = None) -> np.ndarray:
        """Embed cells, jointly or by one modality, each time anew from their representations as they are now.

        Parameters
        ----------
        mdata
            New cells, preprocessed with the cells of the training (``clipdim.pp.citeseq(new, reference=mdata)``), with
            all modalities or some; may be a view, and stays as it is. By default the model's own.
        modality
            None or ``"joint"``: the mean over the modalities that a cell has; or the name of a modality.

        Returns
        -------
        A float32 array, (cells x n_latent), in the order of ``mdata.obs_names``, NaN for cells that have no modality;
        or (cells of the modality x n_latent) in the order of ``mdata[modality].obs_names``.

        Raises
        ------
        RuntimeError
            If the model is not trained, or has no cells and is given none.
        TypeError
            If ``mdata`` is not a MuData.
        KeyError
            If the modality does not exist, or a representation is missing.
        ValueError
            If the features do not fit the training's, see :func:`clipdim.tl.embed`, or ``update()`` was not called.

        Examples
        --------
        >>> import clipdim
        >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
        >>> clipdim.pp.citeseq(mdata)
        >>> clipdim.model.ContrastiveEncoders.setup_mudata(mdata)
        >>> model = clipdim.model.ContrastiveEncoders(mdata, n_latent=8)
        >>> model.train(max_epochs=2, progress=False)
        >>> model.get_latent_representation().shape
        (300, 8)
        >>> model.get_latent_representation(mdata[:50], modality="rna").shape
        (50, 8)
        """
        model, key = self._trained(), self._arguments.key_added
        cells = self.mdata if mdata is None else mdata
        if cells is None:
            msg = "the model was loaded without cells; pass some: get_latent_representation(mdata)"
            raise RuntimeError(msg)
        if not isinstance(cells, MuData):
            _mudata.require_mudata(cells)
        names = self._check_modality(cells, modality)
        # also the model's own cells, whose stored embeddings know nothing of what was done to the MuData since
        embedded = _mudata.encoder_inputs(cells, self._setup.use_rep)
        rows = _mudata.cell_rows(cells, names)
        tl.embed(embedded, model, key=key, device=self._device)
        embeddings = _mudata.embeddings_of(embedded, names, key)
        return _mudata.mean_embedding(embeddings, rows) if modality in (None, _keys.JOINT) else embeddings[modality]

    def save(self, dir_path: str | Path, *, overwrite: bool = False, save_mudata: bool = False) -> None:
        """Write the model in a folder, without pickle: ``model.h5mu``, a MuData of no cells that holds the fit.

        ``mudata.read("folder/model.h5mu")`` is also a reference for :func:`clipdim.tl.embed` and
        :func:`clipdim.pp.citeseq`. ``mdata.write("cells.h5mu")`` saves cells and fit in one file.

        Parameters
        ----------
        dir_path
            Folder; made if it is not there.
        overwrite
            Write in a folder that exists. Cells that were saved there earlier are removed or replaced.
        save_mudata
            Write the cells too, as ``mdata.h5mu``.

        Returns
        -------
        None

        Raises
        ------
        RuntimeError
            If the model is not trained, or has no cells to save.
        FileExistsError
            If the folder exists and ``overwrite`` is False.
        ValueError, OSError
            If a file cannot be written, or the cells hold another model's fit. The folder is unchanged then.

        Examples
        --------
        >>> import clipdim, mudata, tempfile
        >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
        >>> clipdim.pp.citeseq(mdata)
        >>> clipdim.model.ContrastiveEncoders.setup_mudata(mdata)
        >>> model = clipdim.model.ContrastiveEncoders(mdata, n_latent=8)
        >>> model.train(max_epochs=2, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model")
        ...     mudata.read(f"{folder}/model/model.h5mu").n_obs
        0
        """
        model = self._trained()
        if save_mudata and self.mdata is None:
            msg = "the model was loaded without cells, so there are none to save; leave out save_mudata=True"
            raise RuntimeError(msg)
        self._model = _saved.write_model(model, self.mdata, dir_path, overwrite=overwrite, with_cells=save_mudata)

    @classmethod
    def load(
        cls,
        dir_path: str | Path,
        mdata: MuData | None = None,
        *,
        accelerator: str = "auto",
        devices: str | int | Sequence[int] = "auto",
    ) -> Self:
        """Read a model that :meth:`save` wrote, with its cells, with others, or with none.

        Parameters
        ----------
        dir_path
            Folder.
        mdata
            Cells with the representations that the model was trained on; needs no ``setup_mudata``, and stays as it is.
            By default those that were saved with the model, if any.
        accelerator, devices
            As in :meth:`train`, for embedding.

        Returns
        -------
        The trained model.

        Raises
        ------
        FileNotFoundError
            If the folder holds no model.
        TypeError
            If ``mdata`` is not a MuData.
        KeyError
            If a representation is missing.
        ValueError
            If ``mdata`` is a view or its features do not fit, or the files are damaged, or of a newer version.

        Examples
        --------
        >>> import clipdim, tempfile
        >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
        >>> clipdim.pp.citeseq(mdata)
        >>> clipdim.model.ContrastiveEncoders.setup_mudata(mdata)
        >>> model = clipdim.model.ContrastiveEncoders(mdata, n_latent=8)
        >>> model.train(max_epochs=2, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(folder, overwrite=True)
        ...     loaded = clipdim.model.ContrastiveEncoders.load(folder, mdata)
        >>> bool((loaded.get_latent_representation() == mdata.obsm["X_clipdim"]).all())
        True
        """
        model = _saved.read_model(dir_path)
        loaded = cls.__new__(cls)
        loaded._model, loaded._device = model, device_of(accelerator, devices)
        loaded._arguments = _mudata.read_model(model).arguments
        fit = _mudata.read_fit(model, loaded._arguments.key_added)
        loaded._setup = _mudata.Setup.of_fit(fit.params)
        if mdata is None:
            loaded.mdata = _saved.read_cells(dir_path, model)
        else:
            loaded.mdata = _mudata.require_mudata(mdata)
            loaded.get_latent_representation()  # refuses cells that the model cannot embed
        return loaded

    def _trained(self) -> MuData:
        if self._model is None:
            msg = "the model is not trained; call model.train() first"
            raise RuntimeError(msg)
        return self._model

    def _check_modality(self, cells: MuData, modality: str | None) -> list[str]:
        """Refuse a modality that the cells do not have; return those that they have."""
        known = [name for name in self._setup.modalities if name in cells.mod]
        if modality not in (None, _keys.JOINT, *known):
            msg = f"no modality named {modality!r}; choose one of {known}, or None for all together"
            raise KeyError(msg)
        return known
