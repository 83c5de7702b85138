"""Tables that the documentation includes."""

from pathlib import Path

import pandas as pd

from benchmarks.shared import machine


def text(table: pd.DataFrame, *, note: str = "") -> str:
    """Make a table of strings Markdown, with the machine it was measured on below it."""
    lines = ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join([*lines, "", f"*{machine.describe()}. {note}*".replace(". *", ".*"), ""])


def write(path: Path, table: pd.DataFrame, *, note: str = "") -> None:
    """Write a table of strings as Markdown, and print it."""
    path.write_text(text(table, note=note))
    print(path.read_text())


def number(value: float, digits: int = 3) -> str:
    """Show a number without the zero before its point, and NaN as a dash."""
    return "-" if value != value else f"{value:.{digits}f}".removeprefix("0")
