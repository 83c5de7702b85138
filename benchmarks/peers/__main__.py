"""
clipdim beside other tools, on the same cells and splits: ``make peers``, or ``python -m benchmarks.peers --help``.

Each fit is a process of its own. A peer gets the known cells (70 %) with its authors' settings and preprocessing, and
embeds the new ones; those that cannot are fitted on all cells, without labels. What is timed is the fit, not the
preprocessing; on more than one thread nothing else is measured. Fits that ``fits.csv`` has are not run again,
unless ``--anew`` says so. A peer that is not installed or fails is shown with its error. ``--quick`` takes 1,500 cells,
one seed and few epochs of the slow peers, to see that everything runs, as many at a time as there are cores: its
numbers, in ``quick``, say nothing of how good or fast a peer is.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice, product

from benchmarks.peers import clusters, report, run, scib
from benchmarks.peers.data import DATA, readable
from benchmarks.peers.peer import MODULES
from benchmarks.shared import command, machine


def main() -> None:
    """Run what is missing, write tables and figures."""
    parser = command.parser(__doc__, seeds=[0, 1, 2])
    parser.add_argument("--data", nargs="+", choices=list(DATA), help="all that can be read; with --quick the first")
    parser.add_argument("--peers", nargs="+", default=list(MODULES), choices=list(MODULES))
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--jobs", type=int, default=1, help="fits at a time; wall times of two threads need all cores")
    parser.add_argument("--timeout", type=float, default=7200, help="seconds after which a fit is given up")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--anew", action="store_true", help="run again what is there")
    parser.add_argument("--report", action="store_true", help="tables and figures of what is there, nothing is run")
    parser.add_argument("--no-report", action="store_true", help="only run fits")
    arguments = parser.parse_args()
    results = run.Results(quick=arguments.quick)
    rows = []
    if not arguments.report:
        seeds = arguments.seeds[:1] if arguments.quick else arguments.seeds
        names = arguments.data or islice(filter(readable, DATA), 1 if arguments.quick else None)
        chosen = product(seeds, arguments.threads, names, arguments.peers)
        rows = [{"data": data, "peer": peer, "seed": seed, "threads": threads} for seed, threads, data, peer in chosen]
        rows = [row for row in rows if arguments.anew or arguments.quick or not results.has(row)]
        # the one whose time another is stopped at goes first
        for first in (True, False):
            of_stage = [row for row in rows if (row["peer"] == "clipdim") == first]
            with ThreadPoolExecutor(machine.cores() if arguments.quick else arguments.jobs) as pool:
                list(pool.map(partial(run.fit, results=results, timeout=arguments.timeout), of_stage))
    if not arguments.no_report:
        clusters.score(results)
        scib.score(results)
        report.write(results)
    # a peer that is not installed is only named
    failed = [row for row in rows if not results.has(row) and not results.outcome(row).startswith("not installed")]
    if failed:
        sys.exit("\n".join(f"{row} failed: {results.outcome(row)}" for row in failed))


if __name__ == "__main__":
    main()
