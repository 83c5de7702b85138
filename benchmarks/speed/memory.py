"""Peak memory of one benchmark, in a process of its own: ``MODULE FUNCTION HOW SIZE SMALL``; on Linux."""

import importlib
import re
import sys
from pathlib import Path

import torch


def main() -> None:
    module, function, how, size, small = sys.argv[1:]
    torch.set_num_threads(1)
    make = getattr(importlib.import_module(module), function)
    make(how, int(small))()  # what libraries load at first use
    work = make(how, int(size))
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    before = resident("VmRSS")
    work()
    print(resident("VmHWM") - before)


def resident(name: str) -> float:
    """Memory in MB; not that of getrusage, which begins with the peak of the process that started this one."""
    kilobytes = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]
    return int(kilobytes) * 1024 / 1e6


if __name__ == "__main__":
    main()
