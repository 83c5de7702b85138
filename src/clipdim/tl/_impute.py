"""``tl.impute``: a modality that new cells lack, decoded from those that they have."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from clipdim import _check, _keys, _mudata
from clipdim._warn import warn
from clipdim.evaluation.imputation import IMPUTATION_METHODS, Imputer, Source
from clipdim.neighbors import draw_rows

MIN_HELD_OUT = 100
MAX_MEASURED = 10_000
MIN_PAIRED = 20
NUMBERS_PER_BLOCK = 2**25


def impute(
    query: MuData,
    reference: MuData,
    modality: str,
    *,
    features: Sequence[str] | None = None,
    layer: str | None = None,
    method: Literal["auto", "knn", "ridge", "average"] = "auto",
    n_neighbors: int = 30,
    key: str = _keys.KEY,
    random_state: int = 0,
) -> AnnData:
    """
    Impute a modality of new cells, as proteins from RNA alone, and say how good each feature is.

    Two decoders learn on the training cells of the reference that have the imputed and the other modalities: the
    weighted mean over nearest cells in the embedding, and a ridge regression that is linear in the encoders' inputs and
    smooth in the embedding. Their accuracy is measured on cells that were held out of the training of the encoders and
    of the decoders. Query cells with other combinations of modalities get decoders of their own; what a new cell has of
    the imputed modality is not used.

    Parameters
    ----------
    query
        New cells after :func:`clipdim.tl.embed`, or the reference itself for those of its cells that lack the modality;
        not changed.
    reference
        The MuData that they were embedded into, with measured values of the modality; not changed.
    modality
        Name of the modality to impute, one of those of the fit.
    features
        Names of the features to impute, as genes; by default all of a modality that has at most 500.
    layer
        Layer of the reference's modality to impute; by default its ``X``. The imputed values are in the same units.
    method
        ``"knn"``, ``"ridge"``, or the ``"average"`` of both. ``"auto"`` takes the average, for each feature that one
        decoder alone imputes better that one; half of the held-out cells decide and the others measure.
    n_neighbors
        Nearest training cells that are averaged; all of them where there are fewer.
    key
        The ``key_added`` of the fit.
    random_state
        Seed of the decoders and of the draw of the cells that measure. Global random state is not touched.

    Returns
    -------
    AnnData of the query's cells that have a modality to impute from, in the query's order, and the features, in the
    order given. It goes into the query by ``query.mod["prot"] = imputed; query.update()``. It has

    ``.X`` : float32
        Imputed values.
    ``.obs["imputed_from"]`` : categorical
        The modalities that a cell was imputed from, as ``"rna"`` or ``"rna + atac"``.
    ``.var["correlation"]``, ``.var["r2"]`` : float64
        Pearson correlation with the measured values, and share of their variance that is explained, on held-out cells
        of the reference, imputed from what most query cells were imputed from. NaN for a feature that is constant.
    ``.var["method"]`` : categorical
        The decoder, ``"knn"``, ``"ridge"`` or ``"average"``.
    ``.uns["{key}_impute"]`` : dict
        ``params``; ``fit``, a fingerprint of the reference's encoders; ``version``; ``accuracy``, a DataFrame with
        ``imputed_from``, ``feature``, ``method``, ``correlation``, ``r2``, ``n_cells`` and ``cells`` (``"held-out"``,
        or ``"train"`` where too few were held out), for every combination of modalities.

    Raises
    ------
    TypeError
        If ``query`` or ``reference`` is not a MuData, ``features`` is a string, or an argument is of a wrong type.
    KeyError
        If the reference holds no fit of that name, the query is not embedded, or a feature or the layer is unknown.
    ValueError
        If the modality is not one of the fit; the query was embedded by another reference, or has no other modality;
        ``features`` is empty, repeats a name, or is left out for more than 500 features; the reference has fewer than
        20 cells to learn from, or its values are missing or not finite; ``method`` is unknown or ``n_neighbors`` below
        1.

    Warns
    -----
    UserWarning
        If query cells have nothing to impute from and are left out; if the reference's ``X`` looks like raw counts; if
        fewer than 100 of its cells were held out: then training cells measure too, which the decoders have not seen but
        the encoders have, so that the accuracy is too high.

    References
    ----------
    Rahimi and Recht, Random features for large-scale kernel machines, NeurIPS 2007 (the smooth part of the ridge).

    Examples
    --------
    >>> import clipdim, mudata
    >>> cells = clipdim.datasets.simulate_citeseq(n_cells=500)
    >>> reference, query = cells[:400].copy(), mudata.MuData({"rna": cells["rna"][400:].copy()})
    >>> clipdim.pp.citeseq(reference)
    >>> clipdim.tl.fit(reference, out_dim=8, holdout=0.3, max_epochs=4, progress=False)
    >>> clipdim.pp.citeseq(query, reference=reference)
    >>> clipdim.tl.embed(query, reference)
    >>> imputed = clipdim.tl.impute(query, reference, "prot")
    >>> imputed.shape, imputed.var.columns.tolist()
    ((100, 30), ['correlation', 'r2', 'method'])
    """
    fit = _mudata.read_fit(reference, key)
    new, known = _mudata.query_embeddings(query, fit, key), _mudata.read_embeddings(reference, fit, key)
    names = _sources(new, known, modality, key)
    _check.choice("method", method, IMPUTATION_METHODS)
    n_neighbors = _check.integer("n_neighbors", n_neighbors, least=1, hint="30 is usual")
    seed = _check.seed(random_state)
    columns = _mudata.feature_columns(reference, modality, features, layer)
    to, of = (_Cells.read(mdata, part, reference, names, fit) for mdata, part in ((query, new), (reference, known)))
    rows = _mudata.cell_rows(reference, [modality])[:, 0]
    n_blocks = -(-reference[modality].n_obs * len(columns) // NUMBERS_PER_BLOCK)

    values = np.empty((query.n_obs, len(columns)), dtype=np.float32)
    imputed_from = np.full(query.n_obs, "", dtype=object)
    tables: dict[str, pd.DataFrame] = {}
    for sources, has in _mudata.combinations(new, names):
        cells = np.flatnonzero(has)
        train, measured, which = _split(known, [*sources, modality], seed)
        decoder = Imputer(
            of.source(sources, train),
            of.source(sources, measured),
            to.source(sources, cells),
            n_neighbors=n_neighbors,
            random_state=seed,
        )
        parts = []
        for places in np.array_split(np.arange(len(columns)), n_blocks):
            read = _mudata.feature_values(reference, modality, columns[places], layer)
            found = decoder.impute(read[rows[train]], read[rows[measured]], method=method)
            values[np.ix_(cells, places)] = found.values
            measures = {name: getattr(found, name) for name in ("method", "correlation", "r2", "n_cells")}
            parts.append(pd.DataFrame(measures))
        imputed_from[cells] = combination = " + ".join(sources)
        table = pd.concat(parts, ignore_index=True).assign(cells=which)
        table.insert(0, "feature", reference[modality].var_names[columns].astype(str))
        table.insert(0, "imputed_from", combination)
        tables[combination] = table
    if not tables:
        msg = f"no cell of the query has one of the modalities {names} to impute {modality!r} from"
        raise ValueError(msg)
    result = _result(query, names, values, imputed_from, tables)
    params = {"modality": modality, "layer": layer, "method": method, "n_neighbors": n_neighbors}
    result.uns[_keys.imputed(key)] = {
        "version": version("clipdim"),
        "fit": fit.fingerprint,
        "params": {**params, "key": key, "random_state": seed},
        "accuracy": pd.concat(tables.values(), ignore_index=True),
    }
    return result


def _sources(new: _mudata.Embeddings, known: _mudata.Embeddings, modality: str, key: str) -> list[str]:
    """Names of the modalities of the query to impute from."""
    if modality not in known.modalities:
        msg = f"modality={modality!r} is not one of those that the reference was fitted on: {known.modalities}"
        raise ValueError(msg)
    names = [name for name in new.modalities if name != modality]
    if not names:
        others = [name for name in known.modalities if name != modality]
        msg = (
            f"the query is embedded by {new.modalities} only, so there is nothing to impute {modality!r} from; add one "
            f"of {others} and run clipdim.tl.embed(query, reference, key={key!r})"
        )
        raise ValueError(msg)
    return names


def _result(
    query: MuData,
    names: list[str],
    values: np.ndarray,
    imputed_from: np.ndarray,
    tables: dict[str, pd.DataFrame],
) -> AnnData:
    """Return the imputed cells, with the accuracy of those from which most were imputed."""
    has = imputed_from != ""
    if not has.all():
        warn(f"{(~has).sum()} of {query.n_obs} cells have none of the modalities {names} and are left out")
    obs = pd.DataFrame({"imputed_from": pd.Categorical(imputed_from[has])}, index=query.obs_names[has])
    of_most = tables[obs["imputed_from"].value_counts().index[0]].set_index("feature")
    var = of_most[["correlation", "r2", "method"]].astype({"method": "category"})
    return AnnData(values if has.all() else values[has], obs=obs, var=var.rename_axis(None))


@dataclass(frozen=True)
class _Cells:
    """Cells with their embeddings and what the encoders read."""

    embeddings: _mudata.Embeddings
    inputs: dict[str, np.ndarray]
    rows: np.ndarray

    @classmethod
    def read(
        cls, mdata: MuData, embeddings: _mudata.Embeddings, reference: MuData, names: Sequence[str], fit: _mudata.Fit
    ) -> "_Cells":
        inputs = {name: _mudata.matched_representation(mdata, reference, name, fit) for name in names}
        return cls(embeddings, inputs, _mudata.cell_rows(mdata, names))

    def source(self, names: Sequence[str], cells: np.ndarray) -> Source:
        """Mean embedding of some modalities and their inputs side by side, of cells that have them all."""
        rows = dict(zip(self.inputs, self.rows.T, strict=True))
        inputs = np.hstack([self.inputs[name][rows[name][cells]] for name in names])
        return Source(self.embeddings.mean(names, cells), inputs)


def _split(known: _mudata.Embeddings, names: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Numbers of the reference's cells that the decoders learn from and of those that measure, and what these are."""
    train, held_out = (
        np.flatnonzero(known.having(*names) & known.of_split(part)) for part in (_keys.TRAIN, _keys.HELD_OUT)
    )
    if len(train) < MIN_PAIRED:
        msg = (
            f"the reference has {len(train)} training cells with {' and '.join(names)}, at least {MIN_PAIRED} are "
            "needed to learn from; use the whole reference, or leave one of these modalities out of the query"
        )
        raise ValueError(msg)
    measured, which = known.measured(MIN_HELD_OUT, *names)
    if which == _keys.HELD_OUT:
        return train, measured[draw_rows(len(measured), MAX_MEASURED, random_state=seed)], which
    msg = (
        f"{len(held_out)} cells of the reference with {' and '.join(names)} were held out of training, at least "
        f"{MIN_HELD_OUT} are needed, so a fifth of the training cells measures too and the accuracy may be too high; "
        "fit with a larger holdout"
    )
    warn(msg)
    train = np.random.default_rng(seed).permutation(train)
    n_measured = len(train) // 5
    return train[n_measured:], np.concatenate([held_out, train[:n_measured]]), which
