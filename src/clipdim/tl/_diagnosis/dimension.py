"""Checks of a fit: whether its dimension can be read as the shared one, and whether it was trained well."""

import numpy as np

from clipdim import _keys, dimension
from clipdim.tl._diagnosis.run import NOTE, OK, WARNING, Finding, Run, judge

# of 20 neighbours
RESOLUTION = 5.0
# encoders of a sound fit agree to within 10 %, unfinished or unrelated ones differ by a third and more
AGREEMENT = 1.25
# finished runs move by 0 to 9 % from the third to the last quarter
SETTLED = 0.1
# embeddings with too few columns read .99 of a cloud that fills them, others .1 to .6
ROOM = 0.75
# below, the estimate is a fifth too low by lack of cells alone
SAMPLE_SIZE = 0.8
# finished runs have 1 to 6 % of the fall in the last quarter, unfinished ones 20 % and more
COOLING = 0.1
# nats; simulations of 1,000 cells and more end at 0 to .8, what is learned by heart at 2.5 and more
LOSS_GAP = 1.0
# nats above the best epoch; 0 to .06 in sound fits, 1 and more where training cells are learned by heart
LOSS_RISE = 0.1


def resolution(run: Run) -> Finding:
    """Partners are found at the scale on which the dimension is read."""
    record = run.dimensions[_keys.JOINT]
    value = 1 + max(float(np.median(pair.closer)) for pair in run.pairs) * (record.n_cells - 1)
    what = f"The median cell has its own partner at rank {value:.1f} of {record.n_cells:,}"
    scale = f"the intrinsic dimension is read from {record.n_neighbors} neighbours"
    return judge(
        *("resolution", value, RESOLUTION, value <= RESOLUTION),
        good=f"{what}; {scale}, a scale on which the embedding is sharp.",
        bad=f"{what}, but {scale}: on that scale the embeddings show what is not shared, so it is more than what "
        "is shared. Train longer, or with less input_noise where the data have little noise.",
    )


def dimension_agreement(run: Run) -> Finding:
    """One shared dimension, seen from each modality."""
    found = {name: run.dimensions[name].estimate for name in run.modalities}
    value = float(np.max(list(found.values())) / np.min(list(found.values())))
    listed = " and ".join(f"{estimate:.1f} in {name}" for name, estimate in found.items())
    if np.isnan(value):
        listed = "too few distinct cells to compare their dimensions; hold out more"
    return judge(
        *("dimension_agreement", value, AGREEMENT, value <= AGREEMENT),
        good=f"The modalities agree: {listed}.",
        bad=f"The modalities disagree: {listed}. At least one embedding also shows what is its own.",
        severity=WARNING if np.isnan(value) else NOTE,
    )


def dimension_settled(run: Run) -> Finding | None:
    """Whether the dimension has come to rest at the end of the run, where that is what is kept."""
    if run.kept < 1:
        return None
    recorded = run.history.reindex(
        columns=[_keys.of_modality("intrinsic_dimension", name) for name in run.modalities]
    ).dropna()
    quarter = len(recorded) // 4
    if quarter < 1:
        reading = f"{len(recorded)} epochs with a dimension are too few to see it settle; hold out cells, train longer."
        return Finding("dimension_settled", np.nan, SETTLED, NOTE, reading)
    last, before = recorded.iloc[-quarter:].mean(), recorded.iloc[-2 * quarter : -quarter].mean()
    value = float((last / before - 1).abs().max())
    change = "rising" if (last > before).all() else "falling" if (last < before).all() else "moving"
    return judge(
        *("dimension_settled", value, SETTLED, value <= SETTLED),
        good=f"In the last quarter of the epochs the intrinsic dimension moved by {value:.0%}: it has settled.",
        bad=f"The intrinsic dimension is still {change}, by {value:.0%} in the last quarter of the epochs; train "
        "longer (max_epochs) before reading it.",
    )


def room(run: Run) -> Finding:
    """Whether the dimension is far below what `out_dim` allows."""
    record, out_dim = run.dimensions[_keys.JOINT], run.params.out_dim
    estimate = float(np.max([one.estimate for one in run.dimensions.values()]))
    if np.isnan(estimate):
        reading = "Too few distinct cells for an intrinsic dimension; hold out more."
        return Finding("room", np.nan, ROOM, WARNING, reading)
    full = _reading_of_a_cloud(record.n_cells, out_dim, sphere=not run.inner)
    value = estimate / full
    reads = f"The intrinsic dimension reads {record.estimate:.1f} ({record.low:.1f} to {record.high:.1f})"
    if run.nothing_shared():
        reading = f"{reads}, but nothing shared was found (see matching): it is that of noise."
        return Finding("room", value, ROOM, WARNING, reading)
    if run.params.reduced_from is not None:
        reading = f"{reads}, and the embedding was reduced to it; for its room see key={run.params.reduced_from!r}."
        return Finding("room", value, ROOM, OK, reading)
    return judge(
        *("room", value, ROOM, value <= ROOM),
        good=f"{reads}; points that fill all {out_dim} columns would read {full:.1f}.",
        bad=f"{reads}, and points that fill all {out_dim} columns {full:.1f}: out_dim limits it, and the modalities "
        f"may share more. Fit with out_dim={2 * out_dim}.",
        severity=WARNING,
    )


def sample_size(run: Run) -> Finding:
    """Enough cells for a dimension of this size."""
    record = run.dimensions[_keys.JOINT]
    n_cells, estimate = record.n_cells, record.estimate
    if np.isnan(estimate):
        reading = f"{n_cells} cells are too few for an intrinsic dimension; hold out more."
        return Finding("sample_size", np.nan, SAMPLE_SIZE, WARNING, reading)
    size = max(1, round(estimate))
    value = _reading_of_a_cloud(n_cells, size) / size
    what = f"{n_cells:,} points of a Gaussian cloud of {size} dimensions read {value * size:.1f}"
    return judge(
        *("sample_size", value, SAMPLE_SIZE, value >= SAMPLE_SIZE),
        good=f"{what}: there are enough cells.",
        bad=f"{what}: these are too few cells for an intrinsic dimension of this size, and the truth may be higher. "
        "Hold out more cells, or compare fits of equally many only.",
    )


def _reading_of_a_cloud(n_cells: int, n_dims: int, *, sphere: bool = False) -> float:
    """Intrinsic dimension that is read off so many points in general position, or on the sphere."""
    points = np.random.default_rng(0).normal(size=(min(n_cells, 5_000), n_dims))
    if sphere and n_dims > 1:
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return dimension.mle(points, n_anchors=500)


def temperature(run: Run) -> Finding | None:
    """Whether the temperature has come to rest, where the end of the run is what is kept."""
    if run.kept < 1:
        return None
    values = np.array([run.params.recipe.initial_temperature, *run.history["temperature"]])
    first, before, last = np.log([values.max(), values[-1 - max(1, len(run.history) // 4)], values[-1]])
    what = f"The temperature ends at {values[-1]:.3g}"
    if last >= first:
        reading = f"{what} and has not fallen: too little was trained, or nothing aligned. Train longer (max_epochs)."
        return Finding("temperature", 1.0, COOLING, NOTE, reading)
    value = float(max(before - last, 0.0) / (first - last))
    advice = "" if run.nothing_shared() else "; train longer (max_epochs)"
    part = f"{value:.0%} of its fall (in logarithms) took place in the last quarter of the run"
    return judge(
        *("temperature", value, COOLING, value <= COOLING),
        good=f"{what}; {part}: it has come to rest.",
        bad=f"{what}; {part}. It is still falling, so the intrinsic dimension is an upper bound{advice}.",
    )


def training_length(run: Run) -> Finding:
    """Whether the run was cut short."""
    done, planned = run.params.n_epochs, run.params.recipe.max_epochs or 0
    if run.params.method == "pca":  # a reduction without training
        planned = done
    return judge(
        *("training_length", done, planned, done >= planned),
        good=f"All {planned} epochs were trained.",
        bad=f"The run was interrupted after {done} of {planned} epochs, before its learning rate came down; fit again "
        "for a dimension to report.",
    )


def learning(run: Run) -> Finding | None:
    """Whether learning beyond the closed-form start was of use to unseen cells."""
    table = run.learning
    if table is None or (table["share"] > 0).all():
        return None
    chosen = table[table["chosen"].astype(bool)].iloc[0]
    start = table["loss"][(table["share"] == 0) & (table["input_noise"] == chosen["input_noise"])].min()
    value, cells = float(start - chosen["loss"]), f"{chosen['n_cells']:,} training cells left out for this"
    if run.params.recipe.max_epochs == 0:
        reading = "Nothing was learned beyond the linear start, as max_epochs=0 wants it: the embedding is linear."
        return Finding("learning", value, 0.0, OK, reading)
    return judge(
        *("learning", value, 0.0, value > 0),
        good=f"Learning beyond the linear start improved the loss of {cells} by {value:.2f} nats, with "
        f"{chosen['share']:.0%} of what was learned.",
        bad=f"Learning beyond the linear start did not improve the loss of {cells}: the embedding is linear. More "
        "cells may have more to learn from.",
    )


def overfitting(run: Run) -> Finding:
    """Whether the loss of held-out cells is that of training cells."""
    what = f"The loss of held-out cells is {run.loss_gap:.2f} nats above that of as many training cells"
    bad = (
        f"{what}: the encoders learned training cells by heart. Use more cells, fewer epochs, or a recipe with more "
        "input_noise, and trust held-out measures only."
    )
    if np.isnan(run.loss_gap):
        bad = "Too few cells were held out to see what the encoders learned by heart; fit with holdout=0.1."
    return judge(
        *("overfitting", run.loss_gap, LOSS_GAP, run.loss_gap <= LOSS_GAP),
        good=f"{what}: little was learned by heart.",
        bad=bad,
    )


def held_out_loss(run: Run) -> Finding:
    """Whether the held-out loss ends where it was best."""
    recorded = run.history["held_out_loss"].dropna()
    if recorded.empty:
        reading = "The loss of held-out cells was not recorded; fit with holdout=0.1."
        return Finding("held_out_loss", np.nan, LOSS_RISE, NOTE, reading)
    value = float(recorded.iloc[-1] - recorded.min())
    return judge(
        *("held_out_loss", value, LOSS_RISE, value <= LOSS_RISE),
        good=f"The loss of held-out cells ends {value:.2f} nats above its best.",
        bad=f"The loss of held-out cells rose by {value:.2f} nats after epoch {recorded.idxmin()}: the epochs since "
        "made the embedding worse. Fit with fewer epochs or more input_noise.",
    )
