"""Ridge regression on random Fourier features, in blocks of cells."""

from collections.abc import Iterator

import numpy as np

_N_FOURIER = 500
# relative to the number of cells; the columns are standardised
_PENALTIES = np.logspace(-6, 2, 17)
_BLOCK = 8192
_N_PAIRS = 1000


class FourierRidge:
    """Ridge regression that is linear in some columns and smooth in an embedding.

    The columns of the design are `inputs` and 500 random Fourier features (Rahimi and Recht, 2007) of `embedding`,
    which stand for a Gaussian kernel as wide as the median distance of two cells; all are standardised. The penalty of
    each target is the one of least generalised cross-validation error (Golub, Heath and Wahba, 1979). Memory is for one
    block of cells and the square of the columns.
    """

    def __init__(self, embedding: np.ndarray, inputs: np.ndarray, *, random_state: int = 0) -> None:
        rng = np.random.default_rng(random_state)
        n, d = embedding.shape
        first, second = (embedding[rng.integers(n, size=_N_PAIRS)] for _ in range(2))
        distances = np.linalg.norm(first - second, axis=1)
        width = np.median(distances[distances > 0]) if distances.any() else 1.0
        self._frequencies = (rng.normal(size=(d, _N_FOURIER)) * np.sqrt(2) / width).astype(np.float32)
        self._phases = rng.uniform(0, 2 * np.pi, size=_N_FOURIER).astype(np.float32)
        self._cells = embedding, inputs
        self._mean, self._scale = np.zeros(1, np.float32), np.ones(1, np.float32)
        sums, squares, gram = np.zeros((3, 1))
        for _, X in self._design(embedding, inputs):
            sums, squares = sums + X.sum(axis=0, dtype=np.float64), squares + np.square(X, dtype=np.float64).sum(axis=0)
        deviation = np.sqrt(np.maximum(squares / n - (sums / n) ** 2, 0))
        self._mean = (sums / n).astype(np.float32)
        self._scale = np.where(deviation > 0, deviation, 1).astype(np.float32)
        for _, X in self._design(embedding, inputs):
            # float32 would not tell eigenvalues of zero from the smallest penalties
            gram = gram + X.T.astype(np.float64) @ X.astype(np.float64)
        spectrum, self._axes = np.linalg.eigh(gram)
        self._spectrum = np.maximum(spectrum, 0)

    def coefficients(self, targets: np.ndarray) -> np.ndarray:
        """Fit targets of the cells, (n, n_targets), and return (columns + 1, n_targets), the intercepts last."""
        n, mean = len(targets), targets.mean(axis=0, dtype=np.float64)
        products, square = np.zeros((2, 1))
        for block, X in self._design(*self._cells):
            centred = targets[block] - mean
            products, square = products + X.T.astype(np.float64) @ centred, square + np.square(centred).sum(axis=0)
        rotated = self._axes.T @ products
        best, error = np.empty_like(rotated), np.full(rotated.shape[1], np.inf)
        for penalty in n * _PENALTIES:
            shrunk = (self._spectrum + penalty)[:, None]
            residual = square - (rotated**2 * (shrunk + penalty) / shrunk**2).sum(axis=0)
            freedom = n - 1 - (self._spectrum / shrunk[:, 0]).sum()
            better = (of_penalty := residual / freedom**2) < error
            error[better] = of_penalty[better]
            best[:, better] = (rotated / shrunk)[:, better]
        return np.vstack([self._axes @ best, mean]).astype(np.float32)

    def predict(self, embedding: np.ndarray, inputs: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """Targets of other cells, float32, (cells, n_targets)."""
        predicted = np.empty((len(embedding), coefficients.shape[1]), dtype=np.float32)
        for block, X in self._design(embedding, inputs):
            predicted[block] = X @ coefficients[:-1] + coefficients[-1]
        return predicted

    def _design(self, embedding: np.ndarray, inputs: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(embedding), _BLOCK):
            block = slice(start, start + _BLOCK)
            waves = np.cos(embedding[block].astype(np.float32) @ self._frequencies + self._phases)
            X = np.hstack([inputs[block].astype(np.float32), waves])
            yield block, (X - self._mean) / self._scale
