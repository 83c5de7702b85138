"""``tl.diagnose``: what the theory predicts of a fit, checked."""

from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
from mudata import MuData

from clipdim import _keys, _mudata
from clipdim.tl._diagnosis import alignment, batches, dimension, sharing
from clipdim.tl._diagnosis.diagnosis import Diagnosis, verdict_of
from clipdim.tl._diagnosis.run import Finding, Run, measure

CHECKS: tuple[Callable[[Run], Finding | None], ...] = (
    sharing.shared_dimension,
    alignment.matching,
    alignment.positive_similarity,
    alignment.separation,
    alignment.misplaced_cells,
    dimension.resolution,
    dimension.dimension_agreement,
    dimension.dimension_settled,
    dimension.room,
    dimension.sample_size,
    dimension.temperature,
    dimension.training_length,
    dimension.learning,
    dimension.overfitting,
    dimension.held_out_loss,
    alignment.norms,
    batches.batch_size,
    batches.batch_mixing,
    batches.batch_confounding,
    batches.batch_categories,
)


def diagnose(mdata: MuData, *, key: str = _keys.KEY) -> Diagnosis:
    """
    Check a fit against what the theory predicts, and say what to do where it falls short.

    Measured are held-out cells, at most 2,000 of them, always the same ones; training cells where fewer than 22 were
    held out, which the readings then say. With a ``batch_key`` cells are compared within their batch only.

    Parameters
    ----------
    mdata
        Fitted by :func:`clipdim.tl.fit`.
    key
        The ``key_added`` of the fit.

    Returns
    -------
    A result that prints as text and as a table in notebooks. Its ``verdict`` is one line: what to quote, and which
    checks want a look. Its ``checks`` is a DataFrame with one row for each: ``check``, ``value``, ``threshold``,
    ``verdict`` (``"ok"``, ``"note"`` or ``"warning"``) and ``reading``, a sentence or two in plain language. The
    checks, and what fails them:

    - ``shared_dimension``: chance to find so much where nothing is shared; above 0.01 (warning), or the dimensions
      could not be counted closely.
    - ``matching``: mean share of other cells closer than the own partner; not below what chance can give (warning:
      nothing shared was found).
    - ``positive_similarity``: median similarity of a cell's embeddings; more than 0.2 from 1.
    - ``separation``: that median less the 95 % quantile between different cells; not positive (warning).
    - ``misplaced_cells``: share of cells to which most others are closer than their own partner; above 2 %.
    - ``resolution``: median rank of the partner among the cells the dimension is read from; above 5 (of 20 neighbours):
      it is then an upper bound.
    - ``dimension_agreement``: largest over smallest intrinsic dimension of the modalities; above 1.25.
    - ``dimension_settled``, where all that was learned is kept: relative change of the dimension in the last quarter of
      the epochs; above 10 %.
    - ``room``: dimension over that of points that fill all of ``out_dim``; above 0.75 (warning: raise ``out_dim``).
    - ``sample_size``: dimension read off as many Gaussian points, over theirs; below 0.8.
    - ``temperature``, where all that was learned is kept: share of its fall, in logarithms, in the last quarter of the
      epochs; above 10 %: the dimension is an upper bound.
    - ``training_length``: epochs; fewer than planned.
    - ``learning``, where the fit began in closed form: nats by which learning beyond that start lowered the loss of
      training cells left out of it; not positive (the embedding is then linear).
    - ``overfitting``: loss of held-out cells less that of as many training cells, in nats; above 1.
    - ``held_out_loss``: last value less the best one, in nats; above 0.1.
    - ``norms``, with ``similarity="inner"``: standard deviation of the norms over their mean; above 0.3.
    - ``batch_size``, with a ``batch_key``: cells of the smallest batch in a minibatch; fewer than 8.
    - ``batch_mixing``, with a ``batch_key``: how much better than chance 15 neighbours name the batch, from 0 to 1;
      above 0.5.
    - ``batch_confounding``, with a ``batch_key``: columns of ``mdata.obs``, as a disease, of which every batch has one
      value only; any.
    - ``batch_categories``, with a ``batch_key``: categories of ``mdata.obs``, as cell types, with 95 % of their cells
      in one batch; any.

    Writes the table to ``mdata.uns[key]["diagnose"]``.

    Raises
    ------
    TypeError
        If ``mdata`` is not a MuData.
    KeyError
        If there is no fit under ``key``, or the column of its ``batch_key`` is gone.
    ValueError
        If ``mdata`` is a view, or there are not two cells with all modalities (and of one batch) to compare.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, sections 1.1, 3 and appendix G.

    Examples
    --------
    >>> import clipdim
    >>> mdata = clipdim.datasets.simulate_citeseq(n_cells=300)
    >>> clipdim.pp.citeseq(mdata)
    >>> clipdim.tl.fit(mdata, out_dim=8, max_epochs=2, progress=False)
    >>> found = clipdim.tl.diagnose(mdata)
    >>> found.checks.set_index("check").loc["training_length", "reading"]
    'All 2 epochs were trained.'
    """
    fit = _mudata.read_fit(_mudata.require_mudata(mdata), key)
    run = measure(mdata, fit, _mudata.read_embeddings(mdata, fit, key), key)
    findings = [finding for check in CHECKS if (finding := check(run)) is not None]
    table = pd.DataFrame(map(asdict, findings)).astype({"value": np.float64, "threshold": np.float64})
    _mudata.write_fit(mdata, replace(fit, diagnose=table), key=key)
    return Diagnosis(verdict_of(fit.shared_dimension, table), table.copy())
