"""Which device to compute on."""

import torch


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
