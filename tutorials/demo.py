"""The main job on one data set: preprocess, fit, measure, plot (``make demo``, ``make demo DATASET=bmcite``)."""

import argparse
import time
import warnings
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import scanpy as sc
import seaborn as sns
from mudata import MuData

import clipdim

HELD_OUT_SHARE = 0.3
LABELS = {"pbmc10k": ["cell_type"], "bmcite": ["celltype_l1", "celltype_l2"], "simulated": ["cell_type"]}


def load(dataset: str) -> tuple[str, MuData]:
    """Return the data set, or simulated cells under their own name when a download is impossible."""
    if dataset != "simulated":
        try:
            return dataset, getattr(clipdim.datasets, dataset)()
        except clipdim.datasets.DownloadError as error:
            print(f"{error}\n\nGoing on with simulated cells.\n")
    return "simulated", clipdim.datasets.simulate_citeseq(n_cells=6_000, n_shared=5)


def preprocess(mdata: MuData) -> None:
    """RNA and protein, or the protein alone where the RNA comes as a latent representation."""
    if "X_scVI" in mdata["rna"].obsm:
        clipdim.pp.protein(mdata)
    else:
        clipdim.pp.citeseq(mdata)


def measure(mdata: MuData, label_keys: list[str]) -> dict[str, str]:
    """Measures of a fitted MuData on its held-out cells, as lines of the table."""
    lines = {}
    for label_key in label_keys:
        scores = clipdim.tl.classify(mdata, label_key).query("split == 'held-out' and method == 'joint k-NN'")
        overall, balanced = (scores.loc[scores["kind"] == kind, "accuracy"].item() for kind in ("overall", "balanced"))
        lines[f"15-NN accuracy, {label_key}"] = f"{overall:.3f} (balanced {balanced:.3f})"
    matching = clipdim.tl.match(mdata).query("split == 'held-out'").set_index(["query", "target"])
    for query, target in matching.index:
        lines[f"top-0.5 % matching, {query} to {target}"] = f"{matching.loc[(query, target), 'top_alpha']:.3f}"
    lines["FOSCTTM"] = f"{matching['foscttm'].mean():.3f}"
    shared = clipdim.tl.shared_dimension(mdata, progress=False).iloc[0]
    lines["shared dimensions"] = f"{shared['at_least']} to {shared['at_most']}, best estimate {shared['estimate']:.1f}"
    lines["information"] = f"{shared['information']:.2f} of at most {shared['information_ceiling']:.2f} nats"
    lines["temperature"] = f"{mdata.uns['clipdim']['temperature']:.3f}"
    return lines


def overview(mdata: MuData, label_key: str, path: Path) -> Path:
    """Save one figure with the UMAP, the similarities and what is shared."""
    # the exact search: the approximate one compiles itself for a minute when first used
    sc.pp.neighbors(mdata, use_rep="X_clipdim", transformer="sklearn")
    sc.tl.umap(mdata)
    figure, axes = plt.subplots(1, 3, figsize=(16, 4.5), layout="constrained", width_ratios=[1.2, 1, 1])
    title, colours = "UMAP of the joint embedding", sns.color_palette("colorblind").as_hex()
    sc.pl.umap(mdata, color=label_key, palette=colours, ax=axes[0], show=False, frameon=False, title=title)
    clipdim.pl.similarity(mdata, ax=axes[1])
    clipdim.pl.shared_dimension(mdata, ax=axes[2])
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path


def plot(mdata: MuData, label_keys: list[str], folder: Path) -> list[Path]:
    """Save every figure as a PNG."""
    figures = {name: (getattr(clipdim.pl, name), {}) for name in ("history", "temperature", "similarity", "norms")}
    figures |= {name: (getattr(clipdim.pl, name), {}) for name in ("shared_dimension", "intrinsic_dimension")}
    for label_key in label_keys:
        figures[f"accuracy_{label_key}"] = (clipdim.pl.accuracy, {"label_key": label_key})
        figures[f"confusion_{label_key}"] = (clipdim.pl.confusion, {"label_key": label_key})
    paths = [overview(mdata, label_keys[0], folder / "overview.png")]
    for name, (draw, arguments) in figures.items():
        axes = draw(mdata, **arguments)
        figure = (axes.flat[0] if hasattr(axes, "flat") else axes).figure
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=150)
        plt.close(figure)
    return paths


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", nargs="?", default="pbmc10k", choices=list(LABELS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    arguments = parser.parse_args()
    mpl.use("Agg")

    start = time.perf_counter()
    dataset, mdata = load(arguments.dataset)
    preprocess(mdata)
    ready = time.perf_counter()
    clipdim.tl.fit(mdata, holdout=HELD_OUT_SHARE, random_state=arguments.seed)
    fitted = time.perf_counter()
    lines = measure(mdata, LABELS[dataset])
    folder = arguments.folder / dataset
    folder.mkdir(parents=True, exist_ok=True)
    paths = plot(mdata, LABELS[dataset], folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        mdata.write(arguments.folder / f"{dataset}.h5mu")
    lines["seconds of tl.fit"] = f"{fitted - ready:.1f}"
    lines["seconds in all"] = f"{time.perf_counter() - start:.1f} (loading and preprocessing {ready - start:.1f})"

    n_held_out = int((mdata.obs["clipdim_split"] == "held-out").sum())
    title = f"{dataset}: {mdata.n_obs:,} cells, {n_held_out:,} of them held out, seed {arguments.seed}"
    print(f"\n{title}\n{pd.Series(lines).to_string()}")
    print(f"\nwrote {arguments.folder / dataset}.h5mu and {len(paths)} figures in {folder}/")


if __name__ == "__main__":
    main()
