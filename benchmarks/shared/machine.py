"""What a benchmark ran on."""

import os
import platform
import resource
import sys
from pathlib import Path

import torch


def cpu() -> str:
    """Name of the processor."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 0


def describe() -> str:
    """Processor, GPU and versions in one line."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    found = f"{cpu()}, {cores()} core{'s' * (cores() != 1)}, {gpu}"
    return f"{found}; Python {platform.python_version()}, PyTorch {torch.__version__}"


def peak_memory() -> int:
    """Bytes of resident memory of this process at the highest point so far; on Linux or macOS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
