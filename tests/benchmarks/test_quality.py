"""The figures that the default recipe must reach on real data, the mean over the seeds 0, 1 and 2."""

import pytest

from benchmarks.quality.__main__ import table

BOUNDS = {
    "pbmc10k": {
        "15-NN, level 1": 0.995,
        "top 0.5 %, RNA to protein": 0.13,
        "FOSCTTM": 0.048,
    },
    "pbmc10k, 800 training cells": {"15-NN, level 1": 0.98, "top 0.5 %, RNA to protein": 0.10, "FOSCTTM": 0.06},
    "bmcite": {
        "15-NN, level 1": 0.988,
        "15-NN, level 2": 0.935,
        "top 0.5 %, RNA to protein": 0.30,
        "FOSCTTM": 0.029,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("dataset", BOUNDS)
def test_held_out_quality(data_dir, dataset):
    measured = table([dataset], [0, 1, 2], "default").loc[dataset]
    for measure, bound in BOUNDS[dataset].items():
        if measure == "FOSCTTM":
            assert measured[measure] <= bound, measure
        else:
            assert measured[measure] >= bound, measure
