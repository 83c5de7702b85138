"""Check of a fit: whether anything is shared, and how closely its dimensions were counted."""

import numpy as np

from clipdim.tl._diagnosis.run import NOTE, OK, WARNING, Finding, Run

# one in a hundred pairs of unrelated modalities passes
SOMETHING = 0.01
# dimensions by which the bounds may differ, as a share of the lower one; 1 in any case
CLOSE = 0.3


def shared_dimension(run: Run) -> Finding:
    """Whether the dimensions that the modalities share were counted closely."""
    if run.shared is None:
        reading = "Shared dimensions were not counted; run clipdim.tl.shared_dimension."
        return Finding("shared_dimension", np.nan, SOMETHING, NOTE, reading)
    row = run.shared.loc[run.shared["p_value"].fillna(np.inf).idxmax()]
    value, reading = float(row["p_value"]), str(row["reading"])
    if np.isnan(value):
        return Finding("shared_dimension", value, SOMETHING, NOTE, reading)
    if value > SOMETHING:
        return Finding("shared_dimension", value, SOMETHING, WARNING, reading)
    if (run.shared["at_most"] - run.shared["at_least"] > (CLOSE * run.shared["at_least"]).clip(lower=1)).any():
        advice = " Count more closely with clipdim.tl.shared_dimension." if row["cells"] == "held-out" else ""
        return Finding("shared_dimension", value, SOMETHING, NOTE, reading + advice)
    return Finding("shared_dimension", value, SOMETHING, OK, reading)
