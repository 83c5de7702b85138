"""Work that falls into independent parts, one for each of torch's threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

Part = TypeVar("Part")


def in_threads(function: Callable[[np.ndarray], Part], n: int) -> list[Part]:
    """Call a function on consecutive parts of `range(n)`, each in a thread whose torch operations take one thread.

    Threads that share each small operation wait for each other at its end, in vain while other programs keep the cores
    busy: there a search took ten times as long.
    """
    n_threads = torch.get_num_threads()
    parts = np.array_split(np.arange(n), min(n_threads, n))
    torch.set_num_threads(1)
    try:
        if len(parts) == 1:
            return [function(parts[0])]
        with ThreadPoolExecutor(len(parts)) as threads:
            return list(threads.map(function, parts))
    finally:
        torch.set_num_threads(n_threads)
