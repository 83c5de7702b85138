"""``tl.sweep``: fits over output dimensions and repeats."""

import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from numbers import Integral
from typing import Literal

import numpy as np
import pandas as pd
import torch
from mudata import MuData
from tqdm.auto import tqdm

from clipdim import _keys, _mudata
from clipdim.contrast import Recipe
from clipdim.tl._arguments import check_arguments, choose_settings
from clipdim.tl._device import resolve_device
from clipdim.tl._sweeping import (
    Plan,
    Record,
    SweepFile,
    check_out_dims,
    check_path,
    check_slot,
    choose_jobs,
    paired_labels,
    run_fits,
)

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
    dims = check_out_dims(out_dims)
    check_arguments(out_dim=dims[-1], holdout=holdout, random_state=random_state, key_added=key_added)
    check_slot(mdata, key_added)
    if not isinstance(n_repeats, Integral) or isinstance(n_repeats, bool) or n_repeats < 1:
        msg = f"n_repeats must be an integer of at least 1, got {n_repeats!r}; 5 show how much the fits differ"
        raise TypeError(msg) if not isinstance(n_repeats, Integral) else ValueError(msg)
    settings = choose_settings(recipe, batches=batch_key is not None, similarity=similarity, max_epochs=max_epochs)
    torch_device = resolve_device(device)
    n_processes = choose_jobs(n_jobs, torch_device)
    file_path = None if path is None else check_path(path)
    data = _mudata.read_inputs(
        mdata,
        modalities=modalities,
        use_rep=use_rep,
        batch_key=batch_key,
        holdout=holdout,
        norm_fraction=settings.norm_fraction if settings.similarity == "inner" else 0.0,
        random_state=int(random_state),
    )
    cells = np.flatnonzero((data.rows >= 0).sum(axis=1) > 1)
    obs = pd.DataFrame(index=mdata.obs_names[cells])
    keys = [label_keys] if isinstance(label_keys, str) else list(dict.fromkeys(label_keys))
    for label_key in keys:
        obs[label_key] = paired_labels(mdata, label_key, cells)
    for name in _mudata.batch_columns(batch_key):
        obs[name] = _mudata.obs_column(mdata, name).to_numpy()[cells]
    plan = Plan(
        values=data.of(cells)[0],
        present=data.rows[cells] >= 0,
        obs=obs,
        batch_key=batch_key,
        label_keys=keys,
        recipe=settings,
        holdout=float(holdout),
        device=str(torch_device),
        random_state=int(random_state),
    )
    file = None if file_path is None else SweepFile(file_path, plan)
    if dims[0] == 1 and settings.similarity == "cosine":
        msg = "with out_dim=1 and cosine similarity cells lie at 1 or -1; leave it out or pass similarity='inner'"
        warnings.warn(msg, UserWarning, stacklevel=2)

    wanted = [(out_dim, repeat) for repeat in range(int(n_repeats)) for out_dim in dims]
    records = _run(plan, wanted, n_processes, file=file, progress=progress)
    table, failures = _tables(records)
    if len(failures):
        msg = (
            f"{len(failures)} of {len(records)} fits failed, the first with {failures['error'].iloc[0]}; "
            f"see mdata.uns[{key_added!r}]['failures']"
        )
        warnings.warn(msg, UserWarning, stacklevel=2)
    result: _keys.Sweep = {
        "settings": {
            **plan.settings(),
            "out_dims": np.array(dims),
            "n_repeats": int(n_repeats),
            "modalities": np.array(list(plan.values), dtype=object),
            "use_rep": data.use_rep,
            "label_keys": np.array(keys, dtype=object),
        },
        "table": table,
        "failures": failures,
    }
    mdata.uns[key_added] = result
    return table.copy()


def _run(
    plan: Plan, wanted: list[tuple[int, int]], n_jobs: int, *, file: SweepFile | None, progress: bool
) -> list[Record]:
    """Run the wanted fits that no file holds, each of which goes to the file at once; return the records of all."""
    records: dict[tuple[int, int], Record] = {}
    if file is not None:
        records = {(one["out_dim"], one["repeat"]): one for one in file.records if "error" not in one}
        file.open()
    missing = [fit for fit in wanted if fit not in records]
    n_failed = 0
    bar_of_fits = tqdm(
        total=len(wanted), initial=len(wanted) - len(missing), desc="sweep", unit="fit", disable=not progress
    )
    try:
        with bar_of_fits as bar, closing(run_fits(plan, missing, n_jobs)) as fits:
            for record in fits:
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
        how = (
            "pass a path, and the same call goes on from there" if file is None else "the same call goes on from there"
        )
        msg = f"interrupted after {len(finished)} of {len(wanted)} fits, which are kept; {how}"
        warnings.warn(msg, UserWarning, stacklevel=3)
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
