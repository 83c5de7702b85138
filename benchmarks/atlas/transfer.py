"""
How well ``tl.transfer_labels`` labels a donor or run that the reference has not seen, and how true its confidence is.

``python -m benchmarks.atlas.transfer`` writes ``transfer.md`` and the figure of the documentation. The new cells have
both modalities, or one of them only. Accuracy, calibration error and confidence are of the best label of every cell;
cells whose confidence is below the default threshold count as unassigned. Mean over seeds.
"""

import time
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from mudata import MuData

import clipdim
from benchmarks.atlas.samples import SAMPLES, splits
from benchmarks.shared import command, figures, tables
from clipdim.evaluation import reliability

MIN_CONFIDENCE = 0.5
MODALITIES = {"both": None, "RNA": "rna", "protein": "prot"}
NAMES = {"celltype_l1": "5 types", "celltype_l2": "27 types", "cell_type": "types"}


def measure(query: MuData, reference: MuData, label_key: str, modalities: str | None, seed: int) -> dict[str, float]:
    """Transfer one label and compare with the truth."""
    start = time.perf_counter()
    clipdim.tl.transfer_labels(
        query,
        reference,
        label_key,
        modalities=modalities,
        min_confidence=0,
        key_added="transferred",
        random_state=seed,
    )
    seconds = time.perf_counter() - start
    scored = query.obs[label_key].notna()
    confidence = query.obs["transferred_confidence"][scored].to_numpy(dtype=np.float64)
    right = (query.obs["transferred"].astype(str) == query.obs[label_key].astype(str))[scored].to_numpy()
    assigned = confidence >= MIN_CONFIDENCE
    return {
        "accuracy": right.mean(),
        "mean confidence": confidence.mean(),
        "calibration error": reliability(confidence, right).expected_error,
        "Brier score": np.mean((confidence - right) ** 2),
        "unassigned": 1 - assigned.mean(),
        "accuracy of the assigned": right[assigned].mean(),
        "seconds": seconds,
    }


def compare(sample: str, seeds: list[int]) -> pd.DataFrame:
    """One row for each new sample, label, choice of modalities and seed; the first seed's curves are drawn."""
    load, column, label_keys = SAMPLES[sample]
    rows = []
    for name, reference, query in splits(load(), column):
        for seed in seeds:
            clipdim.tl.fit(reference, random_state=seed, progress=False)
            clipdim.tl.embed(query, reference)
            for label_key in label_keys:
                for which, modalities in MODALITIES.items():
                    scores = measure(query, reference, label_key, modalities, seed)
                    keys = {"new sample": f"{sample}: {name}", "labels": NAMES[label_key], "modalities": which}
                    rows.append({**keys, "seed": seed, **scores})
        print(sample, name, "done", flush=True)
    return pd.DataFrame(rows)


def draw() -> None:
    """Draw the fine cell types of bmcite's second donor from both modalities, and from either."""
    _, reference, query = list(splits(clipdim.datasets.bmcite(), "donor"))[-1]
    clipdim.tl.fit(reference, progress=False)
    clipdim.tl.embed(query, reference)
    figure, axes = plt.subplots(1, 3, figsize=(12, 5.4), layout="constrained")
    for ax, (which, modalities) in zip(axes, MODALITIES.items(), strict=True):
        clipdim.tl.transfer_labels(
            query, reference, "celltype_l2", modalities=modalities, min_confidence=0, key_added="transferred"
        )
        clipdim.pl.reliability(query, "celltype_l2", ax=ax)
        names = {"both": "RNA and protein"}
        ax.set_title(names.get(which, f"{which} only"), pad=62, loc="left")
    figures.save(figure, "reliability", dpi=150, bbox_inches="tight")


def main() -> None:
    """Write the table and the figure."""
    parser = command.parser(__doc__, seeds=[0, 1, 2])
    parser.add_argument("--samples", nargs="+", default=list(SAMPLES), choices=list(SAMPLES))
    arguments = parser.parse_args()
    mpl.use("Agg")
    command.quiet_on_one_thread()
    scores = pd.concat([compare(sample, arguments.seeds) for sample in arguments.samples])
    means = scores.drop(columns="seed").groupby(["new sample", "labels", "modalities"], sort=False).mean().reset_index()
    for column in means.select_dtypes("number"):
        means[column] = [tables.number(x, 2 if column == "seconds" else 3) for x in means[column]]
    note = f"Mean over {len(arguments.seeds)} seeds, one thread; unassigned below a confidence of {MIN_CONFIDENCE}"
    tables.write(Path(__file__).with_name("transfer.md"), means, note=note)
    draw()


if __name__ == "__main__":
    main()
