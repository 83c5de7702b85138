"""Shares of right answers, in words and tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.shared import tables

FEWEST_CELLS = 6_000
METHODS = {
    "estimate": "tl.shared_dimension",
    "quick_estimate": "tl.fit, quick form",
    "mle_joint": "MLE of the joint embedding",
    "mle_pair": "MLE of what one embedding says of the other",
    "cca_edge": "CCA, above the random-matrix edge",
    "mojitoo": "MOJITOO",
    "permutation": "CCA, stepwise permutations",
    "saturation": "saturation of the information, columns",
    # embeddings of length one lie in one dimension less
    "saturation_less_one": "saturation of the information, columns less one",
}
NONE_FOUND = 0.01


def judged(fits: pd.DataFrame) -> pd.DataFrame:
    """Add what is right of each row."""
    off = (fits["estimate"].round() - fits["true"]).abs()
    width = fits["at_most"] - fits["at_least"]
    nothing = (fits["p_value"] > NONE_FOUND) | fits["reading"].str.startswith("Groups only")
    return fits.assign(
        right=off == 0,
        within_one=off <= 1,
        error=(fits["estimate"] - fits["true"]).abs(),
        covered=(fits["at_least"] <= fits["true"]) & (fits["true"] <= fits["at_most"]),
        narrow=width <= np.maximum(1, 0.3 * fits["true"]),
        zero=(fits["estimate"] == 0) & nothing,
    )


def figures(fits: pd.DataFrame) -> pd.DataFrame:
    """Compare the shares that matter with their targets."""
    clear = fits[fits["noise"] != "strong"]
    zero = fits[fits["true"] == 0]
    shown = [
        ("estimate, rounded, is the truth, without strong noise", clear["right"], 0.9),
        ("estimate within one of the truth, without strong noise", clear["within_one"], 0.97),
        ("truth between at_least and at_most", fits["covered"], 0.95),
        ("at_most less at_least no more than 1, or 30 % of the truth", fits["narrow"], 0.8),
        ("nothing shared: estimate 0, and p above .01 or groups only", zero["zero"], 0.95),
    ]
    return pd.DataFrame(
        [
            {"share of settings": name, "found": _share(values), "target": f"{target:.0%}", "of": f"{len(values)}"}
            for name, values, target in shown
        ]
    )


def by(fits: pd.DataFrame, column: str) -> pd.DataFrame:
    """Coverage, error and seconds, a row for each value of a column."""
    return pd.DataFrame(
        [
            {
                column: f"{name:,}" if isinstance(name, int) else name,
                "settings": f"{len(part)}",
                "right": _share(part["right"]),
                "within one": _share(part["within_one"]),
                "mean error": f"{part['error'].mean():.2f}",
                "covered": _share(part["covered"]),
                "narrow": _share(part["narrow"]),
                "seconds of the fit": f"{part['seconds_fit'].median():.1f}",
                "seconds of the count": f"{part['seconds_count'].median():.1f}",
            }
            for name, part in fits.groupby(column, sort=False)
        ]
    )


def by_method(fits: pd.DataFrame) -> pd.DataFrame:
    """Compare the methods on the settings without strong noise."""
    fits = fits[fits["noise"] != "strong"]
    found = []
    for column, method in METHODS.items():
        if column not in fits or fits[column].isna().all():
            continue
        known = fits[fits[column].notna()]
        off = (known[column].round() - known["true"]).abs()
        zero = known["true"] == 0
        found.append(
            {
                "method": method,
                "settings": f"{len(known)}",
                "right": _share(off == 0),
                "within one": _share(off <= 1),
                "mean error": f"{(known[column] - known['true']).abs().mean():.2f}",
                "right, something shared": _share(off[~zero] == 0),
                "right, nothing shared": _share(off[zero] == 0),
            }
        )
    return pd.DataFrame(found)


def unlike(fits: pd.DataFrame) -> pd.DataFrame:
    """Show settings whose estimate is off or whose bounds lack the truth, with what was found."""
    off = fits[~(fits["right"] & fits["covered"])].sort_values(["cells", "family"], kind="stable")
    return pd.DataFrame(
        {
            "setting": off["setting"],
            "cells": off["cells"].map("{:,}".format),
            "estimate": off["estimate"].map("{:.2f}".format),
            "at least": off["at_least"].map("{:.0f}".format),
            "at most": off["at_most"].map("{:.0f}".format),
            "p": off["p_value"].map("{:.2g}".format),
            "covered": np.where(off["covered"], "yes", "no"),
            "nats of each direction": off["spectrum"],
        }
    )


def _share(values: pd.Series) -> str:
    return f"{values.mean():.0%}" if len(values) else "-"


def _markdown(table: pd.DataFrame) -> str:
    """Make a table Markdown, without the machine: that stands below the last one."""
    return tables.text(table).rpartition("\n*")[0] if len(table) else "No setting so far."


def write(path: Path, fits: pd.DataFrame, saturation: pd.DataFrame | None = None) -> None:
    """Write the report, and print it."""
    fits = judged(fits)
    if saturation is not None:
        fits = fits.merge(saturation, how="left", on=["setting", "cells", "repeat"])
        fits["saturation_less_one"] = fits["saturation"] - 1
    large = fits[fits["cells"] >= FEWEST_CELLS]
    note = "The number after the name of a setting is the truth."
    parts = [
        f"### {FEWEST_CELLS:,} cells and more",
        _markdown(figures(large)),
        f"### By family, {FEWEST_CELLS:,} cells and more",
        _markdown(by(large, "family")),
        "### By number of cells",
        _markdown(by(fits.sort_values("cells", kind="stable"), "cells")),
        f"### By method, {FEWEST_CELLS:,} cells and more, without strong noise",
        _markdown(by_method(large)),
        "### Settings that are off",
        tables.text(unlike(fits), note=note),
    ]
    path.write_text("\n\n".join(part.strip("\n") for part in parts) + "\n")
    print(path.read_text())
