import json
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from clipdim._mudata import read_inputs
from clipdim.contrast import train
from clipdim.fitting.learning import learn
from clipdim.tl import _sweep, classify, fit, intrinsic_dimension, match, sweep
from clipdim.tl._sweeping import plan as plans

QUICK = {"max_epochs": 2, "device": "cpu", "progress": False, "n_jobs": 1}


def make_cells(make_mdata):
    """200 cells with both modalities, 10 more with one; labels of all, in two columns, and two batches."""
    mdata = make_mdata(n_cells=210, lacking=5)
    rng = np.random.default_rng(1)
    mdata.obs["cell_type"] = pd.Categorical(np.array(["B", "NK", "T"])[rng.integers(3, size=210)])
    mdata.obs["level"] = rng.integers(2, size=210)
    mdata.obs["donor"] = pd.Categorical(np.where(rng.uniform(size=210) < 0.5, "d1", "d2"))
    return mdata


@pytest.fixture
def mdata(make_mdata):
    return make_cells(make_mdata)


@pytest.fixture
def count_fits(monkeypatch):
    """List of the (out_dim, seed) that were fitted; `fail(out_dim)` makes a fit raise."""
    fitted = []

    def counting(data, out_dim, recipe, settings):
        fitted.append((out_dim, settings.random_state))
        if out_dim in errors:
            raise errors[out_dim]
        return learn(data, out_dim, recipe, settings)

    errors = {}
    monkeypatch.setattr(plans, "learn", counting)
    return fitted, errors


def without_seconds(table):
    return table[table["measure"] != "seconds"].reset_index(drop=True)


def test_columns_and_measures(mdata):
    table = sweep(mdata, [2, 5], n_repeats=2, label_keys=["cell_type", "level"], **QUICK)
    columns = ["out_dim", "repeat", "random_state", "measure", "modality", "label_key", "split", "value"]
    assert table.columns.tolist() == columns
    assert not table.duplicated(columns[:-1]).any()
    assert table["random_state"].nunique() == 4
    sizes = table.groupby("measure").size() / 4
    both = {"top_alpha": 4, "recall_at_1": 4, "foscttm": 4, "loss": 2, "temperature": 1, "seconds": 1}
    labelled = {"accuracy": 4, "balanced_accuracy": 4, "label_match": 8, "balanced_label_match": 8}
    assert sizes.to_dict() == {**both, **labelled, "intrinsic_dimension": 3}
    assert set(table["split"]) == {"", "train", "held-out"}
    assert set(table["modality"]) == {"", "rna", "prot", "joint", "rna to prot", "prot to rna"}
    pd.testing.assert_frame_equal(table, mdata.uns["clipdim_sweep"]["table"])
    assert len(mdata.uns["clipdim_sweep"]["failures"]) == 0


def test_each_fit_is_that_of_tl_fit_with_the_same_seed(mdata):
    settings = {"batch_key": "donor", "holdout": 0.3, "max_epochs": 2, "device": "cpu", "progress": False}
    table = sweep(mdata, [3, 6], n_repeats=1, label_keys="cell_type", n_jobs=1, **settings)
    rows = table[table["out_dim"] == 6]
    fit(mdata, 6, random_state=int(rows["random_state"].iloc[0]), **settings)
    found = rows.set_index(["measure", "modality", "split"])["value"]
    result = mdata.uns["clipdim"]
    assert found["temperature", "", ""] == pytest.approx(result["temperature"], rel=1e-5)
    last = result["history"].iloc[-1]
    assert found["loss", "", "train"] == pytest.approx(last["loss"], rel=1e-5)
    assert found["loss", "", "held-out"] == pytest.approx(last["held_out_loss"], rel=1e-5)
    for row in intrinsic_dimension(mdata).itertuples():
        expected = row.estimate
        assert found["intrinsic_dimension", row.representation, "held-out"] == pytest.approx(expected, rel=1e-3)
    for row in match(mdata, k=[1]).itertuples():
        for measure in ("top_alpha", "recall_at_1", "foscttm"):
            expected = getattr(row, measure)
            assert found[measure, f"{row.query} to {row.target}", row.split] == pytest.approx(expected, abs=0.02)
    for row in classify(mdata, "cell_type").query("kind == 'balanced'").itertuples():
        joint = row.method == "joint k-NN"
        where = ("balanced_accuracy", "joint") if joint else ("balanced_label_match", row.method)
        assert found[(*where, row.split)] == pytest.approx(row.accuracy, abs=0.02)


def test_only_the_slot_is_added_and_the_random_state_is_left_alone(mdata, unchanged):
    before = np.random.get_state()[1].copy()
    with unchanged(mdata):
        sweep(mdata, [2], n_repeats=1, key_added="mine", **QUICK)
        assert set(mdata.uns.pop("mine")) == {"table", "failures", "settings"}
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_the_counts_stay_here(mdata, monkeypatch):
    """What other processes get is the representations and the labels that are read."""
    sent = []
    monkeypatch.setattr(_sweep, "run_fits", lambda plan, *_: sent.append(plan) or (one for one in ()))
    for name in mdata.mod:
        mdata[name].obsm["X_pca"] = mdata[name].X[:, :4].copy()
    sweep(mdata, [2], label_keys=["level"], **QUICK)
    (plan,) = sent
    assert {name: x.shape for name, x in plan.data.values.items()} == {"rna": (205, 4), "prot": (205, 4)}
    assert list(plan.labels) == ["level"]
    assert len(pickle.dumps(plan)) < 50_000


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
@pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")
@pytest.mark.parametrize("out_dims", [[2, 4], [4]])
def test_survives_a_file(mdata, through_file, assert_same, form, out_dims, count_fits):
    count_fits[1][2] = RuntimeError("no such luck")
    arguments = {"n_repeats": 1, "label_keys": ["level"] if 2 in out_dims else [], **QUICK}
    if 2 in out_dims:
        with pytest.warns(UserWarning, match="1 of 2 fits failed"):
            sweep(mdata, out_dims, **arguments)
    else:
        sweep(mdata, out_dims, **arguments)
    read = through_file(mdata, form).uns["clipdim_sweep"]
    expected = mdata.uns["clipdim_sweep"]
    pd.testing.assert_frame_equal(read["table"], expected["table"], check_exact=True, check_dtype=False)
    assert read["failures"].to_dict("list") == expected["failures"].to_dict("list")
    for name in ("label_keys", "modalities"):
        assert read["settings"].pop(name).tolist() == expected["settings"].pop(name).tolist()
    assert_same(dict(read["settings"]), dict(expected["settings"]))


def test_goes_on_after_an_interruption(mdata, tmp_path, count_fits, monkeypatch):
    fitted, _ = count_fits
    arguments = {"n_repeats": 2, "label_keys": ["cell_type"], "path": tmp_path / "sweep.jsonl", **QUICK}
    whole = sweep(mdata, [2, 3, 4], **{**arguments, "path": None})
    assert len(fitted) == len(set(fitted)) == 6
    fitted.clear()

    def killed(plan, fits, n_jobs):
        yield from plans.run_fits(plan, fits[:4], n_jobs)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(_sweep, "run_fits", killed)
        del mdata.uns["clipdim_sweep"]
        with pytest.raises(SystemExit):
            sweep(mdata, [2, 3, 4], **arguments)
    assert "clipdim_sweep" not in mdata.uns
    assert len(fitted) == 4
    with (tmp_path / "sweep.jsonl").open("ab") as file:
        file.write(b'{"out_dim": 3, "rep')  # killed while it wrote
    resumed = sweep(mdata, [2, 3, 4], **arguments)
    assert len(fitted) == len(set(fitted)) == 6
    pd.testing.assert_frame_equal(without_seconds(resumed), without_seconds(whole), check_exact=True)
    lines = [json.loads(line) for line in (tmp_path / "sweep.jsonl").read_text().splitlines()]
    assert len(lines) == 7

    again = sweep(mdata, [2, 3, 4], **arguments)
    assert len(fitted) == 6
    pd.testing.assert_frame_equal(again, resumed, check_exact=True)
    more = sweep(mdata, [2, 3, 4, 5], **{**arguments, "n_repeats": 3})
    assert len(fitted) == len(set(fitted)) == 12
    old = more[(more["out_dim"] < 5) & (more["repeat"] < 2)].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, resumed, check_exact=True)
    fewer = sweep(mdata, [3], **{**arguments, "n_repeats": 1})
    assert len(fitted) == 12
    assert set(fewer["out_dim"]) == {3}


def test_ctrl_c_keeps_what_is_finished(mdata, tmp_path, count_fits):
    fitted, errors = count_fits
    errors[3] = KeyboardInterrupt()
    path = tmp_path / "sweep.jsonl"
    with pytest.warns(UserWarning, match="interrupted after 1 of 3 fits"):
        table = sweep(mdata, [2, 3, 4], n_repeats=1, path=path, **QUICK)
    assert set(table["out_dim"]) == {2}
    errors.clear()
    table = sweep(mdata, [2, 3, 4], n_repeats=1, path=path, **QUICK)
    assert [out_dim for out_dim, _ in fitted] == [2, 3, 3, 4]
    assert set(table["out_dim"]) == {2, 3, 4}


def test_ctrl_c_before_the_first_fit(mdata, count_fits, unchanged):
    count_fits[1][2] = KeyboardInterrupt()
    with unchanged(mdata), pytest.raises(KeyboardInterrupt):
        sweep(mdata, [2, 3], n_repeats=1, **QUICK)


def test_a_fit_cut_short_does_not_count(mdata, monkeypatch):
    """`tl.fit` itself stops at Ctrl-C and keeps what it learned; a sweep must not take that for a fit."""

    def interrupted(model, *arguments, **keywords):
        epochs = train(model, *arguments, **keywords)
        yield next(epochs)
        raise KeyboardInterrupt

    monkeypatch.setattr("clipdim.fitting.training.train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(mdata, [2], n_repeats=1, **QUICK)


def test_failures_are_recorded_and_tried_again(mdata, tmp_path, count_fits):
    fitted, errors = count_fits
    errors[3] = FloatingPointError("the loss is NaN")
    path = tmp_path / "sweep.jsonl"
    with pytest.warns(UserWarning, match="2 of 6 fits failed, the first with FloatingPointError: the loss is NaN"):
        table = sweep(mdata, [2, 3, 4], n_repeats=2, path=path, **QUICK)
    assert set(table["out_dim"]) == {2, 4}
    failures = mdata.uns["clipdim_sweep"]["failures"]
    assert failures[["out_dim", "repeat"]].to_numpy().tolist() == [[3, 0], [3, 1]]
    assert failures["error"].unique().tolist() == ["FloatingPointError: the loss is NaN"]
    errors.clear()
    fitted.clear()
    table = sweep(mdata, [2, 3, 4], n_repeats=2, path=path, **QUICK)
    assert [out_dim for out_dim, _ in fitted] == [3, 3]
    assert set(table["out_dim"]) == {2, 3, 4}
    assert len(mdata.uns["clipdim_sweep"]["failures"]) == 0


def test_all_fits_fail(mdata, count_fits):
    count_fits[1][2] = MemoryError()
    with pytest.warns(UserWarning, match="2 of 2 fits failed"):
        table = sweep(mdata, [2], n_repeats=2, **QUICK)
    assert len(table) == 0
    assert len(mdata.uns["clipdim_sweep"]["failures"]) == 2


def test_several_processes_give_the_same_numbers(mdata, tmp_path):
    arguments = {**QUICK, "n_repeats": 2, "label_keys": "level"}
    alone = sweep(mdata, [2, 4], **arguments)
    together = sweep(mdata, [2, 4], **{**arguments, "n_jobs": 2, "path": tmp_path / "sweep.jsonl"})
    here, there = without_seconds(alone), without_seconds(together)
    pd.testing.assert_frame_equal(here.drop(columns="value"), there.drop(columns="value"))
    np.testing.assert_allclose(here["value"], there["value"], rtol=0.02, atol=0.03)
    assert len((tmp_path / "sweep.jsonl").read_text().splitlines()) == 5


class _EndsItsProcess:
    """In place of a recipe: as the kernel does to a process that takes too much memory."""

    def __setstate__(self, state):
        os._exit(1)

    def __getstate__(self):
        return {"some": "state"}


@pytest.mark.filterwarnings("ignore:A worker stopped")
def test_a_process_that_is_killed(mdata):
    """After the test before it, whose processes are used again."""
    data = read_inputs(
        mdata,
        modalities=None,
        use_rep=None,
        batch_key=None,
        holdout=0.1,
        norm_fraction=0,
        random_state=0,
    )
    plan = plans.Plan(data=data, labels={}, recipe=_EndsItsProcess(), device="cpu", random_state=0)
    records = list(plans.run_fits(plan, [(2, 0), (3, 0)], 2))
    assert sorted(one["out_dim"] for one in records) == [2, 3]
    assert all("TerminatedWorkerError" in one["error"] for one in records)


def test_missing_labels_are_left_out_of_the_classification_only(mdata):
    mdata.obs.loc[mdata.obs_names[60:90], "cell_type"] = np.nan
    paired = np.all([mdata.obs_names.isin(adata.obs_names) for adata in mdata.mod.values()], axis=0)
    n_missing = int((mdata.obs["cell_type"].isna() & paired).sum())
    with pytest.warns(UserWarning, match=f"{n_missing} of 200 cells have no 'cell_type'") as warned:
        table = sweep(mdata, [3], n_repeats=2, label_keys=["cell_type", "level"], **QUICK)
    assert len([one for one in warned if "have no" in str(one.message)]) == 1
    counts = table.groupby(["label_key", "measure"]).size()
    assert counts["cell_type"].equals(counts["level"])


def test_no_cells_held_out(mdata):
    table = sweep(mdata, [3], n_repeats=1, holdout=0, label_keys="level", **QUICK)
    assert set(table["split"]) == {"", "train"}
    assert table["value"].notna().all()


def test_paper_recipe(mdata):
    sweep(mdata, [3], n_repeats=1, recipe="paper", **QUICK)
    assert mdata.uns["clipdim_sweep"]["settings"]["recipe"]["similarity"] == "inner"


def test_warns_once_of_one_dimension(mdata):
    with pytest.warns(UserWarning, match="out_dim=1") as warned:
        sweep(mdata, [1, 2], n_repeats=2, **QUICK)
    assert len([one for one in warned if "out_dim=1" in str(one.message)]) == 1


BAD = [
    ({"out_dims": []}, ValueError, "out_dims is empty"),
    ({"out_dims": [2, 2, 3]}, ValueError, r"different from each other.*out_dims=\[2, 3\]"),
    ({"out_dims": [4, 2]}, ValueError, r"ascending order.*out_dims=\[2, 4\]"),
    ({"out_dims": [2, 4.5]}, TypeError, "each of out_dims must be an integer"),
    ({"out_dims": np.linspace(1, 4, 3)}, TypeError, "each of out_dims must be an integer"),
    ({"out_dims": [True, 2]}, TypeError, "must be an integer"),
    ({"out_dims": 8}, TypeError, "must be a sequence of integers"),
    ({"out_dims": "8"}, TypeError, "must be a sequence of integers"),
    ({"out_dims": [0, 2]}, ValueError, "at least 1 and at most 4096, got 0"),
    ({"out_dims": [2, 4097]}, ValueError, "at most 4096, got 4097"),
    ({"n_repeats": 0}, ValueError, "n_repeats must be an integer of at least 1, got 0"),
    ({"n_repeats": 1.5}, TypeError, "n_repeats must be an integer"),
    ({"label_keys": ["cluster"]}, KeyError, "no column 'cluster'"),
    ({"label_keys": ["same"]}, ValueError, "'same' has 1 classes among the 200 cells"),
    ({"label_keys": ["fraction"]}, ValueError, "holds fractions"),
    ({"n_jobs": 0}, ValueError, "n_jobs must be an integer of at least 1, got 0; None is all"),
    ({"device": "abacus"}, ValueError, "not available"),
    ({"recipe": "soup"}, ValueError, "recipe must be one of .* got 'soup'"),
    ({"modalities": ["rna"]}, ValueError, "at least 2 modalities"),
    ({"use_rep": "X_scVI"}, KeyError, "no .obsm"),
    ({"batch_key": "lane"}, KeyError, "no column 'lane'"),
    ({"holdout": 1.5}, ValueError, "holdout"),
    ({"key_added": "a/b"}, ValueError, "key_added"),
    ({"key_added": "fitted"}, ValueError, "is taken, perhaps by a fit"),
    ({"random_state": -1}, ValueError, "random_state"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD, ids=[str(case[0]) for case in BAD])
def test_bad_input(mdata, tmp_path, unchanged, count_fits, arguments, error, message):
    mdata.obs["same"] = "B"
    mdata.obs["fraction"] = np.linspace(0, 1, mdata.n_obs)
    mdata.uns["fitted"] = {"encoders": {}}
    path = tmp_path / "sweep.jsonl"
    with unchanged(mdata), pytest.raises(error, match=message):
        sweep(mdata, **{"out_dims": [2, 3], "path": path, **QUICK, **arguments})
    assert not path.exists()
    assert count_fits[0] == []


def test_path_that_cannot_be(mdata, tmp_path, unchanged):
    with unchanged(mdata):
        with pytest.raises(ValueError, match=r"there is no folder .*call os.makedirs"):
            sweep(mdata, [2], path=tmp_path / "none" / "sweep.jsonl", **QUICK)
        with pytest.raises(ValueError, match="is a folder"):
            sweep(mdata, [2], path=tmp_path, **QUICK)


OTHER = [
    ({"max_epochs": 3}, "recipe.max_epochs=2 then, 3 now"),
    ({"holdout": 0.2}, "holdout=0.1 then, 0.2 now"),
    ({"random_state": 1}, "random_state=0 then, 1 now"),
    ({"label_keys": ["level"]}, r"label_keys=\['cell_type'\] then, \['level'\] now"),
    ({"batch_key": "donor"}, "batch_key=None then, 'donor' now"),
    ({"similarity": "inner"}, "recipe.similarity='cosine' then, 'inner' now"),
    ({"modalities": ["prot", "rna"]}, "modalities="),
    ({"use_rep": "rna:X_other"}, "other representation of 'rna'"),
]


@pytest.fixture(scope="module")
def first_sweep(make_mdata, tmp_path_factory):
    """What a sweep wrote."""
    path = tmp_path_factory.mktemp("first") / "sweep.jsonl"
    sweep(make_cells(make_mdata), [2], n_repeats=1, label_keys=["cell_type"], path=path, **QUICK)
    return path.read_bytes()


@pytest.mark.parametrize(("arguments", "message"), OTHER, ids=[str(case[0]) for case in OTHER])
def test_refuses_to_go_on_with_other_settings(mdata, tmp_path, unchanged, count_fits, first_sweep, arguments, message):
    path = tmp_path / "sweep.jsonl"
    path.write_bytes(first_sweep)
    mdata["rna"].obsm["X_other"] = mdata["rna"].X * 2
    first = {"n_repeats": 1, "label_keys": ["cell_type"], "path": path, **QUICK}
    with unchanged(mdata), pytest.raises(ValueError, match=f"holds 1 fits of another sweep.*{message}"):
        sweep(mdata, [2], **{**first, **arguments})
    assert path.read_bytes() == first_sweep
    sweep(mdata, [2], **first)  # with the settings of then, nothing is left to do
    assert count_fits[0] == []


def test_refuses_other_data(mdata, make_mdata, tmp_path):
    path = tmp_path / "sweep.jsonl"
    arguments = {"n_repeats": 1, "label_keys": ["cell_type"], "path": path, **QUICK}
    sweep(mdata, [2], **arguments)
    content = path.read_bytes()
    mdata.obs["cell_type"] = mdata.obs["cell_type"].cat.rename_categories({"B": "b"})
    with pytest.raises(ValueError, match=r"another sweep.*: other column 'cell_type'\. Call"):
        sweep(mdata, [2], **arguments)
    mdata.obs["cell_type"] = mdata.obs["cell_type"].cat.rename_categories({"b": "B"})
    mdata["prot"].X[0, 0] += 1
    with pytest.raises(ValueError, match=r"another sweep.*: other representation of 'prot'\. Call"):
        sweep(mdata, [2], **arguments)
    other = make_mdata(n_cells=100)
    other.obs["cell_type"] = np.where(np.arange(100) % 2, "B", "T")
    with pytest.raises(ValueError, match="other names of the cells"):
        sweep(other, [2], **arguments)
    assert path.read_bytes() == content


def test_a_file_that_two_sweeps_began_at_once(mdata, tmp_path, count_fits):
    """Each wrote the first line."""
    path = tmp_path / "sweep.jsonl"
    sweep(mdata, [2], n_repeats=1, path=path, **QUICK)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], *lines]))
    table = sweep(mdata, [2, 3], n_repeats=1, path=path, **QUICK)
    assert set(table["out_dim"]) == {2, 3}
    assert [out_dim for out_dim, _ in count_fits[0]] == [2, 3]
    path.write_bytes(path.read_bytes() + b'{"some": "thing"}\n')
    with pytest.raises(ValueError, match="damaged: 1 of its lines hold no fit"):
        sweep(mdata, [2], n_repeats=1, path=path, **QUICK)


@pytest.mark.parametrize("content", [b"cell,type\na,b\n", b"[1, 2]\n", b"\x00\x01", b'{"clipdim_sweep": 3}\n'])
def test_refuses_a_file_of_something_else(mdata, tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is not a file that clipdim.tl.sweep wrote"):
        sweep(mdata, [2], path=path, **QUICK)
    assert path.read_bytes() == content


SCRIPT = """
import signal, sys, warnings
import numpy, clipdim
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs the tests with & makes it ignored
warnings.simplefilter("always")
mdata = clipdim.datasets.linear(n_cells=2_000)
mdata.obs["sign"] = numpy.where(mdata["x"].X[:, 0] > 0, "up", "down")
table = clipdim.tl.sweep(mdata, [2, 4, 6, 8], label_keys="sign", n_repeats=3, n_jobs=2, device="cpu", path=sys.argv[1])
print(table.groupby(["out_dim", "repeat"]).ngroups, len(mdata.uns["clipdim_sweep"]["failures"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_ctrl_c_in_a_script_without_a_main_function(tmp_path):
    script, path = tmp_path / "script.py", tmp_path / "sweep.jsonl"
    script.write_text(SCRIPT)
    arguments = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen([sys.executable, script, path], **arguments) as process:
        while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < 4):
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    n_finished, n_failed = map(int, output.split())
    assert 3 <= n_finished < 12
    assert n_failed == 0
    assert f"interrupted after {n_finished} of 12 fits" in errors
    found = subprocess.run([sys.executable, script, path], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["12", "0"]
    assert path.read_bytes().count(b"\n") == 13


def test_progress_bar_counts_fits(mdata, capsys, tmp_path):
    path = tmp_path / "sweep.jsonl"
    sweep(mdata, [2], n_repeats=2, path=path, **QUICK)
    sweep(mdata, [2], n_repeats=3, path=path, **{**QUICK, "progress": True})
    assert "3/3" in capsys.readouterr().err
