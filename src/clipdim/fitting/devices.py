"""Which device to compute on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL_BATCH = 1024


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the torch device of that name; ``"auto"`` is CUDA, else MPS, else the CPU."""
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    available = [f"cuda:{index}" for index in range(torch.cuda.device_count())] + available
    if device == "auto":
        return torch.device(available[0])
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        resolved = None
    if resolved is not None:
        name = "cuda:0" if str(resolved) == "cuda" else str(resolved)
        if name in available:
            return torch.device(name)
    msg = f"device={device!r} is not available on this machine; choose 'auto' or one of {available}"
    raise ValueError(msg)


@contextmanager
def threads_for(batch_size: int) -> Iterator[None]:
    """Give torch one CPU thread while the minibatches are small.

    A second thread gains nothing there, and waiting for it costs up to tens of times the step when other programs keep
    the cores busy.
    """
    n_threads = torch.get_num_threads()
    if batch_size <= SMALL_BATCH:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
