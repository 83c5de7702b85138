"""Which cells make up the steps of an epoch."""

import torch
from torch import Generator, Tensor


class Minibatches:
    """
    Draws the minibatches of an epoch from cells that may lack modalities and belong to groups.

    All cells of a minibatch have the same modalities, and as far as its group has enough cells it is of one group:
    negatives come from a cell's own group, so a mixed minibatch has few of them. What is left of each group, or all of
    a small one, shares minibatches with others. Cells left over in one epoch come in another.

    Parameters
    ----------
    present
        (cells x modalities) bool. Cells with one modality or none are not drawn.
    batch_size
        Cells of a minibatch; all the cells of one set of modalities where there are fewer.
    groups
        (cells,) integers.

    Examples
    --------
    >>> import torch
    >>> from clipdim.contrast.minibatches import Minibatches
    >>> minibatches = Minibatches(torch.ones(6, 2, dtype=torch.bool), 2, torch.tensor([0, 1, 0, 1, 0, 1]))
    >>> [cells.tolist() for _, cells in minibatches.draw(None)]
    [[0, 2], [1, 3], [4, 5]]
    """

    def __init__(self, present: Tensor, batch_size: int, groups: Tensor | None = None) -> None:
        patterns, pattern = torch.unique(present, dim=0, return_inverse=True)
        self._parts = []
        for number, has in enumerate(patterns):
            cells = (pattern == number).nonzero().squeeze(1)
            if has.sum() > 1 and len(cells) > 1:
                modalities = has.nonzero().squeeze(1).tolist()
                self._parts.append(_Part(modalities, cells, batch_size, None if groups is None else groups[cells]))

    def __len__(self) -> int:
        return sum(part.n_minibatches for part in self._parts)

    def draw(self, generator: Generator | None) -> list[tuple[list[int], Tensor]]:
        """Return modalities and cells of each minibatch of an epoch; without a generator always the same ones."""
        drawn = [(part.modalities, cells) for part in self._parts for cells in part.draw(generator)]
        if generator is None or len(self._parts) == 1:
            return drawn
        order = torch.randperm(len(drawn), generator=generator, device=generator.device)
        return [drawn[number] for number in order.tolist()]


class _Part:
    """The cells of one set of modalities."""

    def __init__(self, modalities: list[int], cells: Tensor, batch_size: int, groups: Tensor | None) -> None:
        self.modalities, self.cells = modalities, cells
        self.size = min(batch_size, len(cells))
        self.n_minibatches = len(cells) // self.size
        self.codes: Tensor | None = None
        if groups is not None:
            self.codes = torch.unique(groups, return_inverse=True)[1]
            self.counts = torch.bincount(self.codes)

    def draw(self, generator: Generator | None) -> tuple[Tensor, ...]:
        n, device = len(self.cells), self.cells.device

        def draw_order(n: int) -> Tensor:
            return torch.arange(n, device=device) if generator is None else _permutation(n, generator)

        order = draw_order(n)
        if self.codes is None:
            return self.cells[order][: self.n_minibatches * self.size].split(self.size)
        # groups one after another, in random order, so that those that are dropped at the end differ
        places = draw_order(len(self.counts))
        place = places[self.codes[order]]
        order, place = order[place.argsort(stable=True)], place.sort().values
        counts = torch.empty_like(self.counts).scatter_(0, places, self.counts)
        number = torch.arange(n, device=device) - (counts.cumsum(0) - counts)[place]
        whole = number < (counts // self.size * self.size)[place]
        order = order[whole.logical_not().long().argsort(stable=True)]
        minibatches = self.cells[order][: self.n_minibatches * self.size].view(self.n_minibatches, self.size)
        return minibatches[draw_order(self.n_minibatches)].unbind()


def _permutation(n: int, generator: Generator) -> Tensor:
    return torch.randperm(n, generator=generator, device=generator.device)
