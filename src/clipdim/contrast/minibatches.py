"""Which cells make up the steps of an epoch."""

import torch
from torch import Generator, Tensor


class Minibatches:
    """Draws the minibatches of an epoch from cells that may lack modalities and belong to groups.

    All cells of a minibatch have the same modalities (``present`` says which, cells x modalities; those with fewer than
    two are not drawn), and as far as its group has enough cells it is of one group: negatives come from a cell's own
    group, so a mixed minibatch has few of them. What is left of each group, or all of a small one, shares minibatches
    with others. Cells left over in one epoch come in another, unless a group is small. Where fewer cells than a
    minibatch takes have the same modalities, all of them make one.
    """

    def __init__(self, present: Tensor, batch_size: int, groups: Tensor | None = None) -> None:
        # of numbers, since torch.unique of rows compares them one by one
        powers = 2 ** torch.arange(present.shape[1] - 1, -1, -1, device=present.device)
        numbers, pattern = torch.unique((present * powers).sum(dim=1), return_inverse=True)
        patterns = (numbers[:, None] & powers) > 0
        self._parts = []
        for number, has in enumerate(patterns):
            cells = (pattern == number).nonzero().squeeze(1)
            if has.sum() > 1 and len(cells) > 1:
                modalities = has.nonzero().squeeze(1).tolist()
                self._parts.append(_Part(modalities, cells, batch_size, None if groups is None else groups[cells]))

    @property
    def modalities(self) -> list[list[int]]:
        """Each set of modalities that minibatches have."""
        return [part.modalities for part in self._parts]

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
        self.codes: Tensor | None = None
        self.n_whole, self.n_shared = len(cells) // self.size, 0
        if groups is not None:
            self.codes = torch.unique(groups, return_inverse=True)[1]
            self.counts = torch.bincount(self.codes)
            self.n_whole = int((self.counts // self.size).sum())
            n_left = len(cells) - self.n_whole * self.size
            # with small groups none is dropped, since one of them might be dropped in every epoch
            self.keeps_all = n_left > 1 and bool(self.counts.min() < self.size)
            self.n_shared = max(1, round(n_left / self.size)) if self.keeps_all else n_left // self.size

    @property
    def n_minibatches(self) -> int:
        return self.n_whole + self.n_shared

    def draw(self, generator: Generator | None) -> list[Tensor]:
        n, device = len(self.cells), self.cells.device

        def draw_order(n: int) -> Tensor:
            if generator is None:
                return torch.arange(n, device=device)
            return torch.randperm(n, generator=generator, device=device)

        order = draw_order(n)
        if self.codes is None:
            return list(self.cells[order][: self.n_whole * self.size].split(self.size))
        # groups one after another, in random order, so that those that are dropped at the end differ
        places = draw_order(len(self.counts))
        place = places[self.codes[order]]
        order, place = order[place.argsort(stable=True)], place.sort().values
        counts = torch.empty_like(self.counts).scatter_(0, places, self.counts)
        number = torch.arange(n, device=device) - (counts.cumsum(0) - counts)[place]
        left = number >= (counts // self.size * self.size)[place]
        cells = self.cells[order[left.long().argsort(stable=True)]]
        whole, left = cells.tensor_split([self.n_whole * self.size])
        minibatches = list(whole.split(self.size)) if self.n_whole else []
        if self.n_shared:
            left = left if self.keeps_all else left[: self.n_shared * self.size]
            minibatches += left.tensor_split(self.n_shared)
        if generator is None:
            return minibatches
        return [minibatches[number] for number in draw_order(len(minibatches)).tolist()]
