"""Coverage of the 95 % interval of the intrinsic dimension, on clouds whose dimension is known.

For each cloud and estimator: how often the interval holds the estimator's own expectation (the mean over all repeats,
what the interval is for) and the true dimension (which it misses where the estimator is biased), and, for the pointwise
estimators, how often the naive interval does that takes pointwise values for independent.

Run: python -m benchmarks.dimension.interval_coverage --n-repeats 200
"""

from itertools import product

import numpy as np

from benchmarks.shared import command
from clipdim.dimension import estimate

N_COLUMNS = 32


def cloud(kind: str, dimension: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Points of a known dimension, isometrically in 32 columns, (n, 32)."""
    if kind == "gaussian":
        points = rng.normal(size=(n, dimension))
    elif kind == "uniform":
        points = rng.uniform(size=(n, dimension))
    elif kind == "clusters":
        # the same centres in every repeat: the interval is about the sampling of cells
        centres = 4 * np.random.default_rng(0).normal(size=(8, dimension))
        points = centres[rng.integers(8, size=n)] + rng.normal(size=(n, dimension))
    else:
        points = rng.normal(size=(n, dimension + 1))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    axes = np.linalg.qr(rng.normal(size=(N_COLUMNS, points.shape[1])))[0]
    return points @ axes.T


def coverage(
    kind: str, dimension: int, n: int, *, estimator: str, aggregation: str, n_repeats: int
) -> tuple[float, float, float, float, float]:
    """Mean estimate, mean width of the interval, coverage of expectation and truth, naive coverage of expectation."""
    rngs = [np.random.default_rng([dimension, n, repeat]) for repeat in range(n_repeats)]
    found = [estimate(cloud(kind, dimension, n, rng), estimator=estimator, aggregation=aggregation) for rng in rngs]
    estimates = np.array([one.estimate for one in found])
    low, high = np.array([one.low for one in found]), np.array([one.high for one in found])
    expectation = estimates.mean()
    naive = float("nan")
    if found[0].pointwise is not None:
        values = np.array([one.pointwise for one in found])
        values = 1 / values if aggregation == "harmonic" else values
        error = 1.96 * values.std(axis=1) / np.sqrt(n)
        target = 1 / expectation if aggregation == "harmonic" else expectation
        naive = np.mean(np.abs(values.mean(axis=1) - target) < error)
    return (
        expectation,
        np.mean(high - low),
        np.mean((low <= expectation) & (expectation <= high)),
        np.mean((low <= dimension) & (dimension <= high)),
        naive,
    )


def main() -> None:
    """Print the table."""
    parser = command.parser(__doc__)
    parser.add_argument("--n-repeats", type=int, default=200)
    parser.add_argument("--n-points", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--kinds", nargs="+", default=["gaussian", "uniform", "sphere", "clusters"])
    parser.add_argument("--methods", nargs="+", default=["mle:harmonic", "mle:arithmetic", "twonn:", "lpca:arithmetic"])
    arguments = parser.parse_args()
    print(f"{'method':16}{'cloud':10}{'d':>3}{'n':>6}{'mean':>8}{'width':>8}{'expected':>10}{'true':>8}{'naive':>8}")
    for method, kind, dimension, n in product(arguments.methods, arguments.kinds, (2, 5, 10), arguments.n_points):
        estimator, aggregation = method.split(":")
        row = coverage(
            kind,
            dimension,
            n,
            estimator=estimator,
            aggregation=aggregation or "harmonic",
            n_repeats=arguments.n_repeats,
        )
        print(
            f"{method:16}{kind:10}{dimension:3}{n:6}{row[0]:8.2f}{row[1]:8.2f}{row[2]:10.3f}{row[3]:8.3f}{row[4]:8.3f}"
        )


if __name__ == "__main__":
    main()
