"""
Peak memory of the loss, forward and backward: ``python benchmarks/memory.py [PAIRS ...]``, on Linux.

Each case runs in a process of its own. The figure is the peak of resident memory above what was resident with the
inputs made and the libraries warmed up by a small batch.
"""

import resource
import subprocess
import sys
from pathlib import Path


def main() -> None:
    pairs = sys.argv[1:] or ["512", "2048", "8192", "32768"]
    for n in pairs:
        for how in ("info_nce", "cross_entropy"):
            if how == "cross_entropy" and int(n) > 16_384:
                continue
            print(f"{n:>6} pairs, {how:>13}: {peak(int(n), how):8.1f} MB")


def peak(n: int, how: str) -> float:
    """MB above the inputs, measured in a new process."""
    command = [sys.executable, __file__, "--measure", str(n), how]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(n: int, how: str) -> None:
    import torch
    from test_loss import LOSSES, embeddings

    torch.set_num_threads(1)
    temperature = torch.tensor(0.05, requires_grad=True)
    for m in (256, n):
        u, v = embeddings(m)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        LOSSES[how](u, v, temperature).backward()
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print((highest - pages * resource.getpagesize()) / 1e6)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(int(sys.argv[2]), sys.argv[3])
    else:
        main()
