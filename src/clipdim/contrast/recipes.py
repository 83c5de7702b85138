"""The settings of a fit: the default ones and the paper's. Does not import torch, so that files are read without."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from clipdim import _check

LOSSES = {"info_nce": "clipdim.contrast.loss"}
"""The module of each loss of two modalities, a function of that name."""
# settings of older versions that changed nothing in what was computed
RETIRED = frozenset({"cuda_graph"})
# what fits of versions without these settings were made with
BEFORE: dict[str, Any] = {"start": "random", "linear_rate": 1.0, "shrink": False}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of encoder, loss and optimiser.

    Pass a changed copy to :func:`clipdim.tl.fit` to train with other settings.

    Raises
    ------
    TypeError
        If a setting is of another type.
    ValueError
        If a setting is out of its range.

    References
    ----------
    Gui, Ma and Ma (NeurIPS 2025), section 4 and appendix G, for ``RECIPES["paper"]``.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from clipdim.contrast import RECIPES
    >>> replace(RECIPES["default"], input_noise=0.2).n_epochs(5_000)
    22
    """

    similarity: Literal["cosine", "inner"] = "cosine"
    loss: str = "info_nce"
    """What is computed from the embeddings of two modalities: :func:`info_nce`, symmetric."""
    width: int = 128
    """Units of each hidden layer."""
    n_hidden: int = 2
    """Hidden layers, each followed by a ReLU."""
    linear_path: bool = True
    """Add a linear map of the inputs to the network's output."""
    start: Literal["ridge_cca", "random"] = "ridge_cca"
    """Where the linear path begins: at the closed form of :func:`ridge_cca`, or at random."""
    linear_rate: float = 0.3
    """Learning rate of the linear path over that of the network."""
    shrink: bool = True
    """Let :func:`clipdim.tl.fit` keep as much of what was learned beyond the start as unseen cells want."""
    standardize: bool = True
    """Centre the inputs, and divide each feature by the root of its variance plus the mean variance of all, over the
    training cells: features of little spread stay small."""
    input_noise: float = 0.28
    """Spread of the Gaussian noise added to the inputs in training, over the features' root mean square spread."""
    adaptive_noise: bool = True
    """Let :func:`clipdim.tl.fit` leave out the noise where it would hide what the modalities share, as unseen cells
    tell early in the training."""
    initial_temperature: float = 0.2
    min_temperature: float = 1e-4
    temperature_rate: float = 4.0
    """The factor c of the paper: the temperature's logarithm learns c times as fast as a weight."""
    optimizer: Literal["adam", "adamw"] = "adamw"
    lr: float = 1.6e-2
    """Learning rate; the peak of the cycle when ``one_cycle``."""
    one_cycle: bool = True
    weight_decay: float = 0.5
    """Decay of the weight matrices (``adamw``), or of every parameter as an L2 penalty (``adam``)."""
    batch_size: int = 256
    shuffle: bool = True
    """Draw the batches anew in each epoch."""
    norm_fraction: float = 0.0
    """Share of the training cells set aside to estimate the expected norms when ``similarity`` is ``"inner"``; they are
    all encoded in every step. With 0 the expected norms are the mean norms of the minibatch, which cost nothing."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Format of the encoders' matrix products; ``"tf32"`` acts on NVIDIA GPUs only. The loss is always in float32."""
    max_epochs: int | None = None
    """Epochs; None chooses them by the number of cells, see :meth:`n_epochs`."""

    def __post_init__(self) -> None:
        _check.choice("similarity", self.similarity, ("cosine", "inner"))
        _check.choice("loss", self.loss, LOSSES)
        _check.choice("start", self.start, ("ridge_cca", "random"))
        _check.choice("optimizer", self.optimizer, ("adam", "adamw"))
        _check.choice("precision", self.precision, ("float32", "tf32", "bfloat16"))
        for name, least in (("width", 1), ("n_hidden", 0), ("batch_size", 2)):
            _check.integer(name, getattr(self, name), least=least)
        if self.max_epochs is not None:
            _check.integer("max_epochs", self.max_epochs, least=0)
        for name in ("lr", "linear_rate", "min_temperature", "temperature_rate"):
            _check.number(name, getattr(self, name), above=0)
        _check.number("initial_temperature", self.initial_temperature, above=self.min_temperature)
        for name in ("input_noise", "weight_decay"):
            _check.number(name, getattr(self, name), least=0)
        _check.number("norm_fraction", self.norm_fraction, least=0, below=1)
        for name in ("linear_path", "shrink", "standardize", "adaptive_noise", "one_cycle", "shuffle"):
            value = getattr(self, name)
            if not isinstance(value, bool | np.bool_):
                msg = f"{name} must be True or False, got {value!r}"
                raise TypeError(msg)
        if self.start == "ridge_cca" and not self.linear_path:
            msg = "start='ridge_cca' is where a linear path begins; pass linear_path=True, or start='random'"
            raise ValueError(msg)
        if self.max_epochs == 0 and self.start == "random":
            msg = "max_epochs=0 is the start alone, which needs start='ridge_cca'; pass max_epochs of at least 1"
            raise ValueError(msg)

    @classmethod
    def from_stored(cls, settings: Mapping[str, Any]) -> "Recipe":
        """Rebuild a recipe from its fields as they were stored; those that it was stored without are as they were then.

        Raises
        ------
        TypeError, ValueError
            If a field has a value that is not accepted.
        ValueError
            If there are fields that this version does not have.
        """
        known = [field.name for field in fields(cls)]
        settings = {name: value for name, value in settings.items() if name not in RETIRED}
        unknown = [name for name in settings if name not in known]
        if unknown:
            msg = (
                f"the stored recipe has the settings {unknown}, which this version of clipdim does not know, only "
                f"{known}; it was written by another version: install that one, or fit again with clipdim.tl.fit"
            )
            raise ValueError(msg)
        return cls(**(BEFORE | settings))

    @property
    def norm_share(self) -> float:
        """Share of the training cells that is set aside for the expected norms, 0 where there are none."""
        return self.norm_fraction if self.similarity == "inner" else 0.0

    def encoder_shapes(self, n_features: int, out_dim: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield name and shape of each array of :meth:`Encoder.to_arrays`.

        One after another, so that arrays from a file are told from those of the recipe beside them at once, however
        many layers that one names.

        Examples
        --------
        >>> from clipdim.contrast import RECIPES
        >>> dict(RECIPES["default"].encoder_shapes(50, 8))["linear.weight"]
        (8, 50)
        """
        yield from (("mean", (n_features,)), ("scale", (n_features,)), ("noise", (1,)), ("mean_norm", (1,)))
        for layer in range(self.n_hidden + 1):
            n_outputs = self.width if layer < self.n_hidden else out_dim
            yield f"layers.{layer}.weight", (n_outputs, self.width if layer else n_features)
            yield f"layers.{layer}.bias", (n_outputs,)
        if self.linear_path:
            yield "linear.weight", (out_dim, n_features)

    def n_epochs(self, n_cells: int) -> int:
        """Epochs for so many training cells, unless ``max_epochs`` is set.

        22 up to 10,000 cells; from there the number of steps grows with the square root of the number of cells. Few
        cells make at least 30 steps, from a random start 60.
        """
        if self.max_epochs is not None:
            return self.max_epochs
        n_batches, least = max(1, n_cells // self.batch_size), 30 if self.start == "ridge_cca" else 60
        return max(math.ceil(22 * min(1.0, math.sqrt(10_000 / n_cells))), math.ceil(least / n_batches))


RECIPES: dict[str, Recipe] = {
    "default": Recipe(),
    # a linear path lets batches pass; depth and noise keep out more of them
    "batches": Recipe(
        linear_path=False, start="random", shrink=False, n_hidden=3, input_noise=0.4, adaptive_noise=False
    ),
    "paper": Recipe(
        similarity="inner",
        width=50,
        n_hidden=3,
        linear_path=False,
        start="random",
        shrink=False,
        standardize=False,
        input_noise=0.0,
        adaptive_noise=False,
        initial_temperature=1.0 + 1e-4,
        temperature_rate=2.0,
        optimizer="adam",
        lr=1e-4,
        one_cycle=False,
        weight_decay=1e-4,
        shuffle=False,
        norm_fraction=1 / 6,
        max_epochs=400,
    ),
}
