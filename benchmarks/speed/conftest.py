"""One table of ratios from all benchmarks: each way of doing something against the baseline of its group."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks.shared import tables

ROOT = Path(__file__).parents[2]
NOTE = "One thread; medians. MB: peak of memory above the inputs, and the baseline's, each in a process of its own."


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def compare(benchmark) -> Callable[..., object]:
    """
    Time ``module.make(how, size)()`` and measure the memory that it takes in a process of its own.

    The row of the table is ``group``; the way named ``baseline`` is what the others are divided by.
    """

    def run(
        make: Callable, group: str, how: str, size: int, *, baseline: str, rounds: int, small: int | None = None
    ) -> object:
        benchmark.group = group
        benchmark.extra_info |= {"how": how, "baseline": how == baseline}
        function = make(how, size)
        if small is not None:
            benchmark.extra_info["megabytes"] = peak_memory(make, how, size, small)
        return benchmark.pedantic(function, rounds=rounds, warmup_rounds=1 if rounds > 1 else 0)

    return run


def peak_memory(make: Callable, how: str, size: int, small: int) -> float:
    """Peak of resident memory in MB above what is resident with the inputs made and the libraries warmed up."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.memory",
        make.__module__,
        make.__name__,
        how,
        str(size),
        str(small),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT)
    return float(done.stdout)


def pytest_terminal_summary(terminalreporter, config) -> None:
    session = getattr(config, "_benchmarksession", None)
    rows = [] if session is None else [bench for bench in session.benchmarks if "how" in bench.extra_info]
    if not rows:
        return
    table = pd.DataFrame(ratios(rows))
    text = tables.text(table, note=NOTE)
    terminalreporter.write_line(f"\n{text}")
    if config.args == ["benchmarks/speed"] and not config.getoption("keyword"):  # all of them
        path = Path(__file__).with_name("bench.md")
        path.write_text(text)
        terminalreporter.write_line(f"wrote {path}")


def ratios(rows: list) -> list[dict[str, str]]:
    """Each way of doing something beside the baseline of its group: median times, and peaks of memory."""
    table = []
    for group in dict.fromkeys(bench.group for bench in rows):
        members = [bench for bench in rows if bench.group == group]
        base = next((bench for bench in members if bench.extra_info["baseline"]), None)
        for bench in members:
            if bench is base:
                continue
            memory = [b.extra_info.get("megabytes") for b in (bench, base) if b is not None]
            table.append(
                {
                    "what": group,
                    "how": bench.extra_info["how"],
                    "time": duration(bench.stats.median),
                    "baseline": "-" if base is None else f"{base.extra_info['how']}: {duration(base.stats.median)}",
                    "faster": "-" if base is None else f"{base.stats.median / bench.stats.median:.1f}x",
                    "MB": " / ".join("-" if x is None else f"{x:,.0f}" for x in memory) if any(memory) else "-",
                }
            )
    return table


def duration(seconds: float) -> str:
    value, unit = (seconds * 1e3, "ms") if seconds < 1 else (seconds, "s")
    return f"{value:.3g}\N{NO-BREAK SPACE}{unit}"
