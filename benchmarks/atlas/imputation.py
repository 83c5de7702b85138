"""
Imputed proteins, and genes, against plain decoders of principal components, on cells that neither has seen.

``python -m benchmarks.atlas.imputation`` writes ``imputation.md``. A query lacks the imputed modality: 30 % of the
cells drawn at random, one of the two donors of bmcite, or one of two 10x runs (``CLIPDIM_TWO_RUNS``, see
``two_runs.py`` in ``benchmarks/shared``; left out where it is not set). ``clipdim.tl.impute`` learns on the other
cells, of which 20 % are held out for its choice of decoders and their accuracy. The plain decoders learn on all of
them, from what the encoder reads (principal components; for bmcite the scVI representation): ridge regression with the
penalty of least leave-one-out error, and the mean over nearest cells, 15 or 50, whichever is better on the query. Times
are of one thread; those of clipdim are without the fit.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor

import clipdim
from benchmarks.shared import command, tables
from benchmarks.shared.data import dense, preprocess
from benchmarks.shared.two_runs import VARIABLE, two_runs

HOLDOUT = 0.2
EQUAL = 0.005
NEIGHBOURS = (15, 50)
MARKERS = (
    "CD3D CD3E CD8A CD8B IL7R CCR7 SELL CD27 MS4A1 CD79A CD19 CD14 LYZ CST3 S100A8 S100A9 FCGR3A FCER1A NKG7 GNLY GZMB"
).split()

Split = tuple[str, MuData, MuData]


def splits(seed: int) -> Iterator[Split]:
    """Yield reference and query, with measured values of all modalities in both."""

    def parted(mdata: MuData, in_query: np.ndarray) -> tuple[MuData, MuData]:
        reference, query = mdata[~in_query].copy(), mdata[in_query].copy()
        preprocess(reference)
        preprocess(query, reference=reference)
        return reference, query

    def at_random(mdata: MuData) -> np.ndarray:
        return np.random.default_rng(seed).permutation(mdata.n_obs) < 0.3 * mdata.n_obs

    mdata = clipdim.datasets.pbmc10k()
    yield "pbmc10k, random 30 %", *parted(mdata, at_random(mdata))
    mdata = clipdim.datasets.bmcite()
    yield "bmcite, random 30 %", *parted(mdata, at_random(mdata))
    first, second = mdata.obs["donor"].cat.categories
    yield "bmcite, donor 1 to 2", *parted(mdata, (mdata.obs["donor"] == second).to_numpy())
    yield "bmcite, donor 2 to 1", *parted(mdata, (mdata.obs["donor"] == first).to_numpy())
    if os.environ.get(VARIABLE):
        mdata = two_runs()
        for run, other in (("10k", "5k"), ("5k", "10k")):
            yield f"two runs, {run} to {other}", *parted(mdata, (mdata.obs["batch"] == f"pbmc{other}").to_numpy())


def correlations(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pearson correlation of each feature."""
    u, v = (values - values.mean(axis=0) for values in (predicted.astype(np.float64), truth.astype(np.float64)))
    return (u * v).sum(axis=0) / np.sqrt((u**2).sum(axis=0) * (v**2).sum(axis=0))


def timed(function: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """Return what a function returns, and its seconds of processor time."""
    start = time.process_time()
    return function(), time.process_time() - start


def compare(reference: MuData, query: MuData, modality: str, features: list[str]) -> dict[str, float]:
    """Scores of one fitted reference and its query."""
    source = "rna" if modality == "prot" else "prot"
    use_rep = reference.uns["clipdim"]["params"]["use_rep"][source]
    inputs = [
        np.asarray(adata.X if use_rep == "X" else adata.obsm[use_rep]) for adata in (reference[source], query[source])
    ]
    known, truth = (dense(mdata[modality][:, features].X) for mdata in (reference, query))
    alone = MuData({source: query[source].copy()})
    start = time.process_time()
    clipdim.tl.embed(alone, reference, device="cpu")
    imputed = clipdim.tl.impute(alone, reference, modality, features=features)
    seconds = {"clipdim": time.process_time() - start}
    found = {"clipdim": correlations(imputed.X, truth)}
    ridge, seconds["ridge"] = timed(lambda: RidgeCV(np.logspace(-2, 5, 15)).fit(inputs[0], known).predict(inputs[1]))
    found["ridge"] = correlations(ridge, truth)
    tried = []
    for k in NEIGHBOURS:
        knn, seconds["k-NN"] = timed(lambda k=k: KNeighborsRegressor(k).fit(inputs[0], known).predict(inputs[1]))
        tried.append(correlations(knn, truth))
    found["k-NN"] = max(tried, key=np.nanmean)
    plain = np.fmax(found["ridge"], found["k-NN"])
    return {
        **{name: np.nanmean(values) for name, values in found.items()},
        "at least equal to ridge": np.sum(found["clipdim"] >= found["ridge"] - EQUAL),
        "at least equal to k-NN": np.sum(found["clipdim"] >= found["k-NN"] - EQUAL),
        "at least equal to both": np.sum(found["clipdim"] >= plain - EQUAL),
        "worst": np.nanmin(found["clipdim"] - plain),
        "measured": imputed.var["correlation"].mean(),
        "features": len(features),
        **{f"seconds, {name}": value for name, value in seconds.items()},
    }


def measure(seeds: list[int]) -> pd.DataFrame:
    """One row for each case and seed."""
    rows = []
    for seed in seeds:
        for case, reference, query in splits(seed):
            clipdim.tl.fit(reference, holdout=HOLDOUT, random_state=seed, progress=False, device="cpu")
            proteins = reference["prot"].var_names.tolist()
            rows.append({"case": case, **compare(reference, query, "prot", proteins)})
            if case.startswith("pbmc10k"):
                markers = [name for name in MARKERS if name in reference["rna"].var_names]
                rows.append({"case": f"{case}: genes", **compare(reference, query, "rna", markers)})
            print(pd.DataFrame(rows[-2:]).to_string(), flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    """Write the table."""
    arguments = command.parser(__doc__, seeds=[0, 1, 2]).parse_args()
    command.quiet_on_one_thread()
    means = measure(arguments.seeds).groupby("case", sort=False).mean()
    shown = pd.DataFrame({"query": means.index, "features": means["features"].map("{:.0f}".format)})
    for name in ("clipdim", "ridge", "k-NN"):
        shown[f"correlation, {name}"] = means[name].map("{:.3f}".format).to_numpy()
    for name in ("ridge", "k-NN", "both"):
        shown[f"at least equal to {name}"] = means[f"at least equal to {name}"].map("{:.1f}".format).to_numpy()
    shown["worst feature"] = means["worst"].map("{:+.3f}".format).to_numpy()
    shown["accuracy as reported"] = means["measured"].map("{:.3f}".format).to_numpy()
    for name in ("clipdim", "ridge", "k-NN"):
        shown[f"seconds, {name}"] = means[f"seconds, {name}"].map("{:.1f}".format).to_numpy()
    note = (
        f"Mean over seeds {', '.join(map(str, arguments.seeds))} of the Pearson correlation on the query, mean over "
        f"features; number of features whose correlation is at least that of the plain decoder, less {EQUAL}; "
        "difference of the worst feature from the better plain decoder; mean correlation that tl.impute reports, from "
        "held-out cells of the reference; seconds of one thread, without the fit"
    )
    tables.write(Path(__file__).with_name("imputation.md"), shown, note=note)


if __name__ == "__main__":
    main()
