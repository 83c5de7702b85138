import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).with_name("distributed_worker.py")
spec = importlib.util.spec_from_file_location("distributed_worker", WORKER)
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each of two processes found, by case."""
    folder = tmp_path_factory.mktemp("processes")
    processes = [
        subprocess.Popen([sys.executable, WORKER, folder, str(rank), "2"], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        for process in processes:
            assert process.wait(timeout=120) == 0, process.stderr.read()
    finally:
        for process in processes:  # one waits for the other for half an hour
            process.kill()
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("case", worker.CASES)
def test_gradients_equal_those_of_one_process(results, case):
    expected = worker.in_one_process(case)[0]
    for result in results:
        for ours, theirs in zip(result[case][0], expected, strict=True):
            assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


# minibatches of groups are drawn by a process that trains alone, and not by several
@pytest.mark.parametrize("case", [case for case in worker.CASES if case not in ("groups", "distillation")])
def test_training_equals_that_of_one_process(results, case):
    _, weights, losses = worker.in_one_process(case)
    for result in results:
        assert result[case][2] == pytest.approx(losses, rel=1e-4)
        for ours, theirs in zip(result[case][1], weights, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("case", worker.CASES)
def test_processes_end_with_the_same_weights(results, case):
    assert all(map(torch.equal, results[0][case][1], results[1][case][1]))
