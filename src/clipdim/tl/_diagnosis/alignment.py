"""Checks of a fit: whether the modalities are aligned as in theory."""

import numpy as np

from clipdim.tl._diagnosis.run import NOTE, WARNING, Finding, Run, judge

# simulations end at .89 to .99 where partners are found, at .77 and less where noise is let through
POSITIVE_SIMILARITY = 0.8
# the median cell is closer to its partner than 95 % of the negatives are to each other
SEPARATION = 0.0
# simulations end at 0 to 1 %, chance is 50 %
MISPLACED = 0.02
# converged runs end at .2, unfinished ones at .4
NORM_SPREAD = 0.3


def matching(run: Run) -> Finding:
    """Whether anything shared was found at all."""
    value, threshold = run.matching()
    found = f"{value:.1%} of the other cells come before a cell's own partner, 50 % would be chance"
    nothing = (
        f"Nothing shared was found: {run.cells} find their partner no better than by chance ({value:.2f}, where "
        f"{threshold:.2f} would tell), so the intrinsic dimension is that of noise. Check that cells are paired and "
        "inputs are right; if so, the modalities share nothing that these encoders can find."
    )
    if run.nothing_shared() or run.held_out:
        good = f"Something shared was found: {found}."
        return judge("matching", value, threshold, value < threshold, good=good, bad=nothing, severity=WARNING)
    learned = f"{found}, but in {run.cells}, which can be learned by heart; fit with holdout=0.1 to know."
    return Finding("matching", value, threshold, NOTE, learned)


def positive_similarity(run: Run) -> Finding:
    """Positives near 1: the encoders align the modalities."""
    worst = min(run.pairs, key=lambda pair: float(np.median(pair.positive)))
    low, value, high = (float(quantile) for quantile in np.quantile(worst.positive, [0.05, 0.5, 0.95]))
    where = f"Positive similarities of {worst.name} concentrate at {value:.2f} (90 % in {low:.2f} to {high:.2f})"
    offsets = "; the inner product also has offsets of each embedding, which the loss does not see" * run.inner
    return judge(
        *("positive_similarity", value, POSITIVE_SIMILARITY, abs(value - 1) <= 1 - POSITIVE_SIMILARITY),
        good=f"{where}: the encoders align the modalities.",
        bad=f"{where}, not 1: the modalities share less than the encoders can align, or each has noise of its own, as "
        f"counts do{offsets}. Wider encoders or longer training may align more.",
    )


def separation(run: Run) -> Finding:
    """Positives above negatives: representations that are neither orthogonal nor opposed."""
    margins = [float(np.median(pair.positive) - np.quantile(pair.negative, 0.95)) for pair in run.pairs]
    value, worst = min(margins), run.pairs[int(np.argmin(margins))]
    positive, negative = float(np.median(worst.positive)), float(np.median(worst.negative))
    how = "Positive and negative similarities overlap"
    if positive <= negative + 0.1:
        how = "The encoders are orthogonal or opposed to each other"
    return judge(
        *("separation", value, SEPARATION, value > SEPARATION),
        good=f"The median positive similarity of {worst.name} lies {value:.2f} above 95 % of the negatives.",
        bad=f"{how} (medians {positive:.2f} and {negative:.2f}, {worst.name}): do not match single cells by this "
        "embedding. Wider encoders, longer training or the default recipe may separate them.",
        severity=WARNING,
    )


def misplaced_cells(run: Run) -> Finding:
    """Cells whose partner is further than most other cells."""
    shares = [float((pair.closer > 0.5).mean()) for pair in run.pairs]
    value, worst = max(shares), run.pairs[int(np.argmax(shares))]
    what = f"Negatives exceed positives for {value:.1%} of {run.cells}, {worst.name}: most others are closer to them"
    return judge(
        *("misplaced_cells", value, MISPLACED, value <= MISPLACED),
        good=f"{what} than their own partner; few enough.",
        bad=f"{what} than their own partner, 50 % would be chance. Look at which they are: doublets, damaged cells, or "
        "a type that one modality does not tell apart.",
    )


def norms(run: Run) -> Finding | None:
    """Norms gather at their mean, which only `similarity="inner"` leaves to them."""
    what = f"have a standard deviation of {run.norm_spread:.2f} of their mean"
    finding = judge(
        *("norms", run.norm_spread, NORM_SPREAD, run.norm_spread <= NORM_SPREAD),
        good=f"Norms {what}: they gather though nothing constrains them.",
        bad=f"Norms {what} and do not gather as in theory; train longer, or use similarity='cosine'.",
    )
    return finding if run.inner else None
