"""Exact nearest neighbours by brute force: float32 finds candidates, float64 ranks them and a bound proves them."""

from itertools import chain

import numpy as np
import torch

from clipdim.neighbors.threads import in_threads

# groups beyond the neighbours: the rounding of float32 may reorder as many
_SPARE = 4
# products held at once, and columns of them: 4 MB stay in the cache; a GPU wants large products
_TILE_VALUES = {"cpu": 2**20, "cuda": 2**28}
_TILE_COLUMNS = {"cpu": 2**13, "cuda": 2**18}
_MIN_QUERIES = 64
# torch reduces shorter rows slowly
_GROUP = 32


def brute_force(
    points: np.ndarray,
    queries: np.ndarray,
    n_neighbors: int,
    *,
    own: np.ndarray | None = None,
    device: str | torch.device = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest neighbours of queries among points, exactly, in time that grows with their product.

    Blocks of ``|y|^2 - 2 x y`` in float32, with the minimum of each group of consecutive points. The smallest minima,
    a few more than the neighbours, give a threshold; the entries below it are candidates, and these are ranked by
    float64 distances taken from differences. A query is done when its last neighbour is below the threshold by more
    than float32 can err; the others are searched again in float64.

    Parameters
    ----------
    points
        Where to search, (n, d), finite.
    queries
        Whose neighbours, (n_queries, d), finite.
    n_neighbors
        Neighbours of each query, at most n, or n - 1 with `own`.
    own
        The row of `points` that each query is and that is no neighbour of it, (n_queries,); `None` where it is none.
    device
        Torch device.

    Returns
    -------
    Euclidean distances, ascending, float64, and rows of the points, each (n_queries, n_neighbors).

    Examples
    --------
    >>> import numpy as np
    >>> distances, rows = brute_force(np.array([[0.0], [1.0], [3.0]]), np.array([[2.5]]), 2)
    >>> distances.tolist(), rows.tolist()
    ([[0.5, 1.5]], [[2, 1]])
    """
    device = torch.device(device)
    # at random, so that no group holds more of a query's neighbours than chance gives it
    order = np.random.default_rng(0).permutation(len(points))
    centre = points.mean(axis=0, dtype=np.float64)
    cloud = points[order].astype(np.float64, copy=False)
    cloud -= centre
    largest = np.sqrt(np.einsum("ij,ij->i", cloud, cloud).max())
    # a power of two: float32 neither overflows nor is anything rounded
    scale = float(np.exp2(np.ceil(np.log2(largest)))) if largest > 0 else 1.0
    cloud /= scale
    asked = torch.from_numpy((queries - centre) / scale).to(device)
    places = np.full(len(queries), -1) if own is None else np.argsort(order)[own]
    exact = torch.from_numpy(cloud).to(device)
    not_itself = torch.from_numpy(places).to(device)
    distances = np.empty((len(queries), n_neighbors))
    rows = np.empty((len(queries), n_neighbors), dtype=np.intp)
    pending = np.arange(len(queries))
    # lowered, float32 products say less than the bound supposes
    full_precision = torch.get_float32_matmul_precision() == "highest"
    for dtype in (torch.float32, torch.float64) if full_precision else (torch.float64,):
        if len(pending) == 0:
            break
        chosen = torch.from_numpy(pending).to(device)
        found, place, proven = _search(exact, asked[chosen], not_itself[chosen], n_neighbors, dtype)
        distances[pending] = found
        rows[pending] = order[place]
        pending = pending[~proven]
    return distances * scale, rows


def _search(
    exact: torch.Tensor, asked: torch.Tensor, own: torch.Tensor, k: int, dtype: torch.dtype
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances and places of the neighbours in a centred cloud, and whether the precision suffices to be sure."""
    d = exact.shape[1]
    n_minima = min(k + 1 + _SPARE, len(exact))
    group = max(1, min(_GROUP, len(exact) // n_minima))
    tiles, squares = _tiles(exact.to(dtype), group, n_minima)
    size = max(_MIN_QUERIES, _TILE_VALUES[exact.device.type] // squares.shape[1])

    def part(numbers: np.ndarray) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        end = numbers[-1] + 1
        blocks = [slice(start, min(start + size, end)) for start in range(numbers[0], end, size)]
        values = squares.new_empty((min(size, len(numbers)), squares.shape[1]))
        found = []
        for block in blocks:
            queries, itself = asked[block], own[block]
            products = values[: len(queries)]
            query, place, threshold = _candidates(queries.to(dtype), tiles, squares, products, group, n_minima)
            distance = torch.linalg.vector_norm(exact.index_select(0, place) - queries.index_select(0, query), dim=1)
            distance[place == itself.index_select(0, query)] = torch.inf
            nearest, places = _rank(query, place, distance, len(queries), k)
            # points beyond the last neighbour are of no concern, so neither is their rounding
            square, last = queries.square().sum(dim=1), nearest[:, -1]
            error = torch.finfo(dtype).eps / 2 * (d + 8) * (2 * square.sqrt() + last) ** 2 + torch.finfo(dtype).tiny
            found.append((nearest, places, last**2 - square + error < threshold))
        return found

    every = in_threads(part, len(asked)) if exact.device.type == "cpu" else [part(np.arange(len(asked)))]
    distances, rows, proven = (torch.cat(column).cpu().numpy() for column in zip(*chain(*every), strict=True))
    return distances, rows, proven


def _tiles(points: torch.Tensor, group: int, n_minima: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points in tiles of columns, (n_tiles, d, columns), and their squared norms, infinite for the padding."""
    n, d = points.shape
    widest = max(_TILE_COLUMNS[points.device.type], 2 * group * n_minima)
    n_tiles = -(-n // widest)
    n_columns = -(-n // (n_tiles * group)) * group
    padded = points.new_zeros((n_tiles * n_columns, d))
    padded[:n] = points
    squares = torch.linalg.vecdot(padded, padded)
    squares[n:] = torch.inf
    return padded.view(n_tiles, n_columns, d).transpose(1, 2).contiguous(), squares.view(n_tiles, n_columns)


def _candidates(
    queries: torch.Tensor, tiles: torch.Tensor, squares: torch.Tensor, values: torch.Tensor, group: int, n_minima: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Query and place of all points up to a threshold, at least `n_minima` for each query; the thresholds."""
    n_groups = values.shape[1] // group
    smallest = values.new_empty((len(queries), 0))
    found = []
    for number, (columns, square) in enumerate(zip(tiles, squares, strict=True)):
        groups = torch.addmm(square, queries, columns, alpha=-2, out=values).view(-1, group)
        minima = groups.amin(dim=1).view(len(queries), n_groups)
        smallest = _smallest(torch.cat([smallest, minima], dim=1), n_minima)
        threshold = smallest.amax(dim=1)
        chosen = _positions(minima <= threshold[:, None])
        query = chosen // n_groups
        entries = groups.index_select(0, chosen)
        close = _positions(entries <= threshold.index_select(0, query)[:, None])
        entry = close // group
        place = (chosen - query * n_groups).index_select(0, entry) * group + close % group
        found.append((query.index_select(0, entry), place + number * values.shape[1], entries.view(-1)[close]))
    if len(found) == 1:
        return *found[0][:2], threshold
    query, place, value = (torch.cat(part) for part in zip(*found, strict=True))
    # the threshold has fallen since the first tiles
    still = _positions(value <= threshold.index_select(0, query))
    query, order = query.index_select(0, still).sort(stable=True)
    return query, place.index_select(0, still).index_select(0, order), threshold


def _rank(
    query: torch.Tensor, place: torch.Tensor, distance: torch.Tensor, n_queries: int, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keep the k candidates of smallest distance of each query, of a list with the queries in ascending order."""
    counts = torch.bincount(query, minlength=n_queries)
    column = torch.arange(len(query), device=query.device) - (counts.cumsum(0) - counts).index_select(0, query)
    # as many columns as the query with most candidates has
    distances = torch.full((n_queries, int(counts.max())), torch.inf, dtype=distance.dtype, device=query.device)
    distances[query, column] = distance
    places = torch.zeros_like(distances, dtype=torch.long)
    places[query, column] = place
    nearest, column = distances.topk(k, largest=False)
    return nearest, places.gather(1, column)


def _smallest(values: torch.Tensor, k: int) -> torch.Tensor:
    if values.device.type == "cpu":
        # three times as fast as torch
        return torch.from_numpy(np.partition(values.numpy(), min(k, values.shape[1]) - 1, axis=1)[:, :k])
    return values.topk(min(k, values.shape[1]), largest=False, sorted=False).values


def _positions(mask: torch.Tensor) -> torch.Tensor:
    if mask.device.type == "cpu":
        # four times as fast as torch
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero().squeeze(1)
