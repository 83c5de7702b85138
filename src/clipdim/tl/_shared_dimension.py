"""``tl.shared_dimension``: how many dimensions the modalities of a fit share."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from mudata import MuData

from clipdim import _check, _keys, _mudata
from clipdim.dimension.places import FEWEST_NEIGHBORS
from clipdim.fitting.devices import resolve_device
from clipdim.fitting.restoring import refuse_changed, stored_inputs, stored_model
from clipdim.fitting.settings import Settings
from clipdim.fitting.sharing import CROSS_FITTED, N_FOLDS, Part, Sharing, cross_fitted_parts, measure_sharing

# two folds, of which a half may lie in islands too small for a neighbourhood
FEWEST_CELLS = 2 * N_FOLDS * FEWEST_NEIGHBORS
# of each half
FEWEST_OF_GROUP = 2 * FEWEST_NEIGHBORS


def shared_dimension(
    mdata: MuData,
    *,
    key: str = _keys.KEY,
    groupby: str | None = None,
    n_repeats: int = 2,
    max_cells: int = 20_000,
    device: str | torch.device = "auto",
    random_state: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Count the dimensions that modalities share, with an interval.

    The cells of a fit are divided into two halves, several times, and each half is embedded by encoders that were
    trained on the other. In small neighbourhoods of these embeddings, chosen by one modality alone, what is shared is
    nearly linear and what one modality has alone is independent of the other: there are as many directions of
    correlation as dimensions are shared (:func:`clipdim.dimension.shared_dimension`). :func:`clipdim.tl.fit` does the
    same in its quick form, with its own held-out cells.

    This is the number to quote for "how many dimensions do my modalities share". The intrinsic dimension of an
    embedding (:func:`clipdim.tl.intrinsic_dimension`) also counts what one modality has alone.

    Parameters
    ----------
    mdata
        MuData after :func:`clipdim.tl.fit`, with the representations that it was fitted on.
    key
        Name of the fit. Its modalities, representations and batches are used. The encoders are trained anew, with the
        default recipe whatever the fit took, and at least 32 columns: the answer is about the modalities.
    groupby
        Column of ``.obs``: count within each group too, from equally many cells of each; groups of less than 120 cells
        in each half are not counted.
    n_repeats
        How often the cells are divided anew; twice as many fits are made.
    max_cells
        Take so many random cells of more. The answer does not depend on how many there are.
    device
        ``"auto"`` (CUDA, else MPS, else CPU) or the name of a torch device.
    random_state
        Seed. Global random state is not touched.
    progress
        Show a progress bar.

    Returns
    -------
    One row for each pair of modalities, and with more than two another one, named ``"all"``, for what all of them
    share: ``first``, ``second``, ``group`` (``"all"`` without ``groupby``), ``estimate``, ``low``, ``high`` (95 %
    interval over cells, fits and sizes of neighbourhood), ``at_least``, ``at_most`` (with the directions that noise may
    hide), ``p_value`` (that nothing is shared), ``information`` (lower bound of the mutual information by the
    contrastive loss, nats), ``information_ceiling`` (the most that it can say, the logarithm of the number of
    candidates), ``n_cells``, ``cells`` (``"cross-fitted"``, or ``"held-out"`` by :func:`clipdim.tl.fit`), ``n_fits``
    and ``reading``, one sentence. NaN where a group has too few cells, of which ``reading`` tells.

    Written are

    ``mdata.uns[key]["shared_dimension"]`` : DataFrame
        The table.
    ``mdata.uns[key]["shared_spectrum"]`` : DataFrame
        One row for each direction of each row of the table, the last one not significant: ``direction``,
        ``information`` above chance and by ``chance`` in nats, its 95 % interval ``low`` to ``high``, ``p``, and
        whether it is ``counted``. For :func:`clipdim.pl.shared_dimension`.
    ``mdata.obs["{key}_shared_information"]`` : float64
        Nats that the counted directions hold around each cell, of the pair that shares most; NaN for cells that were
        not drawn. For a map: where do the modalities share more?

    Raises
    ------
    TypeError
        If ``mdata`` is not a MuData, or an argument is of a wrong type.
    KeyError
        If there is no fit of that name, or the representation or column is missing.
    ValueError
        If fewer than 240 cells have two modalities, an argument is not accepted, a representation has changed since
        the fit, or all cells lack a group. ``mdata`` is unchanged then.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, sections 3 and 4, on the shared dimension.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.linear(n_cells=2_000, n_shared=3)
    >>> clipdim.tl.fit(mdata, progress=False)
    >>> clipdim.tl.shared_dimension(mdata, n_repeats=1, progress=False)["reading"].item()
    '3 dimensions are shared.'
    """
    mdata = _mudata.require_mudata(mdata)
    fit = _mudata.read_fit(mdata, key)
    n_repeats = _check.integer("n_repeats", n_repeats, least=1)
    max_cells = _check.integer("max_cells", max_cells, least=FEWEST_CELLS)
    settings = Settings(device=resolve_device(device), random_state=_check.seed(random_state), progress=progress)
    groups = {} if groupby is None else _mudata.groups_of(mdata, groupby)
    stored = _mudata.read_embeddings(mdata, fit, key)
    data = stored_inputs(mdata, fit, stored, stored.modalities)
    n_paired = len(data.train) + len(data.held_out) + len(data.norm_set)
    if n_paired < FEWEST_CELLS:
        msg = (
            f"{n_paired} cells have two of the modalities {stored.modalities}, and at least {FEWEST_CELLS} are needed "
            "to count shared dimensions; pass more cells"
        )
        raise ValueError(msg)
    refuse_changed(mdata, stored_model(fit, fit.params.recipe, stored.modalities), data, key)
    parts = list(
        cross_fitted_parts(
            data, out_dim=fit.params.out_dim, settings=settings, n_repeats=n_repeats, max_cells=max_cells
        )
    )
    whole = measure_sharing(parts, cells=CROSS_FITTED, random_state=settings.random_state)
    found = [whole, *_by_group(parts, groups, settings.random_state)]
    table = pd.concat([one.table for one in found], ignore_index=True)
    spectra = [one.spectrum for one in found if len(one.spectrum)]
    spectrum = pd.concat(spectra, ignore_index=True) if spectra else whole.spectrum
    _mudata.write_fit(mdata, replace(fit, shared_dimension=table, shared_spectrum=spectrum), key=key)
    _mudata.write_shared_information(mdata, _around(whole, mdata.n_obs), key=key)
    return table.copy()


def _by_group(parts: list[Part], groups: dict[str, np.ndarray], random_state: int) -> list[Sharing]:
    """Measure what is shared within each group, from equally many cells of each that is large enough."""
    rows = {name: [np.flatnonzero(members[part.cells]) for part in parts] for name, members in groups.items()}
    sizes = {name: min(map(len, own)) for name, own in rows.items()}
    n_each = min((size for size in sizes.values() if size >= FEWEST_OF_GROUP), default=0)
    rng = np.random.default_rng(random_state)
    found = []
    for name, own in rows.items():
        enough = sizes[name] >= FEWEST_OF_GROUP
        taken = [
            part.of(np.sort(rng.permutation(one)[:n_each]) if enough else one)
            for part, one in zip(parts, own, strict=True)
        ]
        too_few = f"{sizes[name]} cells in one half are too few to count shared dimensions, of {FEWEST_OF_GROUP}."
        found.append(
            measure_sharing(
                taken,
                cells=CROSS_FITTED,
                group=name,
                too_few="" if enough else too_few,
                random_state=random_state,
            )
        )
    return found


def _around(found: Sharing, n_cells: int) -> np.ndarray:
    """Nats around each cell, of the pair that shares most."""
    values = np.full(n_cells, np.nan)
    if found.around:
        most = max(found.around.values(), key=np.nansum)
        values[: len(most)] = most
    return values
