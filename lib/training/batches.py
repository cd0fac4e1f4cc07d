"""Batches: drawn from rows without end, and cut for accumulation and processes.

A batch is a tensor, or a tuple or dictionary of tensors, with the rows first.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import recursively_apply
from torch import Tensor


class Epochs:
    """Whole batches without end, shuffled anew each epoch; a short rest is left out.

    rows: tensors of equal length (a tuple or a dictionary), cut by row; or any
    sequence, with `collate(list of rows)`. Epoch e has a generator of its own, so that
    `after(step)` starts anywhere at once.

    >>> data = Epochs((torch.arange(5), torch.arange(5) * 10), batch=2, seed=1)
    >>> x, y = next(iter(data))
    >>> len(data), x.shape, bool((y == 10 * x).all())
    (2, torch.Size([2]), True)
    >>> (next(data.after(3))[0] == next(islice(iter(data), 3, None))[0]).all().item()
    True
    """

    def __init__(self, rows: Any, batch: int, seed: int = 0,
                 collate: Callable | None = None):
        self.rows, self.batch, self.seed, self.collate = rows, batch, seed, collate
        self.size = len(rows) if collate else len(tensors_of(rows)[0])
        if not 1 <= batch <= self.size:
            raise ValueError(
                f"a batch of {batch} cannot be drawn from {self.size} rows; "
                f"use batch_size 1 to {self.size}, or more rows")

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.size // self.batch

    def __iter__(self) -> Iterator[Any]:
        return self.after(0)

    def order(self, epoch: int) -> Tensor:
        """Which rows an epoch takes, and in which order."""
        generator = torch.Generator().manual_seed((self.seed << 20) + epoch)
        order = torch.randperm(self.size, generator=generator)
        return order[: len(self) * self.batch]

    def after(self, step: int) -> Iterator[Any]:
        """The batches that follow the first `step`."""
        epoch, skip = divmod(step, len(self))
        while True:
            for picked in self.order(epoch).split(self.batch)[skip:]:
                if self.collate:
                    yield self.collate([self.rows[i] for i in picked.tolist()])
                else:
                    yield recursively_apply(lambda part, rows=picked: part[rows],
                                            self.rows)
            epoch, skip = epoch + 1, 0


def tensors_of(batch: Any) -> list[Tensor]:
    """All tensors of a batch."""
    if isinstance(batch, Tensor):
        return [batch]
    inner = batch.values() if isinstance(batch, Mapping) else batch
    return [tensor for part in inner for tensor in tensors_of(part)]


def cut(batch: Any, accumulation: int, accelerator: Accelerator) -> list[Any]:
    """This process's parts of a whole batch, on its device, one a backward pass."""
    world, rank = accelerator.num_processes, accelerator.process_index
    pieces, rows = accumulation * world, len(tensors_of(batch)[0])
    if rows < pieces:
        raise ValueError(
            f"a batch of {rows} cannot be cut into {accumulation} part(s) for each of "
            f"{world} process(es); raise batch_size to {pieces} or lower "
            "gradient_accumulation_steps")
    return [recursively_apply(lambda tensor, piece=i * world + rank:
                              tensor.tensor_split(pieces)[piece].to(accelerator.device),
                              batch)
            for i in range(accumulation)]


def batches_after(batches: Any, done: int) -> Iterator[Any]:
    """The batches that follow the first `done`; by `after` where there is one.

    >>> next(batches_after(["first", "second"], 1))
    'second'
    """
    if hasattr(batches, "after"):
        return batches.after(done)
    return islice(iter(batches), done, None)
