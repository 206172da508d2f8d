"""The rows that a model is trained and evaluated on: a seed's own minibatches, and the rows that all share."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.datasets import Dataset
from bench.seeds import stream
from bench.training.checkpoint import State
from estimators.families.logits import below


class Batches:
    """Endless minibatches [E, size, X] in {0, 1}, from data that stay on the device.

    Each seed draws its own order and, for a dynamic data set, its own binarisation, from generators of its own: they
    are the same for every estimator and in every stack. The last rows that fill no batch wait for the next pass.

    A batch is made in two halves, so that the second can be captured: `advance`, on the host, shuffles where a pass
    begins; `gather`, on the device alone, takes the rows at a position that it moves on.

    Raises:
        ValueError: a batch larger than the train split.
    """

    def __init__(self, dataset: Dataset, size: int, seeds: Sequence[int], device: torch.device) -> None:
        self.count = len(dataset.train)
        if size > self.count:
            raise ValueError(f"batch = {size} is larger than the train split of {dataset.name}, {self.count} rows")
        self.train, self.dynamic = dataset.train.to(device), dataset.dynamic
        self.orders = [stream("data", seed) for seed in seeds]
        self.noise = [stream("binarisation", seed, device=device) for seed in seeds if dataset.dynamic]
        self.order = torch.zeros(len(seeds), self.count, dtype=torch.long, device=device)
        self.columns = torch.arange(size, device=device)
        self.position = torch.zeros((), dtype=torch.long, device=device)
        self.left = 0

    def advance(self) -> None:
        """Make ready for the next `gather`."""
        if self.left == 0:
            self.order.copy_(torch.stack([torch.randperm(self.count, generator=g) for g in self.orders]))
            self.position.zero_()
            self.left = self.count // len(self.columns)
        self.left -= 1

    def gather(self) -> Tensor:
        """The batch at the position, which moves on."""
        x = self.train[self.order.index_select(1, self.columns + self.position)]
        self.position += len(self.columns)
        if not self.dynamic:
            return x
        noise = [torch.rand(x.shape[1:], generator=g, dtype=x.dtype, device=x.device) for g in self.noise]
        return below(torch.stack(noise), x)

    def state(self) -> State:
        """All that later batches depend on, but for the rows."""
        return {
            "orders": [generator.get_state() for generator in self.orders],
            "noise": [generator.get_state() for generator in self.noise],
            "order": self.order,
            "position": self.position,
            "left": self.left,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the `state` of the batches of the same rows and seeds, written into the tensors that are there."""
        for name in ("orders", "noise"):
            for generator, kept in zip(getattr(self, name), state[name], strict=True):
                generator.set_state(kept)
        self.order.copy_(state["order"])
        self.position.copy_(state["position"])
        self.left = state["left"]

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        self.advance()
        return self.gather()


def subset(rows: Tensor, count: int, *keys: int) -> Tensor:
    """`count` of the rows [N, X], drawn once with a fixed seed and in their order; all of them where there are no more.

    Not the first: files are often sorted, and the first 500 test rows of static MNIST have 123 pixels on where all have
    104. The draw is the same for every estimator and seed, so that comparisons pair; other keys draw other rows.
    """
    if count >= len(rows):
        return rows
    return rows[torch.randperm(len(rows), generator=stream("rows", *keys))[:count].sort().values]


def binarised(rows: Tensor, *keys: int) -> Tensor:
    """Rows drawn once from intensities, with a seed fixed by the keys; binary rows stay as they are."""
    return below(torch.rand(rows.shape, generator=stream("binarise", *keys)), rows).to(rows.dtype)


def shared_rows(rows: Tensor, count: int, dynamic: bool, *keys: int) -> Tensor:
    """The `subset` that all are evaluated on; intensities of a dynamic data set are drawn to bits once."""
    chosen = subset(rows, count, *keys)
    return binarised(chosen, *keys) if dynamic else chosen
