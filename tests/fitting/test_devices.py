import pytest
import torch

from clipdim.fitting.devices import SMALL_BATCH, threads_for


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("batch_size", "expected"), [(SMALL_BATCH, 1), (SMALL_BATCH + 1, 2)])
def test_small_batches_get_one_thread(two_threads, batch_size, expected):
    with threads_for(batch_size):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 2


def interrupted():
    with threads_for(SMALL_BATCH):
        raise KeyboardInterrupt


def test_the_number_of_threads_is_restored_after_an_interruption(two_threads):
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torch.get_num_threads() == 2
