"""The network that maps one modality's representation to the shared space."""

import math
from collections.abc import Mapping
from itertools import islice, pairwise

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from clipdim.contrast.recipes import Recipe


class _Linear(nn.Linear):
    """Linear layer whose constructor draws nothing from the global random state.

    ``torch.nn.utils.skip_init`` does that too, by way of modules that take longer to import than many a fit.
    """

    def reset_parameters(self) -> None:
        """Leave the weights to the encoder's ``initialize``."""


class Encoder(nn.Module):
    """Multi-layer perceptron that scales its inputs itself, so that its weights are all that new cells need.

    Parameters
    ----------
    n_features
        Features of the modality's representation.
    out_dim
        Dimensions of the embedding.
    recipe
        Width, depth and input noise.

    Examples
    --------
    >>> import torch
    >>> from clipdim.contrast import RECIPES, Encoder
    >>> encoder = Encoder(50, 8, RECIPES["default"]).initialize(torch.Generator().manual_seed(0))
    >>> encoder(torch.zeros(3, 50)).shape
    torch.Size([3, 8])
    """

    mean: Tensor
    scale: Tensor
    noise: Tensor
    mean_norm: Tensor
    start_weight: Tensor
    start_bias: Tensor

    def __init__(self, n_features: int, out_dim: int, recipe: Recipe) -> None:
        super().__init__()
        sizes = [n_features, *[recipe.width] * recipe.n_hidden, out_dim]
        self.layers = nn.ModuleList(_Linear(*pair) for pair in pairwise(sizes))
        self.linear = _Linear(n_features, out_dim, bias=False) if recipe.linear_path else None
        self.recipe = recipe
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.register_buffer("noise", torch.tensor(recipe.input_noise))
        self.register_buffer("mean_norm", torch.ones(()))
        # the linear map where training began; of use while it lasts
        self.register_buffer("start_weight", torch.zeros(out_dim, n_features), persistent=False)
        self.register_buffer("start_bias", torch.zeros(out_dim), persistent=False)

    @property
    def n_features(self) -> int:
        """Features of the inputs."""
        return len(self.mean)

    @property
    def out_dim(self) -> int:
        """Dimensions of the outputs."""
        return self.layers[-1].out_features  # type: ignore[return-value]

    def initialize(self, generator: Generator) -> "Encoder":
        """Draw the weights as ``nn.Linear`` does, from ``generator``."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
                if layer.bias is not None:
                    bound = 1 / math.sqrt(layer.in_features)
                    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        return self

    def standardize(self, inputs: Tensor) -> "Encoder":
        """Take the mean and the scale of the inputs from training cells, (cells x features)."""
        self.mean = inputs.mean(dim=0)
        variance = inputs.var(dim=0, correction=0)
        overall = variance.mean()
        # a ridge: little spread is not blown up, and none does not become 0 / 0
        scale = (variance + overall).sqrt()
        self.scale = torch.where((overall > 0) & overall.isfinite(), scale, torch.ones_like(scale))
        self.noise = self.recipe.input_noise * overall.sqrt()
        return self

    @torch.no_grad()
    def begin_at(self, weights: Tensor, bias: Tensor) -> "Encoder":
        """Let the linear path be these weights of the inputs, (features x out_dim), and remember it as the start.

        The bias, (out_dim,), is added to that of the last layer.
        """
        assert self.linear is not None  # recipes without a linear path have no start
        self.start_weight, self.start_bias = (weights * self.scale[:, None]).T.contiguous(), bias
        self.linear.weight.copy_(self.start_weight)
        self.layers[-1].get_parameter("bias").add_(bias)
        return self

    @torch.no_grad()
    def shrink(self, share: float) -> None:
        """Keep a share of what was learned beyond the start: 0 is the start, 1 changes nothing."""
        weight, bias = (self.layers[-1].get_parameter(name) for name in ("weight", "bias"))
        weight.mul_(share)
        bias.lerp_(self.start_bias, 1 - share)
        if self.linear is not None:
            self.linear.weight.lerp_(self.start_weight, 1 - share)

    @torch.no_grad()
    def start_outputs(self, inputs: Tensor) -> Tensor:
        """Map (cells x features) to (cells x out_dim) as the start does."""
        return functional.linear((inputs - self.mean) / self.scale, self.start_weight, self.start_bias)

    def forward(self, inputs: Tensor, generator: Generator | None = None) -> Tensor:
        """Map (cells x features) to (cells x out_dim); in training mode noise from ``generator`` is added."""
        return self.outputs(self.perturb(inputs, generator))

    def perturb(self, inputs: Tensor, generator: Generator | None = None) -> Tensor:
        """Add the recipe's noise to (cells x features) in training mode."""
        if not self.training or self.recipe.input_noise == 0:
            return inputs
        # the same noise in every direction of the input space: it drowns small principal components, not large ones
        noise = torch.randn(inputs.shape, generator=generator, device=inputs.device, dtype=inputs.dtype)
        return inputs + self.noise * noise

    def outputs(self, inputs: Tensor) -> Tensor:
        """Map (cells x features) as they are to (cells x out_dim), in training mode too."""
        x = (inputs - self.mean) / self.scale
        *layers, last = self.layers
        hidden = x
        for layer in layers:
            hidden = layer(hidden).relu()
        out = last(hidden)
        return out if self.linear is None else out + self.linear(x)

    @torch.no_grad()
    def project(self, axes: Tensor) -> "Encoder":
        """Return an encoder whose outputs are those of this one times ``axes``, (out_dim x fewer dimensions)."""
        projected = Encoder(self.n_features, axes.shape[1], self.recipe)
        last = f"layers.{len(self.layers) - 1}"
        mapped = {f"{last}.weight", f"{last}.bias", "linear.weight"}
        state = {
            name: (axes.T.double() @ tensor.double()).to(tensor.dtype) if name in mapped else tensor.clone()
            for name, tensor in self.state_dict().items()
        }
        projected.load_state_dict(state)
        return projected.to(self.mean.device).train(self.training)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Weights, input scaling and mean norm as arrays."""
        # one-dimensional at least: files give an array without dimensions back as a Python float
        return {name: np.atleast_1d(tensor.cpu().numpy()).copy() for name, tensor in self.state_dict().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], recipe: Recipe) -> "Encoder":
        """Rebuild an encoder from what :meth:`to_arrays` returned.

        Raises
        ------
        ValueError
            If the arrays are not those of an encoder of this recipe; no layer is built then.
        """
        n_layers = sum(name.startswith("layers.") and name.endswith(".weight") for name in arrays)
        n_features, out_dim = (np.size(arrays.get(name, ())) for name in ("mean", f"layers.{n_layers - 1}.bias"))
        found = {name: np.atleast_1d(array).shape for name, array in arrays.items()}
        # of layers by the thousand no more than tells them from the arrays
        expected = dict(islice(recipe.encoder_shapes(n_features, out_dim), len(found) + 1))
        if found != expected:
            other = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
            sizes = {name: getattr(recipe, name) for name in ("width", "n_hidden", "linear_path")}
            msg = f"the arrays {other} of an encoder are not those of its recipe, which has {sizes}"
            raise ValueError(msg)
        encoder = cls(n_features, out_dim, recipe)
        shapes = {name: tensor.shape for name, tensor in encoder.state_dict().items()}
        encoder.load_state_dict({name: torch.tensor(array).reshape(shapes[name]) for name, array in arrays.items()})
        return encoder.eval()
