"""
What ``tl.update`` gains over ``tl.embed``, and what it costs the reference's cells: ``update.md``.

``python -m benchmarks.atlas.update``. One donor of bmcite (or one 10x run, see ``samples.py``) is the new sample, the
other one the reference. Held-out cells of either find their partner among the held-out cells of the same sample; labels
go from the reference's training cells to held-out cells of either by 15 neighbours, all in the same embedding. "Fit
anew" is ``tl.fit`` on both samples together, which holds out other cells. Mean over seeds and over the two ways round.
"""

import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from mudata import MuData

import clipdim
from benchmarks.atlas.samples import SAMPLES, splits
from benchmarks.shared import command, scores, tables

SHIFTS = (0.01, 0.05, 0.2)
UPDATED = "clipdim_updated"


def matching(mdata: MuData, key: str, cells: np.ndarray) -> float:
    """Top-0.5 % matching, the mean of both directions."""
    names = mdata.obs_names[cells]
    x, y = (pd.DataFrame(a.obsm[f"X_{key}"], index=a.obs_names).loc[names].to_numpy() for a in mdata.mod.values())
    return scores.matching(x, y)["top-0.5 %"]


def measures(query: MuData, reference: MuData, key: str, splits: tuple[pd.Series, pd.Series], label: str) -> dict:
    """Score matching and accuracy of held-out cells of the new sample and of the reference."""
    of_query, of_reference = (split.astype(str).to_numpy() for split in splits)
    known = (of_reference == "train") & reference.obs[label].notna().to_numpy()
    points, labels = reference.obsm[f"X_{key}"][known], reference.obs[label].astype(str).to_numpy()[known]
    found = {}
    for which, mdata, split in (("new", query, of_query), ("old", reference, of_reference)):
        held_out = split == "held-out"
        found[f"top-0.5 %, {which} cells"] = matching(mdata, key, held_out)
        asked = held_out & mdata.obs[label].notna().to_numpy()
        new, truth = mdata.obsm[f"X_{key}"][asked], mdata.obs[label].astype(str).to_numpy()[asked]
        found[f"accuracy, {which} cells"] = scores.knn_accuracy(points, labels, new=new, truth=truth)
    return found


def together(query: MuData, reference: MuData) -> MuData:
    """Both samples, preprocessed as they are; a column says which is which."""
    both = MuData({name: anndata.concat([reference[name], query[name]]) for name in reference.mod})
    both.obs["new"] = both.obs_names.isin(query.obs_names)
    return both


def compare(sample: str, seeds: list[int]) -> pd.DataFrame:
    """One row for each way, new sample and seed."""
    load, column, labels = SAMPLES[sample]
    label, rows = labels[-1], []
    for name, reference, query in splits(load(), column):
        for seed in seeds:
            common = {"data": sample, "new": name, "seed": seed}

            def fit(mdata: MuData, seed: int = seed) -> float:
                start = time.perf_counter()
                clipdim.tl.fit(mdata, random_state=seed, progress=False)
                return time.perf_counter() - start

            fit(reference)
            found = []
            for max_shift in SHIFTS:
                start = time.perf_counter()
                clipdim.tl.update(query, reference, max_shift=max_shift, random_state=seed, progress=False)
                seconds = time.perf_counter() - start
                reference.uns.pop(UPDATED, None)
                clipdim.tl.embed(reference, query, key=UPDATED)
                split = (query.obs[f"{UPDATED}_split"], reference.obs["clipdim_split"])
                way = {"way": f"tl.update, max_shift={max_shift:g}", "seconds": seconds}
                way["shift"] = query.uns[UPDATED]["shift"]["mean"].max()
                found.append({**common, **way, **measures(query, reference, UPDATED, split, label)})
            clipdim.tl.embed(query, reference)
            way = {"way": "tl.embed", "seconds": 0, "shift": 0}
            rows += [{**common, **way, **measures(query, reference, "clipdim", split, label)}, *found]
            both = together(query, reference)
            seconds = fit(both)
            new = both.obs["new"].to_numpy()
            parts = [both[new].copy(), both[~new].copy()]
            for part, source in zip(parts, (query, reference), strict=True):
                part.obs[label] = source.obs[label].reindex(part.obs_names)
            split = tuple(part.obs["clipdim_split"] for part in parts)
            way = {"way": "fit anew", "seconds": seconds, "shift": np.nan}
            rows.append({**common, **way, **measures(*parts, "clipdim", split, label)})
            print(sample, name, seed, "done", flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    """Write the table."""
    parser = command.parser(__doc__, seeds=[0, 1, 2])
    parser.add_argument("--samples", nargs="+", default=list(SAMPLES), choices=list(SAMPLES))
    arguments = parser.parse_args()
    command.quiet_on_one_thread()
    found = pd.concat([compare(sample, arguments.seeds) for sample in arguments.samples])
    means = found.drop(columns=["new", "seed"]).groupby(["data", "way"], sort=False).mean().reset_index()
    for name in means.select_dtypes("number"):
        means[name] = [tables.number(x, 1 if name == "seconds" else 3) for x in means[name]]
    columns = ["data", "way", *(c for c in means if c not in ("data", "way", "shift", "seconds")), "shift", "seconds"]
    note = f"Mean over {len(arguments.seeds)} seeds and both ways round, one thread"
    tables.write(Path(__file__).with_name("update.md"), means[columns], note=note)


if __name__ == "__main__":
    main()
