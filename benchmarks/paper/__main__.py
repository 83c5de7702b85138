"""
The experiments of Gui, Ma and Ma (NeurIPS 2025), run with clipdim: figures, and one table of claims and verdicts.

``make paper`` writes them to ``docs/paper/``, ``make paper QUICK=1`` those of far smaller experiments to
``docs/paper/quick/``; ``python -m benchmarks.paper --only speed`` runs one and keeps the rows of the others. Finished
fits of the sweeps lie in ``docs/paper/cache/``, so that an interrupted run goes on; remove it (``make clean``) after
changing what a fit computes.
"""

import time
from pathlib import Path

import matplotlib

from benchmarks.paper import citeseq, claims, narrow, opening, shared_dimension, speed, synthetic
from benchmarks.paper.settings import FOLDER, Settings
from benchmarks.shared import command, machine

# synthetic goes on with the fits that speed timed
EXPERIMENTS = {one.NAME: one for one in (opening, speed, synthetic, shared_dimension, narrow, citeseq)}
SCALES = {
    True: "Quick run: one fit of each kind, fewer output dimensions, fewer epochs of the paper's recipe.",
    False: "Synthetic: means of 5 fits (default recipe, cosine), 3 (inner) and 1 (the paper's recipe); of citeseq 3, 1 "
    "and 1; shared_dimension and narrow 3 fits of each kind, opening 1.",
}


def main() -> None:
    """Run the experiments, and write figures and table."""
    parser = command.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="far smaller experiments, in minutes")
    parser.add_argument("--only", nargs="+", choices=list(EXPERIMENTS), default=list(EXPERIMENTS), metavar="NAME")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"default: {FOLDER}, or quick/ in it")
    arguments = parser.parse_args()
    matplotlib.use("Agg")
    command.quiet()
    out = arguments.out or (FOLDER / "quick" if arguments.quick else FOLDER)
    out.mkdir(parents=True, exist_ok=True)
    settings = Settings(quick=arguments.quick, out=out)
    start = time.perf_counter()
    for name in arguments.only:
        started = time.perf_counter()
        print(f"{name} ...", flush=True)
        found = EXPERIMENTS[name].run(settings)
        claims.store(out, name, found, scale=SCALES[arguments.quick], machine=machine.describe())
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
        for claim in found:
            print(f"  {claim.verdict:13} {claim.claim}", flush=True)
    claims.write_table(out, list(EXPERIMENTS))
    print(f"{out / 'table.md'}: {time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
