"""Figure of the confidence of transferred labels."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve

from clipdim import pl


@pytest.fixture
def transferred(make_fitted):
    """A MuData as `tl.transfer_labels` leaves it, with a confidence that is right on average."""
    mdata = make_fitted(3_000)
    rng = np.random.default_rng(0)
    truth = mdata.obs["cell_type"].astype(str)
    confidence = rng.beta(4, 1, size=len(truth)).astype(np.float32)
    label = truth.mask(rng.uniform(size=len(truth)) > confidence, "another")
    mdata.obs["guess"] = pd.Categorical(label.mask(confidence < 0.5, "unassigned"))
    mdata.obs["guess_confidence"] = confidence
    mdata.uns["guess_transfer"] = {"params": {"min_confidence": 0.5}}
    return mdata


def drawn(ax):
    """Points of the curve: confidence and accuracy."""
    return ax.containers[0].lines[0].get_data()


def test_curve_is_that_of_scikit_learn(transferred):
    assigned = transferred.obs[transferred.obs["guess"] != "unassigned"]
    right = assigned["guess"].astype(str) == assigned["cell_type"].astype(str)
    ax = pl.reliability(transferred, "cell_type")
    accuracy, confidence = calibration_curve(right, assigned["guess_confidence"], n_bins=10)
    np.testing.assert_allclose(drawn(ax), [confidence, accuracy], rtol=1e-5)
    text = " ".join(text.get_text() for text in ax.texts)
    assert f"{len(assigned):,} cells\n{right.mean():.3f} of them right" in text
    histogram = ax.child_axes[0].patches
    assert sum(bar.get_height() for bar in histogram) == len(assigned)


def test_error_bars_are_the_intervals_of_wilson(transferred):
    ax = pl.reliability(transferred, "cell_type")
    bars = np.array([segment[:, 1] for segment in ax.containers[0].lines[2][0].get_segments()])
    assigned = transferred.obs[transferred.obs["guess"] != "unassigned"]
    right = assigned["guess"].astype(str) == assigned["cell_type"].astype(str)
    of_bins = right.groupby(np.floor(10 * assigned["guess_confidence"])).agg(["sum", "size"])
    expected = [binomtest(k, n).proportion_ci(method="wilson") for k, n in of_bins.to_numpy()]
    np.testing.assert_allclose(bars, [[interval.low, interval.high] for interval in expected], atol=1e-4)


def test_bins_with_few_cells_are_not_drawn(transferred):
    assert len(drawn(pl.reliability(transferred, "cell_type"))[0]) == 5
    few = transferred[(transferred.obs["guess_confidence"] > 0.9) | (np.arange(3_000) < 40)]
    assert len(drawn(pl.reliability(few, "cell_type"))[0]) < 5
    assert len(drawn(pl.reliability(transferred[:6], "cell_type"))[0]) >= 1


def test_missing_labels_are_left_out(transferred):
    before = transferred.copy()
    transferred.obs["cell_type"] = transferred.obs["cell_type"].where(np.arange(3_000) < 1_000)
    assigned = (transferred.obs["guess"] != "unassigned").to_numpy()
    ax = pl.reliability(transferred, "cell_type")
    assert f"{assigned[:1_000].sum():,} cells" in " ".join(text.get_text() for text in ax.texts)
    assert set(transferred.obs) == set(before.obs)


def test_given_axes_and_name(transferred):
    transferred.obs["other"] = transferred.obs["guess"]
    transferred.obs["other_confidence"] = transferred.obs["guess_confidence"]
    transferred.uns["other_transfer"] = transferred.uns["guess_transfer"]
    ax = plt.subplots()[1]
    assert pl.reliability(transferred, "cell_type", key_added="other", ax=ax) is ax
    with pytest.raises(ValueError, match=r"\['guess', 'other'\]; choose one, for instance key_added='guess'"):
        pl.reliability(transferred, "cell_type")


def test_errors(transferred, fitted):
    with pytest.raises(KeyError, match=r"no labels were transferred, .*clipdim\.tl\.transfer_labels"):
        pl.reliability(fitted, "cell_type")
    with pytest.raises(KeyError, match='no labels were transferred as "nothing", only guess'):
        pl.reliability(transferred, "cell_type", key_added="nothing")
    with pytest.raises(KeyError, match="no column 'nothing'"):
        pl.reliability(transferred, "nothing")
    with pytest.raises(TypeError, match="MuData"):
        pl.reliability(transferred["rna"], "cell_type")
    with pytest.raises(TypeError, match="Axes"):
        pl.reliability(transferred, "cell_type", ax="axes")
    with pytest.raises(ValueError, match=r"n_bins must be .* got 0"):
        pl.reliability(transferred, "cell_type", n_bins=0)
    transferred.obs["empty"] = pd.Series(np.nan, index=transferred.obs_names, dtype=object)
    with pytest.raises(ValueError, match="no cell has a label in both 'empty' and 'guess'"):
        pl.reliability(transferred, "empty")
