"""The result of ``tl.diagnose``: what to quote, then the checks."""

from dataclasses import dataclass
from html import escape
from textwrap import fill

import pandas as pd

from clipdim import _keys
from clipdim.tl._diagnosis.run import NOTE, WARNING

MARKS = {"ok": "ok  ", "note": "note", "warning": "WARN"}
COLORS = {"ok": "#2E7D32", "note": "#8A6D00", "warning": "#C62828"}
WIDTH = 110


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What to quote of a fit, and the checks behind it.

    Attributes
    ----------
    verdict
        One line: how many dimensions are shared, and which checks want a look.
    checks
        One row for each check: ``check``, ``value``, ``threshold``, ``verdict``, ``reading``.
    """

    verdict: str
    checks: pd.DataFrame

    def __repr__(self) -> str:
        """Return all of it, in lines that no table cuts off."""
        lines = [fill(self.verdict, WIDTH), ""]
        for row in self.checks.itertuples():
            text = f"{MARKS[str(row.verdict)]} {row.check}: {row.reading}"
            lines.append(fill(text, WIDTH, subsequent_indent="     "))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="color:{COLORS[str(row.verdict)]};text-align:left">{escape(str(row.verdict))}</td>'
            f'<td style="text-align:left"><code>{escape(str(row.check))}</code></td>'
            f'<td style="text-align:left;white-space:normal">{escape(str(row.reading))}</td></tr>'
            for row in self.checks.itertuples()
        )
        return f"<p><b>{escape(self.verdict)}</b></p><table>{rows}</table>"


def verdict_of(shared: pd.DataFrame | None, checks: pd.DataFrame) -> str:
    """Say in one line what to quote, and which checks want a look."""
    called = {name: checks.loc[checks["verdict"] == name, "check"].tolist() for name in (WARNING, NOTE)}
    parts = [
        f"{len(names)} {name}{'s' * (len(names) > 1)} ({', '.join(names)})" for name, names in called.items() if names
    ]
    return f"{quoted(shared)} {' and '.join(parts) + '.' if parts else 'All checks are passed.'}"


def quoted(shared: pd.DataFrame | None) -> str:
    """Return what is shared, in a sentence for each pair of modalities."""
    if shared is None:
        return "Shared dimensions were not counted; run clipdim.tl.shared_dimension(mdata)."
    rows = shared[shared["group"] == "all"]
    if len(rows) == 1:
        return str(rows["reading"].iloc[0])
    names = ["all" if row.first == row.second else _keys.pair_name(row.first, row.second) for row in rows.itertuples()]
    return " ".join(f"{name}: {reading}" for name, reading in zip(names, rows["reading"], strict=True))
