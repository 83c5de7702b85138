"""Which processes train together."""

import atexit
import hashlib
import os

import numpy as np
import torch
from torch import distributed
from torch.distributed import ProcessGroup


def join_processes(device: torch.device) -> ProcessGroup:
    """Return the group of all processes, which ``torchrun`` or the caller has started."""
    if not distributed.is_available():
        msg = "this build of PyTorch has no torch.distributed; leave out distributed=True"
        raise ValueError(msg)
    if not distributed.is_initialized():
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            msg = (
                "distributed=True needs several processes; start the script by torchrun --nproc-per-node=2 script.py, "
                "or call torch.distributed.init_process_group before"
            )
            raise ValueError(msg)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(distributed.destroy_process_group)
    group = distributed.group.WORLD
    assert group is not None  # there is one once it is initialised
    return group


def own_device(device: str | torch.device) -> str | torch.device:
    """Return the GPU of this process where ``"auto"`` would give the first one to all."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return device


def require_same(arrays: list[np.ndarray], group: ProcessGroup) -> None:
    """Refuse to train on data that differ between the processes."""
    # of the bytes: sums would not notice another order of the cells
    fingerprint = [(array.shape, hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()[:16]) for array in arrays]
    found: list[object] = [None] * group.size()
    distributed.all_gather_object(found, fingerprint, group=group)
    if any(other != fingerprint for other in found):
        msg = (
            "the processes hold different cells, features or batches, or cells in another order: shapes and "
            f"checksums are {found}; open the same MuData, with the same random_state, in each of them"
        )
        raise ValueError(msg)
