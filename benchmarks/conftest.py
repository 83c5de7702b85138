"""One table of ratios from all benchmarks: each way of doing something against the baseline of its group."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import machine
import pytest
import torch

HERE = Path(__file__).parent


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
    command = [sys.executable, str(HERE / "memory.py"), make.__module__, make.__name__, how, str(size), str(small)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def pytest_terminal_summary(terminalreporter, config) -> None:
    session = getattr(config, "_benchmarksession", None)
    rows = [] if session is None else [bench for bench in session.benchmarks if "how" in bench.extra_info]
    if not rows:
        return
    write = terminalreporter.write_line
    write(f"\n{machine.describe()}")
    write("One thread. Faster: the median time of the baseline over this one. MB: peak above the inputs.\n")
    write(f"{'':58}{'time':>11}{'baseline':>11}{'faster':>9}{'MB':>9}{'baseline':>10}")
    table = []
    for group in dict.fromkeys(bench.group for bench in rows):
        members = [bench for bench in rows if bench.group == group]
        base = next((bench for bench in members if bench.extra_info["baseline"]), None)
        write(group if base is None else f"{group}, against {base.extra_info['how']}")
        for bench in members:
            if bench is not base:
                table.append(entry(group, bench, base))
                write(line(table[-1]))
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    (folder / "bench.json").write_text(json.dumps({"machine": machine.describe(), "rows": table}, indent=1))


def entry(group: str, bench, base) -> dict[str, object]:
    """Median time and peak memory of a way and of its baseline."""
    return {
        "group": group,
        "how": bench.extra_info["how"],
        "seconds": bench.stats.median,
        "megabytes": bench.extra_info.get("megabytes"),
        "baseline": None if base is None else base.extra_info["how"],
        "baseline_seconds": None if base is None else base.stats.median,
        "baseline_megabytes": None if base is None else base.extra_info.get("megabytes"),
    }


def line(row: dict) -> str:
    """One line of the table; a dash where there is no figure."""
    time, base = duration(row["seconds"]), duration(row["baseline_seconds"])
    ratio = "-" if row["baseline_seconds"] is None else f"{row['baseline_seconds'] / row['seconds']:.2f}x"
    memory, other = ("-" if row[name] is None else f"{row[name]:,.0f}" for name in ("megabytes", "baseline_megabytes"))
    return f"  {row['how']:56}{time:>11}{base:>11}{ratio:>9}{memory:>9}{other:>10}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:,.2f} ms" if seconds < 1 else f"{seconds:,.2f} s"
