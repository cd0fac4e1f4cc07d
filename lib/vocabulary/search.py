r"""Which pieces save the most tokens together: a search that counts their overlaps.

The tokens of a corpus, cut into the fewest pieces of a vocabulary $V$, are

$$ T(V) = \sum_w n_w \min_{y \in \text{cuts}_V(w)} |y| , $$

with $n_w$ the count of word (pre-token) $w$. Wanted is the set $S$ of so many new
pieces that makes $T(V \cup S)$ smallest. Pieces overlap: where “영화” is there, “영”
saves less. So nothing is summed piece by piece; for each word is known, exactly,

- the *loss* of a piece in $S$: the tokens more if it alone were missing,
- the *gain* of one outside: the tokens fewer if it alone came in (a piece that stands
  twice in one word is counted once there).

First the candidates of the highest gain are in, many times as many as are wanted, and
the pieces of the smallest loss go, a few per cent at a time. Then pieces are exchanged,
the best outside against the worst inside; what has been moved stays where it is for
some steps (tabu search, after Glover, 1989), and the best set met is the result.
Finding the very best set is NP-hard (Whittington et al., 2024, arXiv:2412.15210; Kozma
and Voderholzer, 2024, arXiv:2411.12483).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from lib.tokens.lattice import (
    Lattices,
    best_paths,
    build_lattices,
    build_trie,
    compiled,
)

__all__ = ["Found", "fewest_tokens", "find_candidates", "most_used", "search_pieces"]

_FAR = 1 << 40
REACH, FEW = 8, 2000  # of the candidates: times as many as are wanted, and some more


@dataclass(frozen=True)
class Found:
    """The pieces that a search chose, the one with the highest loss first.

    ``saved[i]`` is the loss of ``pieces[i]`` and ``uses[i]`` how often it stands in the
    cuts, both on the words of the search. ``history`` tells how many new pieces there
    were and how many tokens the words took, step by step.
    """

    pieces: list[bytes]
    saved: list[int]
    uses: list[int]
    tokens: int
    history: list[tuple[int, int]]


def find_candidates(words: Mapping[bytes, int], known: Collection[bytes],
                    least: int = 20, longest: int = 12) -> list[bytes]:
    """Strings of the words that could become pieces, the most frequent first.

    They are runs of at most ``longest`` whole characters, with or without the blank
    before a word, and the beginnings (two bytes or more) of characters that take
    several: what spells a rare character in fewer tokens. All occur ``least`` times.

    >>> [piece.decode() for piece in find_candidates({b"aba": 2, b"ab": 1}, {b"a"}, 2)]
    ['b', 'ab', 'ba', 'aba']
    """
    counts: Counter[str] = Counter()
    for word, n in words.items():
        try:
            text = word.decode()
        except UnicodeDecodeError:
            continue
        size = len(text)
        for i in range(size):
            for j in range(i + 1, min(size, i + longest) + 1):
                counts[text[i:j]] += n
    found = Counter({text.encode(): n for text, n in counts.items() if n >= least})
    begins: Counter[bytes] = Counter()
    for text, n in counts.items():
        if len(text) == 1:
            for k in range(2, len(text.encode())):
                begins[text.encode()[:k]] += n
    found |= Counter({piece: n for piece, n in begins.items() if n >= least})
    order = sorted(found, key=lambda piece: (-found[piece], len(piece), piece))
    return [piece for piece in order if piece not in known]


def fewest_tokens(words: Mapping[bytes, int], pieces: Sequence[bytes]) -> int:
    """How many tokens the words take, each cut into as few pieces as can be.

    >>> fewest_tokens({b"aba": 2, b"ab": 1}, [b"a", b"b", b"ab"])
    5
    """
    lattices = build_lattices(build_trie(list(pieces)), list(words))
    cuts = best_paths(lattices, np.full(len(pieces), -1.0))
    return sum(n * len(cut) for n, cut in zip(words.values(), cuts, strict=True))


def most_used(words: Mapping[bytes, int], pieces: Sequence[bytes],
              offered: Sequence[bytes], size: int) -> list[bytes]:
    """Of the offered pieces those used most when all of them are there (greedy)."""
    whole = [*pieces, *offered]
    lattices = build_lattices(build_trie(whole), list(words))
    uses = np.zeros(len(whole), np.int64)
    cuts = best_paths(lattices, np.full(len(whole), -1.0))
    for n, cut in zip(words.values(), cuts, strict=True):
        for index in cut:
            uses[index] += n
    order = np.argsort(-uses[len(pieces):], kind="stable")[:size]
    return [offered[i] for i in order]


def search_pieces(
    words: Mapping[bytes, int], pieces: Sequence[bytes], candidates: Sequence[bytes],
    size: int, *, steps: int = 1500, patience: int = 400, seed: int = 0,
    share: float = 0.05, bar: bool = True,
) -> Found:
    """Choose ``size`` of the candidates so that the words take the fewest tokens.

    Parameters
    ----------
    words
        How often each word occurs.
    pieces
        The bytes of the old pieces; empty for what no text may produce.
    candidates
        Pieces to choose from, none of them among the old ones.
    size
        How many to choose; all candidates where there are fewer.
    steps, patience
        Exchanges at most, and without a better set at most.
    seed
        Of how long a moved piece has to stay.
    share
        Of the candidates still in, how many go at a time at first.
    bar
        Show a progress bar.
    """
    old, offered = len(pieces), len(candidates)
    most = REACH * size + FEW
    weight = np.fromiter(words.values(), np.int64, len(words))
    lattices = build_lattices(build_trie([*pieces, *candidates]), list(words))
    if offered > most:
        state = _State(lattices, weight, old, old + offered)
        state.alive[old:] = False
        state.survey()
        best = np.sort(np.argsort(-state.gain[old:], kind="stable")[:most])
        candidates = [candidates[i] for i in best]
        lattices = build_lattices(build_trie([*pieces, *candidates]), list(words))
    state = _State(lattices, weight, old, old + len(candidates))
    history = [(len(candidates), state.survey())]
    with tqdm(total=max(len(candidates) - size, 0), desc="select",
              disable=not bar, leave=False) as progress:
        while (n := state.chosen()) > size:
            drop = min(n - size, max(1, int(share * n)))
            inside = old + np.flatnonzero(state.alive[old:])
            order = np.lexsort((state.use[inside], state.loss[inside]))
            state.alive[inside[order[:drop]]] = False
            history.append((n - drop, state.survey()))
            progress.update(drop)
    if 0 < state.chosen() < len(candidates):
        history += [(size, int(tokens)) for tokens in
                    state.exchange(steps, patience, seed)]
    tokens = state.survey()
    inside = old + np.flatnonzero(state.alive[old:])
    inside = inside[np.lexsort((-state.use[inside], -state.loss[inside]))]
    return Found([candidates[i - old] for i in inside], state.loss[inside].tolist(),
                 state.use[inside].tolist(), tokens, history)


class _State:
    """Which candidates are in, and what each gains, loses and is used for."""

    def __init__(self, words: Lattices, weight: np.ndarray, old: int, size: int):
        self.edges = (words.length, words.first, words.start, words.end, words.piece)
        self.weight, self.old = weight, old
        self.alive = np.ones(size, np.bool_)
        self.gain, self.loss, self.use = (np.zeros(size, np.int64) for _ in range(3))
        self.where, self.bounds = _words_of(words.first, words.piece, old, size)

    def chosen(self) -> int:
        return int(self.alive[self.old:].sum())

    def survey(self) -> int:
        for table in (self.gain, self.loss, self.use):
            table[:] = 0
        return _survey(*self.edges, self.weight, self.old, self.alive, self.gain,
                       self.loss, self.use)

    def exchange(self, steps: int, patience: int, seed: int) -> np.ndarray:
        history, best = np.zeros(steps, np.int64), self.alive.copy()
        done = _exchange(*self.edges, self.weight, self.old, self.alive, self.gain,
                         self.loss, self.use, self.where, self.bounds, steps, patience,
                         seed, history, best)
        self.alive[:] = best
        return history[:done]


@compiled
def _words_of(first, piece, old, size):
    """For each candidate the words in which it stands, one after another."""
    counts = np.zeros(size + 1, np.int64)
    last = np.full(size, -1, np.int64)
    for w in range(len(first) - 1):
        for e in range(first[w], first[w + 1]):
            p = piece[e]
            if p >= old and last[p] != w:
                last[p] = w
                counts[p + 1] += 1
    bounds = np.cumsum(counts)
    where = np.zeros(bounds[-1], np.int64)
    at = bounds[:-1].copy()
    last[:] = -1
    for w in range(len(first) - 1):
        for e in range(first[w], first[w + 1]):
            p = piece[e]
            if p >= old and last[p] != w:
                last[p] = w
                where[at[p]] = w
                at[p] += 1
    return where, bounds


@compiled
def _forward(lo, hi, n, start, end, piece, alive, without, best, back):
    """Fewest tokens up to each byte, the piece ``without`` left out."""
    best[0] = 0
    for j in range(1, n + 1):
        best[j], back[j] = _FAR, -1
    for e in range(lo, hi):
        p = piece[e]
        if alive[p] and p != without and best[start[e]] + 1 < best[end[e]]:
            best[end[e]] = best[start[e]] + 1
            back[end[e]] = e


@compiled
def _terms(w, sign, length, first, start, end, piece, weight, old, alive, gain, loss,
           use, room, marks):
    """Add (sign 1) or take away (-1) what word ``w`` tells; return its tokens."""
    lo, hi, n = first[w], first[w + 1], length[w]
    best, tail, back, other, way = room[0], room[1], room[2], room[3], room[4]
    mark, met = marks[0], marks[1]
    amount = sign * weight[w]
    _forward(lo, hi, n, start, end, piece, alive, -1, best, back)
    tail[n] = 0
    for j in range(n):
        tail[j] = _FAR
    for e in range(hi - 1, lo - 1, -1):
        if alive[piece[e]] and tail[end[e]] + 1 < tail[start[e]]:
            tail[start[e]] = tail[end[e]] + 1
    fewest = best[n]
    mark[0] += 1
    stamp = mark[0]
    for e in range(lo, hi):
        p = piece[e]
        if not alive[p]:
            less = fewest - (best[start[e]] + 1 + tail[end[e]])
            if met[p, 0] != stamp:
                met[p, 0], met[p, 1] = stamp, 0
            if less > met[p, 1]:
                gain[p] += amount * (less - met[p, 1])
                met[p, 1] = less
    j = n
    while j > 0:
        e = back[j]
        p = piece[e]
        use[p] += amount
        if p >= old and met[p, 0] != stamp:
            met[p, 0] = stamp
            _forward(lo, hi, n, start, end, piece, alive, p, other, way)
            loss[p] += amount * (other[n] - fewest)
        j = start[e]
    return fewest * weight[w]


@compiled
def _survey(length, first, start, end, piece, weight, old, alive, gain, loss, use):
    room = np.zeros((5, length.max() + 1), np.int64)
    marks = (np.zeros(1, np.int64), np.zeros((len(alive), 2), np.int64))
    total = 0
    for w in range(len(length)):
        total += _terms(w, 1, length, first, start, end, piece, weight, old, alive,
                        gain, loss, use, room, marks)
    return total


@compiled
def _exchange(length, first, start, end, piece, weight, old, alive, gain, loss, use,
              where, bounds, steps, patience, seed, history, best):
    """Exchange pieces; fill ``history`` and ``best``; return the steps done."""
    np.random.seed(seed)
    room = np.zeros((5, length.max() + 1), np.int64)
    marks = (np.zeros(1, np.int64), np.zeros((len(alive), 2), np.int64))
    gain[:], loss[:], use[:] = 0, 0, 0
    total = 0
    for w in range(len(length)):
        total += _terms(w, 1, length, first, start, end, piece, weight, old, alive,
                        gain, loss, use, room, marks)
    least, since = total, 0
    best[:] = alive
    held = np.zeros(len(alive), np.int64)
    inside = alive[old:].sum()  # half of a side is free to move, however small it is
    most = (len(alive) - old - inside) // 2 + 1, inside // 2 + 1
    for step in range(steps):
        for way_in in (True, False):
            p = -1
            for q in range(old, len(alive)):
                if alive[q] == way_in or held[q] > step:
                    continue
                if p < 0 or (gain[q] > gain[p] if way_in else loss[q] < loss[p]):
                    p = q
            if p < 0:
                alive[:] = best
                return step
            for sign in (-1, 1):
                for k in range(bounds[p], bounds[p + 1]):
                    total += sign * _terms(
                        where[k], sign, length, first, start, end, piece, weight, old,
                        alive, gain, loss, use, room, marks)
                if sign < 0:
                    alive[p] = way_in
            held[p] = step + min(20 + np.random.randint(20), most[int(way_in)])
        history[step] = total
        since += 1
        if total < least:
            least, since = total, 0
            best[:] = alive
        if since >= patience:
            return step + 1
    return steps
