"""
Estimated against true number of shared dimensions, of ``tl.shared_dimension`` and of other methods.

``python -m benchmarks.shared_dimension`` simulates each setting, fits it and counts. ``fits.csv`` has a row for each;
settings that are there already are not run again, so that a run can be interrupted. ``shared_dimension.md`` has the
shares of right answers, by family, number of cells and method, and the settings that are off. ``--saturation`` adds
ten fits of each setting, with more and more columns, to ``saturation.csv``. Seconds are of one thread.
"""

import re
import time
from argparse import Namespace
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pandas as pd
from mudata import MuData

import clipdim
from benchmarks.shared import command
from benchmarks.shared_dimension import others, report
from benchmarks.shared_dimension.settings import CELLS, MANY_CELLS, Setting, settings

HERE = Path(__file__).parent
ID = ["setting", "cells", "repeat"]
ANSWER = ["estimate", "low", "high", "at_least", "at_most", "p_value"]
COLUMNS = [
    *ID,
    *("family", "true", "noise", *ANSWER),
    *("quick_estimate", "quick_at_least", "quick_at_most", "quick_p_value"),
    *("mle_joint", "mle_pair", "cca_edge", "mojitoo", "permutation"),
    *("seconds_fit", "seconds_count", "spectrum", "reading"),
]


def measure(setting: Setting, repeat: int) -> dict[str, object]:
    """Simulate, fit and count."""
    mdata = setting.make(repeat)
    row: dict[str, object] = _id(setting, repeat) | {
        "family": setting.family,
        "true": setting.true,
        "noise": setting.noise,
    }
    start = time.perf_counter()
    clipdim.tl.fit(mdata, use_rep=setting.use_rep, batch_key=setting.batch_key, progress=False)
    row["seconds_fit"] = time.perf_counter() - start
    row |= _quick(mdata)
    start = time.perf_counter()
    found = clipdim.tl.shared_dimension(mdata, progress=False).iloc[0]
    row["seconds_count"] = time.perf_counter() - start
    spectrum = mdata.uns["clipdim"]["shared_spectrum"]["information"]
    row |= {name: found[name] for name in (*ANSWER, "reading")}
    return row | {"spectrum": " ".join(f"{one:.3g}" for one in spectrum)} | others.read(mdata, setting)


def _id(setting: Setting, repeat: int) -> dict[str, object]:
    return dict(zip(ID, (setting.name, setting.cells, repeat), strict=True))


def _quick(mdata: MuData) -> dict[str, float]:
    """Return what the fit says by itself."""
    fit = mdata.uns["clipdim"]
    found = fit["shared_dimension"].iloc[0]
    return {f"quick_{name}": found[name] for name in ("estimate", "at_least", "at_most", "p_value")} | {
        "mle_joint": fit["intrinsic_dimension"]["joint"]["estimate"],
        "mle_pair": fit["pairs"]["intrinsic_dimension"].iloc[0],
    }


def saturation(setting: Setting, repeat: int) -> dict[str, object]:
    """Fit with more and more columns."""
    nats = {out_dim: others.information(setting, repeat, out_dim) for out_dim in others.OUT_DIMS}
    columns = {f"information_{out_dim}": value for out_dim, value in nats.items()}
    return _id(setting, repeat) | columns | {"saturation": others.saturation(nats)}


def rows(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read what is known so far; start the file where there is none."""
    if not path.exists():
        pd.DataFrame(columns=columns).to_csv(path, index=False)
    return pd.read_csv(path)


def wanted(arguments: Namespace, known: pd.DataFrame) -> Iterator[tuple[Setting, int]]:
    """Yield settings that are asked for and not known."""
    done = set(known[ID].itertuples(index=False, name=None))
    for setting, repeat in product(settings(tuple(arguments.cells)), range(arguments.repeats)):
        asked = re.search(arguments.only, f"{setting.name} {setting.family}")
        if asked and tuple(_id(setting, repeat).values()) not in done:
            yield setting, repeat


def run(arguments: Namespace) -> None:
    """Append a row to a file for each setting that it lacks."""
    files = {"fits.csv": (measure, COLUMNS)}
    if arguments.saturation:
        numbers = [f"information_{out_dim}" for out_dim in others.OUT_DIMS]
        files["saturation.csv"] = (saturation, [*ID, *numbers, "saturation"])
    for name, (function, columns) in files.items():
        for setting, repeat in wanted(arguments, rows(HERE / name, columns)):
            row = pd.DataFrame([function(setting, repeat)]).reindex(columns=columns)
            row.to_csv(HERE / name, mode="a", header=False, index=False, float_format="%.5g")
            print(row.iloc[0].to_dict(), flush=True)


def main() -> None:
    """Run what is not known, and write the report."""
    parser = command.parser(__doc__)
    parser.add_argument("--only", default="", metavar="REGEX", help="settings with this in their name or family")
    parser.add_argument("--repeats", type=int, default=1, help="data sets of each setting")
    parser.add_argument("--cells", type=int, nargs="+", default=[*CELLS, *MANY_CELLS])
    parser.add_argument("--saturation", action="store_true", help="fit with more and more columns too")
    parser.add_argument("--report", action="store_true", help="only write the report anew")
    arguments = parser.parse_args()
    command.quiet_on_one_thread()
    if not arguments.report:
        run(arguments)
    path = HERE / "saturation.csv"
    report.write(
        HERE / "shared_dimension.md", rows(HERE / "fits.csv", COLUMNS), rows(path, []) if path.exists() else None
    )


if __name__ == "__main__":
    main()
