from contextlib import contextmanager

import numpy as np
import pytest
import torch


@pytest.fixture
def global_random_state_untouched():
    """Return a context manager: whatever happens inside, the global random states are afterwards what they were."""

    @contextmanager
    def untouched():
        torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()
        yield
        assert torch.equal(torch.get_rng_state(), torch_before)
        for after, before in zip(np.random.get_state(), numpy_before, strict=True):
            np.testing.assert_array_equal(after, before)

    return untouched
