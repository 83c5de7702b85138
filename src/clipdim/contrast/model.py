"""Encoders of all modalities with a learned temperature for each pair of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from clipdim.contrast.cca import RidgeCCA
from clipdim.contrast.encoder import Encoder
from clipdim.contrast.recipes import Recipe

CELLS_PER_BLOCK = 16_384
# norm of the outputs where training begins: about that of a random network, which is then heard from the first step on
START_NORM = 0.3
# over the norm of the variates
CONSTANT, MIXED = 0.5, 0.1


class ContrastiveModel(nn.Module):
    """One encoder for each modality and one temperature for each pair of modalities.

    Parameters
    ----------
    encoders
        The encoder of each modality, all of the same output dimensions.
    recipe
        Settings of encoders and temperature.

    Raises
    ------
    ValueError
        If the encoders do not have the same output dimensions.

    References
    ----------
    Gui, Ma and Ma (NeurIPS 2025), sections 1 and 4.

    Examples
    --------
    >>> import torch
    >>> from clipdim.contrast import RECIPES, ContrastiveModel
    >>> model = ContrastiveModel.create({"rna": 50, "prot": 13}, 8, RECIPES["default"])
    >>> model = model.initialize(torch.Generator().manual_seed(0))
    >>> round(model.temperature().item(), 3)
    0.2
    """

    def __init__(self, encoders: Mapping[str, Encoder], recipe: Recipe) -> None:
        super().__init__()
        out_dims = {name: encoder.out_dim for name, encoder in encoders.items()}
        if len({*out_dims.values()}) > 1:
            msg = f"encoders must have the same number of output dimensions, got {out_dims}"
            raise ValueError(msg)
        self.recipe = recipe
        self.modalities = list(encoders)
        # a list, since a ModuleDict refuses names with dots
        self._encoders = nn.ModuleList(encoders.values())
        self.pairs = list(combinations(self.modalities, 2))
        self.temperature_parameter = nn.Parameter(torch.empty(len(self.pairs)))

    @classmethod
    def create(cls, n_features: Mapping[str, int], out_dim: int, recipe: Recipe) -> "ContrastiveModel":
        """Build encoders of each modality's number of features; :meth:`initialize` draws their weights."""
        return cls({name: Encoder(n, out_dim, recipe) for name, n in n_features.items()}, recipe)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Mapping[str, np.ndarray]], recipe: Recipe) -> "ContrastiveModel":
        """Rebuild trained encoders from their arrays, by modality; the temperature is not among them."""
        return cls({name: Encoder.from_arrays(weights, recipe) for name, weights in arrays.items()}, recipe).eval()

    @property
    def encoders(self) -> dict[str, Encoder]:
        """The encoder of each modality."""
        return dict(zip(self.modalities, self._encoders, strict=True))  # type: ignore[arg-type]

    @property
    def out_dim(self) -> int:
        """Dimensions of the embedding."""
        return next(iter(self.encoders.values())).out_dim

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.temperature_parameter.device

    def initialize(self, generator: Generator) -> "ContrastiveModel":
        """Draw the weights from ``generator`` and set the first temperature."""
        for encoder in self.encoders.values():
            encoder.initialize(generator)
        self.set_temperature(self.recipe.initial_temperature)
        return self

    def begin_at(self, start: RidgeCCA, generator: Generator) -> "ContrastiveModel":
        """Let the linear paths begin at the variates of a closed form, which come first among the columns.

        Next comes a constant, where there is room: of the variates' directions alone one dimension would be lost, and
        with a constant beside them cells that are near have similar directions. Columns that are left over begin as
        small random mixtures of the variates, the same for all modalities: at 0 their similarity would stay 0.
        """
        spare = int(self.out_dim > 1)
        n_variates = min(self.out_dim - spare, next(iter(start.weights.values())).shape[1])
        n_mixtures = self.out_dim - n_variates - spare
        mixtures = torch.randn(n_variates, n_mixtures, generator=generator) * MIXED / n_variates**0.5
        for name, encoder in self.encoders.items():
            weights = torch.from_numpy(start.weights[name][:, :n_variates]).float()
            # the root mean square norm of the variates
            norm = float(np.linalg.norm(start.spreads(name)[:n_variates]))
            bias = torch.zeros(self.out_dim)
            bias[n_variates : n_variates + spare] = CONSTANT * START_NORM
            columns = [weights, weights.new_zeros(len(weights), spare), weights @ mixtures]
            weights = torch.cat(columns, dim=1) * (START_NORM / norm)
            # inputs that are not standardised are not centred either
            off_centre = encoder.mean.cpu().double() - torch.from_numpy(start.means[name])
            bias += (off_centre @ weights.double()).float()
            encoder.begin_at(weights.to(encoder.mean.device), bias.to(encoder.mean.device))
        return self

    def shrink(self, share: float) -> None:
        """Keep a share of what all encoders learned beyond their start."""
        for encoder in self.encoders.values():
            encoder.shrink(share)

    def without_noise(self) -> None:
        """Add no noise to inputs any more."""
        self.recipe = replace(self.recipe, input_noise=0.0)
        for encoder in self.encoders.values():
            encoder.recipe = self.recipe
            encoder.noise = torch.zeros_like(encoder.noise)

    def project(self, axes: Tensor) -> "ContrastiveModel":
        """Return a model whose encoders' outputs are those of this one times ``axes``, (out_dim x fewer dimensions).

        The linear map is folded into the last layers. Mean norms are still those of this model.
        """
        encoders = {name: encoder.project(axes) for name, encoder in self.encoders.items()}
        model = ContrastiveModel(encoders, self.recipe)
        model.temperature_parameter = nn.Parameter(self.temperature_parameter.detach().clone())
        return model.train(self.training)

    @torch.no_grad()
    def set_temperature(self, temperature: float | Sequence[float]) -> None:
        """Set the trained scalars so that the temperatures, or those of the pairs, are the given ones."""
        given = torch.as_tensor(temperature, dtype=torch.float64)
        scalars = (given - self.recipe.min_temperature).log() / self.recipe.temperature_rate
        self.temperature_parameter.copy_(scalars.expand(len(self.pairs)))

    def temperatures(self) -> Tensor:
        """``exp(c s) + tau_min`` for the trained scalar s of each pair of modalities, (pairs,)."""
        return (self.recipe.temperature_rate * self.temperature_parameter).exp() + self.recipe.min_temperature

    def temperature(self, pairs: Sequence[int] | None = None) -> Tensor:
        """Temperature of the mean of the trained scalars, of all pairs or of some by number."""
        scalars = self.temperature_parameter
        scalar = (scalars if pairs is None else scalars[list(pairs)]).mean()
        return (self.recipe.temperature_rate * scalar).exp() + self.recipe.min_temperature

    def normalize(self, outputs: Tensor, mean_norm: Tensor) -> Tensor:
        """Divide by each cell's norm (``"cosine"``) or by the expected norm (``"inner"``)."""
        if self.recipe.similarity == "cosine":
            return functional.normalize(outputs, dim=1)
        return outputs / mean_norm

    def outputs(self, modality: str, inputs: Tensor) -> Tensor:
        """Map (cells x features) as they are to (cells x out_dim), in the recipe's precision, rounded to float32."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            return self.encoders[modality].outputs(inputs).float()

    @torch.no_grad()
    def fix_mean_norms(self, inputs: Mapping[str, Tensor]) -> None:
        """Store the mean norm of each encoder's output over the given cells."""
        for name, encoder in self.encoders.items():
            blocks = inputs[name].split(CELLS_PER_BLOCK)
            device = encoder.mean.device
            encoder.mean_norm = torch.cat([encoder(block.to(device)).norm(dim=1) for block in blocks]).mean()

    @torch.no_grad()
    def embed(self, modality: str, inputs: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Embed cells of one modality: (cells x out_dim), and each cell's norm over the mean norm, (cells,)."""
        encoder = self.encoders[modality]
        embeddings, norms = [], []
        for block in inputs.split(CELLS_PER_BLOCK):
            outputs = encoder(block.to(encoder.mean.device))
            embeddings.append(self.normalize(outputs, encoder.mean_norm).cpu().numpy())
            norms.append((outputs.norm(dim=1) / encoder.mean_norm).cpu().numpy())
        return np.concatenate(embeddings), np.concatenate(norms)
