"""Encoders of all modalities with a learned temperature for each pair of them."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from clipdim.contrast.encoder import Encoder
from clipdim.contrast.loss import info_nce
from clipdim.contrast.recipes import Recipe

CELLS_PER_BLOCK = 16_384


class ContrastiveModel(nn.Module):
    """
    One encoder for each modality and one temperature for each pair of modalities.

    Parameters
    ----------
    n_features
        Features of each modality's representation, by modality.
    out_dim
        Dimensions of the embedding.
    recipe
        Settings of encoders and temperature.

    References
    ----------
    Gui, Ma and Ma (NeurIPS 2025), sections 1 and 4.

    Examples
    --------
    >>> import torch
    >>> from clipdim.contrast import RECIPES, ContrastiveModel
    >>> model = ContrastiveModel({"rna": 50, "prot": 13}, 8, RECIPES["default"])
    >>> model = model.initialize(torch.Generator().manual_seed(0))
    >>> round(model.temperature().item(), 3)
    0.2
    """

    def __init__(self, n_features: Mapping[str, int], out_dim: int, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.modalities = list(n_features)
        # a list, since a ModuleDict refuses names with dots
        self._encoders = nn.ModuleList(Encoder(n, out_dim, recipe) for n in n_features.values())
        self.pairs = list(combinations(self.modalities, 2))
        self.temperature_parameter = nn.Parameter(torch.empty(len(self.pairs)))

    @property
    def encoders(self) -> dict[str, Encoder]:
        """The encoder of each modality."""
        return dict(zip(self.modalities, self._encoders, strict=True))  # type: ignore[arg-type]

    def initialize(self, generator: Generator) -> "ContrastiveModel":
        """Draw the weights from ``generator`` and set the first temperature."""
        for encoder in self.encoders.values():
            encoder.initialize(generator)
        self.set_temperature(self.recipe.initial_temperature)
        return self

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Mapping[str, np.ndarray]], recipe: Recipe) -> "ContrastiveModel":
        """Rebuild trained encoders from their arrays, by modality; the temperature is not among them."""
        model = cls({name: len(weights["mean"]) for name, weights in arrays.items()}, 1, recipe)
        model._encoders = nn.ModuleList(Encoder.from_arrays(weights, recipe) for weights in arrays.values())
        return model.eval()

    def project(self, axes: Tensor) -> "ContrastiveModel":
        """
        Return a model whose encoders' outputs are those of this one times ``axes``, (out_dim x fewer dimensions).

        The linear map is folded into the last layers. Mean norms are still those of this model.
        """
        model = ContrastiveModel({name: len(encoder.mean) for name, encoder in self.encoders.items()}, 1, self.recipe)
        model._encoders = nn.ModuleList(encoder.project(axes) for encoder in self.encoders.values())
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

    def loss(
        self,
        inputs: Mapping[str, Tensor],
        *,
        groups: Tensor | None = None,
        norm_inputs: Mapping[str, Tensor] | None = None,
        generator: Generator | None = None,
        gather: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """
        InfoNCE of one minibatch, the mean over the pairs of modalities among ``inputs``.

        ``inputs[mod]`` and ``norm_inputs[mod]`` are (cells x features); the norm set is encoded with gradient. Without
        one the expected norms are the minibatch's own. ``gather`` collects the rows of all processes.
        """

        def encode(encoder: Encoder, inputs: Tensor) -> Tensor:
            with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
                outputs = encoder(inputs, generator).float()
            return outputs if gather is None else gather(outputs)

        embeddings = {}
        for name, encoder in self.encoders.items():
            if name not in inputs:
                continue
            outputs = encode(encoder, inputs[name])
            mean_norm = encoder.mean_norm
            if self.recipe.similarity == "inner":
                measured = outputs if norm_inputs is None else encode(encoder, norm_inputs[name])
                mean_norm = measured.norm(dim=1).mean()
            embeddings[name] = self.normalize(outputs, mean_norm)
        if groups is not None and gather is not None:
            groups = gather(groups)
        losses = [
            info_nce(embeddings[first], embeddings[second], temperature, groups=groups)
            for (first, second), temperature in zip(self.pairs, self.temperatures(), strict=True)
            if first in embeddings and second in embeddings
        ]
        return torch.stack(losses).mean()

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
