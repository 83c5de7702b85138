from itertools import chain

import numpy as np
import pytest
import torch

from clipdim.contrast.minibatches import Minibatches


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def everywhere(n_cells, n_modalities=2):
    return torch.ones(n_cells, n_modalities, dtype=torch.bool)


def cells_of(minibatches, seed=0):
    return [cells.tolist() for _, cells in minibatches.draw(generator(seed))]


def test_without_groups_cells_are_drawn_once():
    minibatches = Minibatches(everywhere(103), 25)
    drawn = cells_of(minibatches)
    assert [len(cells) for cells in drawn] == [25] * 4 == [25] * len(minibatches)
    assert len(set(chain(*drawn))) == 100
    assert drawn == cells_of(minibatches) != cells_of(minibatches, seed=1)


def test_full_minibatches_are_of_one_group():
    groups = torch.from_numpy(np.random.default_rng(0).choice(3, size=1_000, p=[0.6, 0.37, 0.03]))
    minibatches = Minibatches(everywhere(1_000), 64, groups)
    drawn = cells_of(minibatches)
    assert sorted(chain(*drawn)) == list(range(1_000))
    assert len(drawn) == len(minibatches)
    assert max(map(len, drawn)) <= 1.5 * 64
    pure = [set(groups[cells].tolist()) for cells in map(torch.tensor, drawn)]
    counts = torch.bincount(groups)
    assert sum(found == {0} for found in pure) >= counts[0] // 64
    assert sum(found == {1} for found in pure) >= counts[1] // 64
    assert any(len(found) > 1 for found in pure)


def test_mixed_minibatches_come_anywhere_in_an_epoch():
    """At the end of each they would be learned from last, when the rate is low."""
    groups = torch.arange(400) % 2  # each of 200 cells: three whole minibatches and 8 cells left
    groups[:10] = 2  # of a small group
    minibatches = Minibatches(everywhere(400), 64, groups)
    places = []
    for seed in range(40):
        mixed = [len(set(groups[torch.tensor(cells)].tolist())) > 1 for cells in cells_of(minibatches, seed)]
        assert mixed.count(True) == 1
        places.append(mixed.index(True))
    assert set(places) == set(range(len(minibatches)))


def test_every_cell_of_a_small_group_comes_up():
    groups = torch.zeros(400, dtype=torch.long)
    groups[:20], groups[20:35] = 1, 2
    assert sorted(chain(*cells_of(Minibatches(everywhere(400), 64, groups)))) == list(range(400))
    large = Minibatches(everywhere(400), 64, groups.clamp(max=0))
    seen = {cell for seed in range(20) for cells in cells_of(large, seed) for cell in cells}
    assert seen == set(range(400))


def test_cells_of_a_minibatch_have_the_same_modalities():
    present = torch.from_numpy(np.random.default_rng(0).random((600, 3)) < 0.7)
    drawn = Minibatches(present, 50).draw(generator())
    assert {tuple(modalities) for modalities, _ in drawn} == {(0, 1), (0, 2), (1, 2), (0, 1, 2)}
    for modalities, cells in drawn:
        expected = torch.zeros(3, dtype=torch.bool)
        expected[modalities] = True
        assert (present[cells] == expected).all()
    cells = torch.cat([cells for _, cells in drawn])
    assert len(cells.unique()) == len(cells)
    assert (present[cells].sum(dim=1) > 1).all()


def test_few_cells_of_a_set_of_modalities_make_one_minibatch():
    present = everywhere(100, 3)
    present[:7, 2] = False
    sizes = {tuple(modalities): len(cells) for modalities, cells in Minibatches(present, 64).draw(generator())}
    assert sizes == {(0, 1): 7, (0, 1, 2): 64}


@pytest.mark.parametrize("groups", [None, torch.arange(90) % 4])
def test_without_a_generator_the_order_is_fixed(groups):
    minibatches = Minibatches(everywhere(90), 16, groups)
    first, second = ([cells.tolist() for _, cells in minibatches.draw(None)] for _ in range(2))
    assert first == second
    if groups is None:
        assert first[0] == list(range(16))


def test_what_is_left_of_small_groups_comes_last_in_a_fixed_order():
    minibatches = Minibatches(everywhere(6), 2, torch.tensor([0, 1, 0, 1, 0, 1]))
    assert [cells.tolist() for _, cells in minibatches.draw(None)] == [[0, 2], [1, 3], [4, 5]]
