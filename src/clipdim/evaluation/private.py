"""What a modality knows that the joint embedding does not: the principal components of the residual."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from clipdim import _check

PENALTY = 1e-3


@dataclass(frozen=True)
class PrivateMap:
    """Linear map to the private dimensions of one modality, in units of the modality's overall spread.

    The inputs' linear prediction from the joint embedding is taken away, and what is left is projected on its principal
    axes (partial principal component analysis: Rao, Sankhya A 1964). The prediction is penalised (ridge regression), so
    that it reads little from axes along which the joint embedding hardly varies: what lies there one modality alone has
    put there. Over the cells it was learned on, private dimensions are uncorrelated with each other, and with the joint
    embedding up to what the penalty leaves.
    """

    mean: np.ndarray
    """(features,) of the inputs."""
    spread: float
    """Root of the inputs' total variance."""
    joint_mean: np.ndarray
    """(out_dim,) of the joint embedding."""
    coefficients: np.ndarray
    """(out_dim x features)"""
    axes: np.ndarray
    """(features x private dimensions)"""

    @classmethod
    def learn(cls, inputs: np.ndarray, joint: np.ndarray, *, n_dims: int, penalty: float = PENALTY) -> "PrivateMap":
        """Learn from cells; ``penalty`` is the variance of the joint embedding along an axis of which half is read."""
        from sklearn.decomposition import PCA
        from sklearn.linear_model import Ridge

        n_dims = _check.integer("n_dims", n_dims, least=1)
        penalty = _check.number("penalty", penalty, least=0)
        mean, joint_mean = inputs.mean(axis=0, dtype=np.float64), joint.mean(axis=0, dtype=np.float64)
        spread = float(np.sqrt(inputs.var(axis=0, dtype=np.float64).sum()))
        values, known = (inputs - mean) / spread, joint - joint_mean
        ridge = Ridge(alpha=penalty * len(inputs), fit_intercept=False).fit(known, values)
        coefficients = np.reshape(ridge.coef_, (values.shape[1], known.shape[1])).T
        values -= known @ coefficients
        axes = PCA(min(n_dims, *values.shape), svd_solver="full").fit(values).components_.T
        return cls.from_arrays(
            {"mean": mean, "spread": spread, "joint_mean": joint_mean, "coefficients": coefficients, "axes": axes}
        )

    def residual(self, inputs: np.ndarray, joint: np.ndarray) -> np.ndarray:
        """Take the prediction away: float32 (cells x features), of total variance 1 where nothing is predicted."""
        values = (inputs - self.mean) / np.float32(self.spread)
        values -= (joint - self.joint_mean) @ self.coefficients
        return values

    def __call__(self, inputs: np.ndarray, joint: np.ndarray) -> np.ndarray:
        """Private dimensions of cells, float32 (cells x private dimensions)."""
        return self.residual(inputs, joint) @ self.axes

    def to_arrays(self) -> dict[str, Any]:
        """Arrays and a number for storage."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> "PrivateMap":
        """Inverse of ``to_arrays``; a KeyError or ValueError names what is missing, misshapen or not finite."""
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in arrays]:
            # double quotes only: the text of a KeyError is shown with a backslash before each single quote otherwise
            msg = f"of a map to private dimensions {', '.join(missing)} is missing; run clipdim.tl.private again"
            raise KeyError(msg)
        found = {name: _finite(name, arrays[name]) for name in names}
        features, out_dim, n_dims = found["mean"].size, found["joint_mean"].size, found["axes"].shape[-1:]
        shapes = {
            "mean": (features,),
            "spread": (),
            "joint_mean": (out_dim,),
            "coefficients": (out_dim, features),
            "axes": (features, *n_dims),
        }
        for name, shape in shapes.items():
            if found[name].shape != shape:
                msg = (
                    f"{name} of a map to private dimensions has shape {found[name].shape} where the others ask for "
                    f"{shape}; run clipdim.tl.private again"
                )
                raise ValueError(msg)
        return cls(spread=float(arrays["spread"]), **{name: found[name] for name in names if name != "spread"})


def _finite(name: str, values: Any) -> np.ndarray:
    found = np.asarray(values)
    if found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        msg = f"{name} of a map to private dimensions must hold finite numbers; run clipdim.tl.private again"
        raise ValueError(msg)
    return found.astype(np.float32)
