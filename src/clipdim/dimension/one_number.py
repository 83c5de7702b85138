"""The estimators of the intrinsic dimension as functions from points to one number."""

from numpy.typing import ArrayLike

from clipdim.dimension.estimation import estimate


def mle(
    X: ArrayLike,
    *,
    n_neighbors: int = 20,
    aggregation: str = "harmonic",
    n_anchors: int | None = None,
    random_state: int = 0,
) -> float:
    """Intrinsic dimension by maximum likelihood (Levina and Bickel).

    With R_j the distance of point i to its j-th of k neighbours, m_i = (k - 1) / sum_{j<k} log(R_k / R_j).
    Repeated rows count once. Parameters, errors and references are those of `estimate`.

    Returns
    -------
    1 / mean(1 / m_i) when harmonic, as `skdim.id.MLE().fit(X).dimension_`; mean(m_i) when arithmetic, as
    `skdim.id.MLE().fit_transform(X)`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> round(mle(rng.normal(size=(1000, 3)) @ rng.normal(size=(3, 10))))
    3
    """
    return estimate(
        X, n_neighbors=n_neighbors, aggregation=aggregation, n_anchors=n_anchors, random_state=random_state
    ).estimate


def twonn(X: ArrayLike, *, n_anchors: int | None = None, random_state: int = 0) -> float:
    """Intrinsic dimension from the ratio of the distances to two neighbours (Facco and others), by scikit-dimension.

    Repeated rows count once. Parameters, errors and references are those of `estimate`.

    Returns
    -------
    The dimension, as `skdim.id.TwoNN().fit(X).dimension_`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> round(twonn(rng.normal(size=(1000, 3)) @ rng.normal(size=(3, 10))))
    3
    """
    return estimate(X, estimator="twonn", n_anchors=n_anchors, random_state=random_state).estimate


def lpca(
    X: ArrayLike,
    *,
    n_neighbors: int = 20,
    aggregation: str = "harmonic",
    n_anchors: int | None = None,
    random_state: int = 0,
) -> float:
    """Intrinsic dimension from local principal components (Fukunaga and Olsen), by scikit-dimension.

    Repeated rows count once. Parameters, errors and references are those of `estimate`. About 1 ms for each point.

    Returns
    -------
    The mean of the pointwise values, `skdim.id.lPCA().fit_pw(X, n_neighbors=...).dimension_pw_`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> round(lpca(rng.normal(size=(300, 3)) @ rng.normal(size=(3, 10))))
    3
    """
    return estimate(
        X,
        estimator="lpca",
        n_neighbors=n_neighbors,
        aggregation=aggregation,
        n_anchors=n_anchors,
        random_state=random_state,
    ).estimate
