"""The device that scvi-tools' ``accelerator`` and ``devices`` mean."""

from collections.abc import Sequence

import torch

from clipdim import _check

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")


def device_of(accelerator: str, devices: str | int | Sequence[int]) -> str:
    """Return the name of the torch device, ``"auto"`` included.

    ``devices`` is ``"auto"`` or 1 for one device, or a list with the index of one GPU.
    """
    _check.choice("accelerator", accelerator, ACCELERATORS)
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    device = accelerator
    if accelerator == "gpu":
        device = "mps" if mps and not cuda else "cuda"
    if (device == "cuda" and not cuda) or (device == "mps" and not mps):
        msg = f"accelerator={accelerator!r} is not available on this machine; choose 'auto' or 'cpu'"
        raise ValueError(msg)
    if devices in ("auto", 1) and not isinstance(devices, bool):
        return device
    index = devices[0] if isinstance(devices, (list, tuple)) and len(devices) == 1 else None
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        msg = (
            f"devices={devices!r} is not one device; pass devices=1, or devices=[0] for the GPU of that index. To "
            "train on several, start the script by torchrun --nproc-per-node=2 script.py and call "
            "clipdim.tl.fit(mdata, distributed=True) in it"
        )
        raise ValueError(msg)
    if device == "auto":
        device = "cuda" if cuda else "cpu"
    n_gpus = torch.cuda.device_count() if device == "cuda" else 0
    if index >= n_gpus:
        msg = (
            f"devices={devices!r} names a GPU, and accelerator={accelerator!r} has {n_gpus} of them on this machine; "
            "pass devices=1"
        )
        raise ValueError(msg)
    return f"cuda:{index}"
