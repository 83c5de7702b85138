"""Tables that the documentation includes."""

from pathlib import Path

import machine
import pandas as pd

RESULTS = Path(__file__).parent / "results"


def write(name: str, table: pd.DataFrame, *, note: str = "", folder: Path = RESULTS) -> Path:
    """Write a table of strings to ``results/{name}.md``, with the machine it was measured on below it."""
    lines = ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.md"
    path.write_text("\n".join([*lines, "", f"*{machine.describe()}. {note}*".replace(". *", ".*"), ""]))
    return path
