"""What the command lines have in common."""

import argparse
import warnings
from collections.abc import Sequence

import torch


def parser(description: str | None, *, seeds: Sequence[int] | None = None) -> argparse.ArgumentParser:
    """Show the script's docstring as help; there is an option for the seeds where there are any."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if seeds is not None:
        found.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    return found


def quiet() -> None:
    """Show no warnings."""
    warnings.simplefilter("ignore")


def quiet_on_one_thread() -> None:
    """Show no warnings, and compute on one thread so that times can be compared."""
    quiet()
    torch.set_num_threads(1)
