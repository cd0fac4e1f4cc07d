"""Small pieces of work on the cores that PyTorch may use, each piece on one core.

An operation that PyTorch shares out ends when its slowest core does, and between two of
them the other cores wait by spinning: beside another busy program, or beside a second
pool of threads, each such end costs the time until a core comes back. Here a core takes
the next piece as soon as it has done one, and one that has nothing to do sleeps.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

import torch

Piece = TypeVar("Piece")


def share_out(work: Callable[[Piece], object], pieces: Iterable[Piece],
              halved: bool = False) -> None:
    """Call `work` on every piece, as many at a time as PyTorch has threads.

    No gradients are recorded, and what `work` raises is raised here. Pieces must not
    write to the same numbers; they begin in order. halved: on half as many cores; for
    short work next to an operation of PyTorch, whose threads still spin on the others.

    >>> squares = torch.zeros(4)
    >>> share_out(lambda i: squares[i].fill_(i**2), range(4))
    >>> squares
    tensor([0., 1., 4., 9.])
    """
    pieces = list(pieces)
    waiting = iter(pieces)

    @torch.no_grad()
    def turn() -> None:
        for piece in waiting:
            work(piece)

    threads = torch.get_num_threads()
    if min(threads, len(pieces)) < 2:
        turn()
        return
    count = min(threads // 2 if halved else threads, len(pieces))
    pool = _pool(threads, os.getpid())
    turns = [pool.submit(turn) for _ in range(count)]
    wait(turns)
    for done in turns:
        done.result()


@cache
def _pool(count: int, process: int) -> ThreadPoolExecutor:
    """Threads that give PyTorch one core each; a forked process has its own."""
    return ThreadPoolExecutor(count, "gravity", _on_one_core)


def _on_one_core() -> None:
    """Give PyTorch one core in this thread.

    A thread that has not yet asked how many it has takes, at the first operation, what
    another thread has set since.
    """
    torch.get_num_threads()
    torch.set_num_threads(1)
