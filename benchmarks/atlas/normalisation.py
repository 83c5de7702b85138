"""
How far new cells lie from the reference's mean in its own units, with the same normalisation and with others.

``python -m benchmarks.atlas.normalisation`` writes ``normalisation.md``: the root mean square over cells and features
of ``(x - mean) / scale``, mean and scale being those of the reference's cells, which ``tl.embed`` judges new cells by.
The reference is 70 % of the cells of the 10k run of ``two_runs.py``. ``X`` of RNA is 400 of its highly variable genes.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from benchmarks.shared import command, tables
from benchmarks.shared.data import dense, preprocess
from benchmarks.shared.two_runs import two_runs

SHARE_OF_REFERENCE = 0.7
N_GENES = 400
TYPES = ("B", "CD14 Mono", "CD4 T", "NK")


def spread(reference: np.ndarray, values: np.ndarray) -> float:
    """Root mean square of the values in the units of the reference's features."""
    mean, scale = reference.mean(axis=0), reference.std(axis=0)
    return float(np.sqrt(np.mean(np.square((values - mean) / np.where(scale > 0, scale, 1)))))


def values_of(adata: AnnData, features: pd.Index, layer: str | None = None) -> np.ndarray:
    """Values of some features, (cells x features)."""
    part = adata[:, features]
    return dense(part.X if layer is None else part.layers[layer], np.float64)


def other_normalisations(name: str, adata: AnnData, features: pd.Index) -> Iterator[tuple[str, np.ndarray]]:
    """Values of new cells that were not preprocessed as the reference's."""
    counts, values = values_of(adata, features, "counts"), values_of(adata, features)
    yield "raw counts", counts
    yield "log(1 + count)", np.log1p(counts)
    if name == "rna":
        totals = np.asarray(adata.layers["counts"].sum(axis=1))
        yield "log(1 + count per 10,000)", np.log1p(1e4 * counts / totals)
    yield "centred and scaled", (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-6)


def measure() -> pd.DataFrame:
    """One row for each sample, a column for each representation."""
    cells = two_runs()
    types = cells.obs["cell_type"].astype(str).to_numpy()
    of_10k = (cells.obs["batch"] == "pbmc10k").to_numpy()
    kept = of_10k & (np.random.default_rng(0).random(cells.n_obs) < SHARE_OF_REFERENCE)
    samples = {"cells held out": (of_10k & ~kept, kept), "the other run": (~of_10k, kept)}
    for name in TYPES:
        samples[f"the other run, only {name}"] = (~of_10k & (types == name), kept)
        samples[f"the other run, only {name}, unknown to the reference"] = (
            ~of_10k & (types == name),
            kept & (types != name),
        )
    table = {}
    for sample, (new, known) in samples.items():
        query, reference = cells[new].copy(), cells[known].copy()
        preprocess(reference)
        preprocess(query, reference=reference)
        table[sample] = row = {}
        for name, kind in (("rna", "RNA"), ("prot", "protein")):
            row[f"{kind}, `X`"] = spread(
                *(values_of(m[name], features_of(reference, name)) for m in (reference, query))
            )
            row[f"{kind}, `X_pca`"] = spread(reference[name].obsm["X_pca"], query[name].obsm["X_pca"])
            if "only" in sample:
                continue
            features = features_of(reference, name)
            for what, values in other_normalisations(name, query[name], features):
                others = table.setdefault(f"{sample}: {what}", {})
                others[f"{kind}, `X`"] = spread(values_of(reference[name], features), values)
    return pd.DataFrame(table).T


def features_of(reference: MuData, name: str) -> pd.Index:
    """All the proteins, or some of the highly variable genes."""
    if name == "prot":
        return reference[name].var_names
    genes = reference[name].var_names[reference[name].var["highly_variable"]]
    return genes[np.sort(np.random.default_rng(0).permutation(len(genes))[:N_GENES])]


def main() -> None:
    """Measure and write the table."""
    command.parser(__doc__).parse_args()
    command.quiet()
    table = measure().map(lambda x: "" if np.isnan(x) else f"{x:.3g}")
    note = "`python -m benchmarks.atlas.normalisation`"
    tables.write(Path(__file__).with_name("normalisation.md"), table.rename_axis("new cells").reset_index(), note=note)


if __name__ == "__main__":
    main()
