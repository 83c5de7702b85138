"""Features that a cell was not measured for, decoded from its embedding; how well, on cells that were measured."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from clipdim import _check
from clipdim.evaluation.ridge import FourierRidge
from clipdim.neighbors import nearest_points

IMPUTATION_METHODS = ("auto", "knn", "ridge", "average")
# times the square root of the number of cells: the lead in correlation that chance seldom gives to one decoder
_LEAD = 0.25


@dataclass(frozen=True)
class Source:
    """What some cells are imputed from."""

    embedding: np.ndarray
    inputs: np.ndarray


@dataclass(frozen=True)
class Imputed:
    """Imputed values, (cells, features), the decoder of each feature, and how good it is over `n_cells` cells.

    The correlation of a constant feature is NaN; `r2` is negative where the values are worse than the mean.
    """

    values: np.ndarray
    method: np.ndarray
    correlation: np.ndarray
    r2: np.ndarray
    n_cells: int


class Imputer:
    """Decode features of the cells of a query from their embedding, as learned from the training cells.

    - `"knn"`: mean over the nearest training cells in the embedding, with Gaussian weights as wide as the distance of
      the last of them.
    - `"ridge"`: linear in the encoders' inputs and smooth in the embedding, :class:`FourierRidge`.
    - `"average"`: the mean of both.

    Measured cells are others, which tell how good the decoders are. What does not depend on the features is computed
    once, so that they can come in blocks.
    """

    def __init__(
        self, train: Source, measured: Source, query: Source, *, n_neighbors: int = 30, random_state: int = 0
    ) -> None:
        n_neighbors = _check.integer("n_neighbors", n_neighbors, least=1, hint="for instance 30")
        random_state = _check.seed(random_state)
        n_train, n_measured = len(train.embedding), len(measured.embedding)
        if n_train < 2 or n_measured < 4:
            msg = f"{n_train} training and {n_measured} measured cells are too few; at least 2 and 4 are needed"
            raise ValueError(msg)
        self._train, self._measured, self._query = train, measured, query
        k = min(n_neighbors, n_train)
        self._averages = [_averages(train, cells, k) for cells in (measured, query)]
        self._ridge = FourierRidge(train.embedding, train.inputs, random_state=random_state)
        self._halves = np.array_split(np.random.default_rng(random_state).permutation(n_measured), 2)

    def impute(self, train_values: np.ndarray, measured_values: np.ndarray, *, method: str = "auto") -> Imputed:
        """Impute features of the query from those of the training and the measured cells, (cells, features) each.

        `"auto"` takes for each feature the average, or one decoder alone where its correlation over n cells is higher
        by more than .25 / sqrt(n). One half of the measured cells decides, the accuracy is that of the other half;
        where nothing is to decide it is that of all.
        """
        method = _check.choice("method", method, IMPUTATION_METHODS)
        train_values, measured_values = (np.asarray(values, np.float32) for values in (train_values, measured_values))
        for values, cells in ((train_values, self._train), (measured_values, self._measured)):
            if values.ndim != 2 or len(values) != len(cells.embedding):
                msg = f"expected values of {len(cells.embedding)} cells, (cells, features), got shape {values.shape}"
                raise ValueError(msg)
        coefficients = self._ridge.coefficients(train_values)

        def decode(averages: csr_matrix, cells: Source) -> dict[str, np.ndarray]:
            knn = averages @ train_values
            ridge = self._ridge.predict(cells.embedding, cells.inputs, coefficients)
            return {"knn": knn, "ridge": ridge, "average": (knn + ridge) / 2}

        of_measured = decode(self._averages[0], self._measured)
        if method == "auto":
            deciding, rows = self._halves
            chosen = _choose(
                {name: values[deciding] for name, values in of_measured.items()}, measured_values[deciding]
            )
        else:
            rows = np.arange(len(measured_values))
            chosen = np.full(train_values.shape[1], method, dtype=object)
        predicted, truth = _select(of_measured, chosen)[rows], measured_values[rows]
        return Imputed(
            values=_select(decode(self._averages[1], self._query), chosen),
            method=chosen,
            correlation=_correlation(predicted, truth),
            r2=_explained(predicted, truth),
            n_cells=len(rows),
        )


def _averages(train: Source, cells: Source, k: int) -> csr_matrix:
    """Matrix that takes values of the training cells to their weighted means over the nearest ones of each cell."""
    n = len(cells.embedding)
    distances, nearest = nearest_points(train.embedding, cells.embedding, k)
    widest = distances[:, -1:]
    weights = np.exp(-np.square(np.divide(distances, widest, out=np.zeros_like(distances), where=widest > 0)))
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    shape = (n, len(train.embedding))
    return csr_matrix((weights.ravel(), nearest.ravel(), np.arange(0, n * k + 1, k)), shape=shape)


def _choose(predicted: dict[str, np.ndarray], truth: np.ndarray) -> np.ndarray:
    chosen = np.full(truth.shape[1], "average", dtype=object)
    best = _correlation(predicted["average"], truth) + _LEAD / np.sqrt(len(truth))
    for name in ("knn", "ridge"):
        better = (correlation := _correlation(predicted[name], truth)) > best
        chosen[better], best[better] = name, correlation[better]
    return chosen


def _select(predicted: dict[str, np.ndarray], chosen: np.ndarray) -> np.ndarray:
    values = np.empty_like(predicted["average"])
    for name, of_method in predicted.items():
        values[:, chosen == name] = of_method[:, chosen == name]
    return values


def _correlation(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    u, v = (values - values.mean(axis=0, dtype=np.float64) for values in (predicted, truth))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (u * v).sum(axis=0) / np.sqrt((u**2).sum(axis=0) * (v**2).sum(axis=0))


def _explained(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    errors = np.square(truth - predicted, dtype=np.float64).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        explained = 1 - errors / np.square(truth - truth.mean(axis=0, dtype=np.float64)).sum(axis=0)
    return np.where(np.isfinite(explained), explained, np.nan)
