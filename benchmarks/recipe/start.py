"""
The default against a ridge CCA and against an earlier default, on many data sets and from few cells to all.

``python -m benchmarks.recipe.start --data FOLDER --former SOURCE`` fits all pairs of modalities of the ``.h5mu`` files
in a folder, of the mosaic's paired donors and of simulations. ``SOURCE`` is the folder ``src`` of an earlier version,
such as ``git worktree add ../former 903ea4d`` leaves it at ``../former/src``. Of data sets with more than 5,000 cells
100, 300, 1,000 and 3,000 are drawn as well. 30 % of the cells are held out: top-0.5 % matching and FOSCTTM are means
of both directions, 15-NN names the cell type of a held-out cell by its neighbours among training cells in the joint
embedding. ``start.csv`` has a row for each fit, ``start.md`` the means over the seeds of whole data sets; ``start.png``
shows FOSCTTM and 15-NN by the number of cells. Seconds are processor time of ``tl.fit`` on one thread.
"""

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
HOLDOUT, LARGE, SIZES = 0.3, 5_000, (100, 300, 1_000, 3_000)
METHODS = {"default": "default", "cca": "ridge CCA", "former": "former default"}
MEASURES = {"FOSCTTM": 4, "top-0.5 %": 3, "15-NN": 3}
COLUMNS = ["data", "cells", "features", "seed", "method", "seconds", "share", *MEASURES]
Fitted = tuple[dict[str, np.ndarray], np.ndarray, float, float]


def fit(inputs: dict[str, np.ndarray], seed: int) -> Fitted:
    """Fit with the version of clipdim that is imported: embeddings, which cells were held out, seconds, share kept."""
    from anndata import AnnData
    from mudata import MuData

    import clipdim

    mdata = MuData({name: AnnData(x) for name, x in inputs.items()})
    start = time.process_time()
    clipdim.tl.fit(mdata, use_rep="X", holdout=HOLDOUT, random_state=seed, progress=False)
    seconds = time.process_time() - start
    found = {name: np.asarray(adata.obsm["X_clipdim"]) for name, adata in mdata.mod.items()}
    learning = mdata.uns["clipdim"].get("learning")
    share = np.nan if learning is None else float(learning["share"][learning["chosen"].astype(bool)].iloc[0])
    return found, (mdata.obs["clipdim_split"] == "held-out").to_numpy(), seconds, share


def serve() -> None:
    """Fit what comes in by the standard input, until it ends; run in a process that imports another version."""
    import warnings

    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what others print is no answer
    while True:
        try:
            inputs, seed = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(fit(inputs, seed), answers)
        answers.flush()


class Former:
    """An earlier version in a process of its own."""

    def __init__(self, source: Path) -> None:
        script = f"import sys; sys.path[:0] = [{str(source.resolve())!r}, {str(HERE)!r}]; import start; start.serve()"
        # started elsewhere, so that the package in the current folder is not imported
        self._elsewhere = TemporaryDirectory()
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self._elsewhere.name,
            env=environment,
        )

    def fit(self, inputs: dict[str, np.ndarray], seed: int) -> Fitted:
        """Fit there."""
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018
        pickle.dump((inputs, seed), self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)  # type: ignore[no-any-return]


def cca(inputs: dict[str, np.ndarray], train: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
    """Embed by the closed form of ridge 1, each cell at norm 1."""
    from clipdim.contrast import ridge_cca

    start = time.process_time()
    found = ridge_cca({name: x[train] for name, x in inputs.items()}, ridge=1.0)
    outputs = {name: found.transform(name, x) for name, x in inputs.items()}
    embeddings = {
        name: (x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-12)).astype(np.float32)
        for name, x in outputs.items()
    }
    return embeddings, time.process_time() - start


def scores(embeddings: dict[str, np.ndarray], labels: np.ndarray | None, held_out: np.ndarray) -> dict[str, float]:
    """Measures on held-out cells."""
    from benchmarks.shared.scores import knn_accuracy, matching

    x, y = embeddings.values()
    found = matching(x[held_out], y[held_out])
    if labels is None:
        return found | {"15-NN": np.nan}
    known, asked, joint = ~held_out & (labels != ""), held_out & (labels != ""), (x + y) / 2
    return found | {"15-NN": knn_accuracy(joint[known], labels[known], new=joint[asked], truth=labels[asked])}


def rows(
    folder: Path, former: Callable[[dict[str, np.ndarray], int], Fitted], seeds: list[int], only: str
) -> Iterator[dict]:
    """Yield a row for each fit of data sets with ``only`` in their name."""
    from benchmarks.recipe import pairs

    warm = None
    for whole in pairs.read(folder):
        if only not in whole.name:
            continue
        sizes = [n for n in SIZES if whole.n_cells > LARGE] + [whole.n_cells]
        for n_cells in sizes:
            for seed in seeds:
                data = whole if n_cells == whole.n_cells else whole.sample(n_cells, seed)
                if warm is None:  # what is imported late is no time of a fit
                    warm = [fit(data.inputs, 0), former(data.inputs, 0)]
                shape = {"data": data.name, "cells": n_cells, "features": _shape(data.inputs), "seed": seed}
                embeddings, held_out, seconds, share = fit(data.inputs, seed)
                measured = scores(embeddings, data.labels, held_out)
                yield shape | {"method": "default", "seconds": seconds, "share": share} | measured
                embeddings, seconds = cca(data.inputs, ~held_out)
                yield shape | {"method": "cca", "seconds": seconds} | scores(embeddings, data.labels, held_out)
                embeddings, held_out, seconds, _ = former(data.inputs, seed)
                yield shape | {"method": "former", "seconds": seconds} | scores(embeddings, data.labels, held_out)


def _shape(inputs: dict[str, np.ndarray]) -> str:
    return " + ".join(str(x.shape[1]) for x in inputs.values())


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds, a row for each data set and number of cells, as strings; the best in bold."""
    from benchmarks.shared.tables import number

    means = found.groupby(["data", "cells", "features", "method"], sort=False)[[*MEASURES, "seconds", "share"]].mean()
    shown = []
    for (data, cells, features), part in means.groupby(level=[0, 1, 2], sort=False):
        part = part.droplevel([0, 1, 2])
        row = {"data": data, "cells": f"{cells:,}", "features": features}
        for measure, digits in MEASURES.items():
            values = part[measure].round(digits)
            best = values.min() if measure == "FOSCTTM" else values.max()
            for method, label in METHODS.items():
                text = number(values[method], digits)
                row[f"{measure}, {label}"] = f"**{text}**" if values[method] == best else text
        row["share kept"] = number(part.loc["default", "share"], 2)
        row["seconds over former"] = f"{part.loc['default', 'seconds'] / part.loc['former', 'seconds']:.2f}"
        shown.append(row)
    return pd.DataFrame(shown)


def draw(found: pd.DataFrame) -> None:
    """FOSCTTM and accuracy by the number of cells, a column for each data set that has sizes."""
    import seaborn as sns
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    from benchmarks.shared import figures

    sized = [name for name, part in found.groupby("data", sort=False) if len(set(part["cells"])) > 1]
    sized = [name for name in sized if found.loc[found["data"] == name, "15-NN"].notna().all()]
    colors = dict(zip(METHODS, sns.color_palette("colorblind", len(METHODS)), strict=True))
    figure = Figure(figsize=(2.6 * len(sized), 5), layout="constrained")
    axes = figure.subplots(2, len(sized), sharex=True, squeeze=False)
    for column, name in enumerate(sized):
        for row, measure in enumerate(("FOSCTTM", "15-NN")):
            ax = axes[row, column]
            for method, label in METHODS.items():
                part = found[(found["data"] == name) & (found["method"] == method)].groupby("cells")[measure]
                mean, spread = part.mean(), part.std()
                ax.plot(mean.index, mean, "o-", color=colors[method], label=label, markersize=4)
                ax.fill_between(mean.index, mean - spread, mean + spread, color=colors[method], alpha=0.2, linewidth=0)
            ax.set_xscale("log")
            if row == 0:
                ax.set_yscale("log")
                ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                ax.yaxis.set_major_formatter("{x:g}")
                ax.yaxis.set_minor_locator(NullLocator())
                ax.set_title(" ".join(name.split("_")[:2]), fontsize=10)
            else:
                ax.set_xlabel("cells")
            if column == 0:
                ax.set_ylabel("FOSCTTM (0 is perfect)" if row == 0 else "15-NN accuracy")
            ax.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(METHODS), frameon=False)
    figures.save(figure, "start", dpi=150)


def main() -> None:
    """Fit what the file does not have yet, and write the table and the figure."""
    from benchmarks.shared import command, tables

    parser = command.parser(__doc__, seeds=[0, 1, 2])
    parser.add_argument("--data", type=Path, required=True, help="folder of .h5mu files")
    parser.add_argument("--former", type=Path, required=True, help="folder src of an earlier version")
    parser.add_argument("--only", default="", metavar="TEXT", help="data sets with this in their name; others stay")
    parser.add_argument("--report", action="store_true", help="only write table and figure anew")
    arguments = parser.parse_args()
    command.quiet_on_one_thread()
    path = HERE / "start.csv"
    if not arguments.report:
        known = pd.read_csv(path) if arguments.only and path.exists() else pd.DataFrame(columns=COLUMNS)
        known = known[~known["data"].str.contains(arguments.only, regex=False)]
        known.to_csv(path, index=False, float_format="%.5g")
        for row in rows(arguments.data, Former(arguments.former).fit, arguments.seeds, arguments.only):
            print(row, flush=True)
            one = pd.DataFrame([row]).reindex(columns=COLUMNS)
            one.to_csv(path, mode="a", header=False, index=False, float_format="%.5g")
    found = pd.read_csv(path)
    note = f"Mean of {found['seed'].nunique()} seeds, 30 % of the cells held out. The best in bold."
    tables.write(HERE / "start.md", table(found), note=note)
    draw(found)


if __name__ == "__main__":
    main()
