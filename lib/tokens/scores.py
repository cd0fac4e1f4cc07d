"""Learning the scores: passive-aggressive passes over lattices, on several threads.

Nearly all words are far from their margin in nearly all passes. So each pass goes block
by block: threads look for the words of a block that fall short under the scores as they
are, and one thread moves the scores, word by word, for those alone. What the threads
find does not depend on how many they are, and so neither do the scores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm  # text on stderr: no widget stays behind on the page

from lib.tokens.lattice import (
    Lattices,
    build_lattices,
    build_trie,
    compiled,
    margins,
    rival,
    sweep,
)

__all__ = ["QUANTUM", "STAGES", "Distilled", "cores", "learn_scores", "whole_pieces"]

#: Scores are multiples of this: their sums are exact in float64, in any order, and
#: so few decimal digits survive every JSON parser.
QUANTUM = 2.0**-10

#: Margin, largest step and share of the passes, one row a stage.
STAGES = ((0.3, 1.0, 0.25), (0.1, 0.1, 0.25), (0.03, 0.01, 0.25), (0.01, 0.002, 0.25))

_BLOCK = 30_000  # words whose margins are met before the scores move


def cores() -> int:
    """How many threads to use: ``OMP_NUM_THREADS``, else the cores of this process."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Distilled:
    """Learned scores, and what each pass over the words met."""

    scores: np.ndarray
    history: list[dict[str, float | int]] = field(default_factory=list)


@compiled
def _meet(order, length, first, start, end, piece, gold, scores, seen):
    room = 1
    for w in order:
        room = max(room, length[w] + 1)
    best, on = np.zeros(room), np.zeros(room)
    back = np.zeros(room, np.int64)
    for w in order:
        seen[w] = rival(first[w], first[w + 1], length[w], start, end, piece, gold,
                         scores, best, back, on)


def _pass(words: Lattices, order: np.ndarray, scores: np.ndarray, margin: float,
          rate: float, give_up: float, firm: np.ndarray, seen: np.ndarray,
          pool: ThreadPoolExecutor, threads: int) -> int:
    """One pass over ``words[order]`` in blocks; how many words moved the scores."""
    arrays = (words.length, words.first, words.start, words.end, words.piece,
              words.gold)
    moved = 0
    for low in range(0, len(order), _BLOCK):
        block = order[low:low + _BLOCK]
        list(pool.map(lambda part: _meet(part, *arrays, scores, seen),
                      np.array_split(block, 4 * threads)))
        near = block[seen[block] < margin]
        for some, limit in ((near[~firm[near]], give_up), (near[firm[near]], np.inf)):
            moved += sweep(words, some, scores, margin, rate, limit, seen)
    return moved


def learn_scores(
    words: Lattices,
    start: np.ndarray,
    passes: int = 60,
    seed: int = 0,
    stages: Sequence[tuple[float, float, float]] = STAGES,
    give_up: float = 0.1,
    watch: Callable[[np.ndarray], float] | None = None,
    bar: bool = True,
    threads: int | None = None,
    firm: np.ndarray | None = None,
) -> Distilled:
    """Learn scores for which the best path of each word is its gold path.

    Margin and step shrink from stage to stage. Words far from their margin are
    looked at again every eighth pass only. From the half of the passes on, words
    whose gold path loses by more than ``give_up`` are left alone: no scores can
    satisfy them all. The result is the mean over the last 30 % of the passes.

    Parameters
    ----------
    words
        Lattices with gold paths.
    start
        Scores to begin with, for instance a closed form.
    passes
        Passes over the words.
    seed
        Order of the words.
    stages
        Margin, largest step and share of the passes, one row a stage.
    give_up
        See above.
    watch
        Called with the scores after every fourth pass; what it returns stands in
        the history under ``"watched"``.
    bar
        Show a progress bar.
    threads
        How many threads; the result is the same for any number. None: `cores`.

    firm
        Words that are never left alone, since nothing else can mend them.

    Raises
    ------
    ValueError
        If there are no words, no passes or no threads.
    """
    firm = np.zeros(len(words), np.bool_) if firm is None else firm
    threads = cores() if threads is None else threads
    if not len(words) or passes < 1 or threads < 1:
        raise ValueError(
            f"{len(words)} words, {passes} passes and {threads} threads came; learning "
            "needs at least one of each."
        )
    rng = np.random.default_rng(seed)
    scores = start.astype(np.float64).copy()
    total, summed = np.zeros_like(scores), 0
    seen = np.full(len(words), -np.inf)
    history: list[dict[str, float | int]] = []
    bounds = np.cumsum([share for *_, share in stages]) * passes
    active = np.arange(len(words))
    with ThreadPoolExecutor(threads) as pool:
        for n in tqdm(range(passes), desc="scores", disable=not bar, leave=False):
            stage = min(int(np.searchsorted(bounds, n, side="right")), len(stages) - 1)
            margin, rate, _ = stages[stage]
            if n % 8 == 0:
                active = np.arange(len(words))
            elif n % 8 == 1:
                active = np.flatnonzero(seen < 10 * margin + 0.1)
            off = give_up if 2 * n >= passes else np.inf
            moved = _pass(words, rng.permutation(active), scores, margin, rate, off,
                          firm, seen, pool, threads)
            history.append({"pass": n + 1, "margin": margin, "step": rate,
                            "moved": moved, "wrong": int((seen <= 0).sum())})
            if watch is not None and n % 4 == 3:
                history[-1]["watched"] = watch(scores)
            if n >= 0.7 * passes:
                total, summed = total + scores, summed + 1
    return Distilled(total / max(summed, 1), history)


def whole_pieces(
    pieces: Sequence[bytes], scores: np.ndarray, margin: float = 4 * QUANTUM
) -> np.ndarray:
    """Round to `QUANTUM`, and raise scores until every piece is cut into itself.

    A piece can only be beaten by shorter ones, so one pass by length is enough:
    each piece gets at least the best score of its parts plus ``margin``, which is a
    multiple of the quantum.
    """
    fixed = np.round(scores / QUANTUM) * QUANTUM
    trie = build_trie(pieces)
    by_length: dict[int, list[int]] = {}
    for index, piece in enumerate(pieces):
        by_length.setdefault(len(piece), []).append(index)
    for length in sorted(by_length):
        if length < 2:
            continue
        same = by_length[length]
        words = build_lattices(trie, [pieces[i] for i in same], [[i] for i in same])
        short = margin - margins(words, fixed)
        fixed[same] += np.maximum(short, 0)
    return fixed
