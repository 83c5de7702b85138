import pytest
import torch

from clipdim.tl._device import SMALL_BATCH, threads_for


@pytest.mark.parametrize(("batch_size", "within"), [(SMALL_BATCH, 1), (SMALL_BATCH + 1, 2)])
def test_small_batches_get_one_thread_and_the_number_is_restored(batch_size, within):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt), threads_for(batch_size):
            assert torch.get_num_threads() == within
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
