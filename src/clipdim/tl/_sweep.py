"""``tl.sweep``: fits over output dimensions and repeats."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from joblib import cpu_count  # type: ignore[import-untyped]
from mudata import MuData
from tqdm.auto import tqdm

from clipdim import _check, _keys, _mudata
from clipdim._warn import warn
from clipdim.contrast import Recipe
from clipdim.fitting.devices import resolve_device
from clipdim.fitting.settings import check_holdout, check_key_added, choose_recipe, warn_of_one_dimension
from clipdim.tl._sweeping.file import SweepFile, check_path
from clipdim.tl._sweeping.plan import Plan, Record, run_fits

MAX_OUT_DIM = 4_096
_COLUMNS = ["measure", "modality", "label_key", "split", "value"]


def sweep(
    mdata: MuData,
    out_dims: Sequence[int] | np.ndarray,
    *,
    label_keys: Sequence[str] = (),
    n_repeats: int = 5,
    modalities: Sequence[str] | None = None,
    use_rep: str | Mapping[str, str] | None = None,
    batch_key: str | Sequence[str] | None = None,
    similarity: Literal["cosine", "inner"] | None = None,
    recipe: str | Recipe = "default",
    max_epochs: int | None = None,
    holdout: float = 0.1,
    n_jobs: int | None = None,
    device: str | torch.device = "auto",
    random_state: int = 0,
    key_added: str = _keys.SWEEP,
    path: str | os.PathLike | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """
    Fit with several output dimensions, several times each, and measure every fit: the paper's figure.

    Each fit has a split and a seed of its own, which follow from ``random_state``, ``out_dim`` and the number of the
    repeat only: ``tl.fit(mdata, out_dim, random_state=...)`` with the one in the table repeats it. On a CPU the fits
    run in parallel, one thread each; on a GPU one after another. With a ``path``, finished fits outlive a crash: the
    same call goes on where it stopped, and with more ``out_dims`` or repeats it adds to what is there. Fits that failed
    are tried again. Ctrl-C, or the stop button of a notebook, keeps what is finished.

    Parameters
    ----------
    mdata
        As for :func:`clipdim.tl.fit`. Only the representations, labels and batches go to the other processes.
    out_dims
        Output dimensions, ascending, from 1 to 4,096.
    label_keys
        Columns of ``.obs`` with labels, as cell types, to predict as :func:`clipdim.tl.classify` does.
    n_repeats
        Fits for each output dimension.
    modalities, use_rep, batch_key, similarity, recipe, max_epochs, holdout
        As for :func:`clipdim.tl.fit`.
    n_jobs
        Processes; by default one for each core, and one on a GPU. 1 fits in this process.
    device
        ``"auto"`` (CUDA, else MPS, else CPU) or the name of a torch device.
    random_state
        Seed of the seeds.
    key_added
        Name under which the result is stored.
    path
        File of finished fits, made if it does not exist.
    progress
        Show a progress bar with the number of finished and failed fits.

    Returns
    -------
    The table, one row for each value: ``out_dim``, ``repeat`` (from 0), ``random_state`` (of the fit), ``measure``,
    ``modality`` (or a direction, ``"rna to prot"``, or ``"joint"``), ``label_key``, ``split`` (``"train"`` or
    ``"held-out"``), ``value``; ``""`` where something does not apply. Measures are ``intrinsic_dimension``,
    ``temperature`` and ``loss`` after training, ``top_alpha`` (0.5 % of the cells), ``recall_at_1``, ``foscttm``;
    for each label ``accuracy`` and ``balanced_accuracy`` (15-NN of the joint embedding), ``label_match`` and
    ``balanced_label_match`` (across modalities); and ``seconds`` of the fit. Written is

    ``mdata.uns[key_added]`` : dict
        ``table``; ``failures`` (DataFrame: ``out_dim``, ``repeat``, ``random_state``, ``error``); ``settings``.

    Raises
    ------
    TypeError
        If ``mdata`` is not a MuData, or a number is not an integer.
    KeyError
        If a modality, representation or column does not exist.
    ValueError
        If an argument or a representation cannot be used, or the file at ``path`` holds a sweep of other data or with
        other settings. Nothing is fitted or written in all these cases.

    Warns
    -----
    UserWarning
        If labels are missing (those cells are left out of the classification only), fits failed, or the sweep was
        interrupted.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, section 4 (accuracy and intrinsic dimension against the output dimension).

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.linear(n_cells=300)
    >>> table = clipdim.tl.sweep(mdata, [2, 8], n_repeats=2, max_epochs=2, n_jobs=1, progress=False)
    >>> len(table.query("measure == 'temperature'"))
    4
    """
    mdata = _mudata.require_mudata(mdata)
    dims, seed, holdout = _check_out_dims(out_dims), _check.seed(random_state), check_holdout(holdout)
    n_repeats = _check.integer("n_repeats", n_repeats, least=1, hint="5 show how much the fits differ")
    _mudata.refuse_taken(mdata, check_key_added(key_added))
    chosen = choose_recipe(recipe, batches=batch_key is not None, similarity=similarity, max_epochs=max_epochs)
    torch_device = resolve_device(device)
    n_processes = _choose_jobs(n_jobs, torch_device)
    file_path = None if path is None else check_path(path)
    data = _mudata.read_inputs(
        mdata,
        modalities=modalities,
        use_rep=use_rep,
        batch_key=batch_key,
        holdout=holdout,
        norm_fraction=chosen.norm_share,
        random_state=seed,
    )
    keys = [label_keys] if isinstance(label_keys, str) else list(dict.fromkeys(label_keys))
    plan = Plan(
        data=data,
        labels={label_key: _paired_labels(mdata, label_key, data.rows) for label_key in keys},
        recipe=chosen,
        device=str(torch_device),
        random_state=seed,
    )
    file = None if file_path is None else SweepFile(file_path, plan.settings(), plan.fingerprint())
    warn_of_one_dimension(dims[0], chosen, "leave it out or pass similarity='inner'")

    wanted = [(out_dim, repeat) for repeat in range(n_repeats) for out_dim in dims]
    records = _run(plan, wanted, n_processes, file=file, progress=progress)
    table, failures = _tables(records)
    if len(failures):
        msg = (
            f"{len(failures)} of {len(records)} fits failed, the first with {failures['error'].iloc[0]}; "
            f"see mdata.uns[{key_added!r}]['failures']"
        )
        warn(msg)
    settings = {
        **plan.settings(),
        "out_dims": np.array(dims),
        "n_repeats": n_repeats,
        "modalities": np.array(list(data.values), dtype=object),
        "use_rep": data.use_rep,
        "label_keys": np.array(keys, dtype=object),
    }
    _mudata.write_sweep(mdata, _mudata.Sweep(settings, table, failures), key=key_added)
    return table.copy()


def _check_out_dims(out_dims: Any) -> list[int]:
    """Return the output dimensions as integers if they are in range and ascend."""
    example = "for instance out_dims=[2, 4, 8, 16, 32]"
    if isinstance(out_dims, str | Mapping) or np.ndim(out_dims) != 1:
        msg = f"out_dims must be a sequence of integers, {example}; got {out_dims!r}"
        raise TypeError(msg)
    dims = [_check.integer("each of out_dims", one, least=1, most=MAX_OUT_DIM, hint=example) for one in out_dims]
    if not dims:
        msg = f"out_dims is empty; name at least one output dimension, {example}"
        raise ValueError(msg)
    if dims != sorted(set(dims)):
        what = "in ascending order" if len(set(dims)) == len(dims) else "different from each other"
        msg = f"out_dims must be {what}, got {dims}; pass out_dims={sorted(set(dims))}"
        raise ValueError(msg)
    return dims


def _choose_jobs(n_jobs: int | None, device: torch.device) -> int:
    """Return how many processes to fit in: as many as there are cores, or one on a GPU."""
    if n_jobs is None:
        return int(cpu_count()) if device.type == "cpu" else 1
    n = _check.integer("n_jobs", n_jobs, least=1, hint=f"None is all {cpu_count()} cores")
    if n > 1 and device.type != "cpu":
        msg = f"n_jobs={n}, but on {str(device)!r} fits run one after another; leave it out, or pass device='cpu'"
        raise ValueError(msg)
    return n


def _paired_labels(mdata: MuData, label_key: str, rows: np.ndarray) -> pd.Series:
    """Labels of the cells, of which those that have two modalities have two classes at least."""
    labels, paired = _mudata.class_labels(mdata, label_key), (rows >= 0).sum(axis=1) > 1
    n_missing = int(labels[paired].isna().sum())
    if (n_classes := labels[paired].nunique()) < 2:
        msg = (
            f"label_keys: {label_key!r} has {n_classes} classes among the {int(paired.sum()) - n_missing} cells that "
            "have one; at least 2 are needed, leave it out"
        )
        raise ValueError(msg)
    if n_missing:
        msg = (
            f"{n_missing} of {int(paired.sum())} cells have no {label_key!r} and are left out of its classification "
            f"only; mdata.obs[{label_key!r}] names the others"
        )
        warn(msg)
    return labels


def _run(
    plan: Plan, wanted: list[tuple[int, int]], n_jobs: int, *, file: SweepFile | None, progress: bool
) -> list[Record]:
    """Run the wanted fits that no file holds, each of which goes to the file at once; return the records of all."""
    records: dict[tuple[int, int], Record] = {}
    if file is not None:
        records = {(one["out_dim"], one["repeat"]): one for one in file.records if "error" not in one}
        file.open()
    missing = [fit for fit in wanted if fit not in records]
    n_failed, n_known = 0, len(wanted) - len(missing)
    bar_of_fits = tqdm(total=len(wanted), initial=n_known, desc="sweep", unit="fit", disable=not progress)
    try:
        with bar_of_fits as bar:
            for record in run_fits(plan, missing, n_jobs):
                records[record["out_dim"], record["repeat"]] = record
                if file is not None:
                    file.append(record)
                n_failed += "error" in record
                bar.set_postfix(failed=n_failed, refresh=False)
                bar.update()
    except KeyboardInterrupt:
        finished = [records[fit] for fit in wanted if fit in records]
        if not finished:
            raise
        how = "the same call goes on from there"
        how = f"pass a path, and {how}" if file is None else how
        warn(f"interrupted after {len(finished)} of {len(wanted)} fits, which are kept; {how}")
    return [records[fit] for fit in sorted(wanted) if fit in records]


def _tables(records: list[Record]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measures and failures of the fits."""
    of_fit = ["out_dim", "repeat", "random_state"]
    rows = [(*(one[name] for name in of_fit), *row) for one in records for row in one.get("measures", [])]
    failures = [(*(one[name] for name in of_fit), one["error"]) for one in records if "error" in one]
    integers = dict.fromkeys(of_fit, np.int64)
    return (
        pd.DataFrame(rows, columns=[*of_fit, *_COLUMNS]).astype({**integers, "value": np.float64}),
        pd.DataFrame(failures, columns=[*of_fit, "error"]).astype(integers),
    )
