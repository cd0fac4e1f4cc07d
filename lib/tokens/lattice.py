"""Every way to cut a word, as a lattice of edges, and the best path through it.

A word of ``n`` bytes has nodes ``0 … n``; an edge ``i → j`` carries the piece
that spells the bytes ``i … j``. A segmentation is a path from ``0`` to ``n``,
and its score is the sum of the scores of its pieces. The kernels are compiled
by numba once and kept in ``__pycache__``.

>>> trie = build_trie([b"a", b"b", b"ab"])
>>> words = build_lattices(trie, [b"ab", b"abab"])
>>> best_paths(words, np.array([-1.0, -1.0, -1.5]))
[[2], [2, 2]]
>>> best_paths(words, np.array([-1.0, -1.0, -2.5]))
[[0, 1], [0, 1, 0, 1]]
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit

__all__ = ["Lattices", "Trie", "best_paths", "build_lattices", "build_trie",
           "margins", "rival_paths", "sweep", "wrong_words"]

def compiled(function: Callable) -> Callable:
    """Compile a kernel that threads may share; keep the machine code on disk.

    Kept under the module's one name only: a cache written under another (as by
    `python -m doctest lib/tokens/lattice.py`) could not be read back. Wrappers that a
    test run puts around every function stay outside.
    """
    return njit(cache=__name__ == "lib.tokens.lattice", nogil=True)(
        inspect.unwrap(function))


@dataclass(frozen=True)
class Trie:
    """The pieces of a vocabulary by their bytes.

    ``slots`` and ``children`` are an open-addressing table from
    ``256 · node + byte`` to the next node; ``piece[node]`` is the id of the
    piece that ends in this node, or -1.
    """

    slots: np.ndarray
    children: np.ndarray
    piece: np.ndarray


@dataclass(frozen=True)
class Lattices:
    """The lattices of many words, one after another in flat arrays.

    Word ``w`` has ``length[w]`` bytes and the edges
    ``first[w] … first[w + 1] - 1``, ordered by start, then by end. Edge ``e``
    goes ``start[e] → end[e]`` with piece ``piece[e]``; ``gold[e]`` says
    whether the path to be learned uses it.
    """

    length: np.ndarray
    first: np.ndarray
    start: np.ndarray
    end: np.ndarray
    piece: np.ndarray
    gold: np.ndarray

    def __len__(self) -> int:
        return len(self.length)


def _flat(items: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.zeros(len(items) + 1, np.int64)
    np.cumsum([len(item) for item in items], out=offsets[1:])
    return np.frombuffer(b"".join(items) + b"\0", np.uint8), offsets


@compiled
def slot_of(slots, key):
    """Where ``key`` is, or the free place where it would go."""
    mask = len(slots) - 1
    place = (key * 11400714819323198485 >> 20) & mask
    while slots[place] != -1 and slots[place] != key:
        place = (place + 1) & mask
    return place


@compiled
def _fill_trie(data, offsets, slots, children, piece):
    nodes = 1
    for i in range(len(offsets) - 1):
        if offsets[i] == offsets[i + 1]:
            continue
        node = 0
        for k in range(offsets[i], offsets[i + 1]):
            key = np.int64(node * 256 + data[k])
            place = slot_of(slots, key)
            if slots[place] == -1:
                slots[place] = key
                children[place] = nodes
                nodes += 1
            node = children[place]
        piece[node] = i
    return nodes


def build_trie(pieces: Sequence[bytes]) -> Trie:
    """The trie of ``pieces``; piece ``i`` has id ``i``, empty ones are left out.

    An empty piece stands for an id that no text may produce (a special token).
    """
    data, offsets = _flat(pieces)
    size = 1 << int(2 * len(data) + 2).bit_length()
    slots = np.full(size, -1, np.int64)
    children = np.zeros(size, np.int32)
    piece = np.full(len(data) + 1, -1, np.int32)
    nodes = _fill_trie(data, offsets, slots, children, piece)
    return Trie(slots, children, piece[:nodes].copy())


@compiled
def _walk(data, offsets, slots, children, piece, first, start, end, ids):
    """Count the edges of each word; when ``ids`` has room, write them too."""
    write = len(ids) > 0
    e = 0
    for w in range(len(offsets) - 1):
        lo, hi = offsets[w], offsets[w + 1]
        first[w] = e
        for i in range(lo, hi):
            node = 0
            for k in range(i, hi):
                place = slot_of(slots, np.int64(node * 256 + data[k]))
                if slots[place] == -1:
                    break
                node = children[place]
                if piece[node] >= 0:
                    if write:
                        start[e], end[e] = i - lo, k + 1 - lo
                        ids[e] = piece[node]
                    e += 1
    first[len(offsets) - 1] = e


@compiled
def _mark_gold(first, start, end, piece, gold, path, path_offsets):
    for w in range(len(first) - 1):
        p, at = path_offsets[w], 0
        for e in range(first[w], first[w + 1]):
            if p == path_offsets[w + 1]:
                break
            if start[e] == at and piece[e] == path[p]:
                gold[e] = True
                at = end[e]
                p += 1


def build_lattices(
    trie: Trie, words: Sequence[bytes], paths: Sequence[Sequence[int]] | None = None
) -> Lattices:
    """The lattices of ``words``; ``paths`` are the ids to be learned, if any."""
    data, offsets = _flat(words)
    tables = (trie.slots, trie.children, trie.piece)
    first = np.zeros(len(words) + 1, np.int64)
    length = np.diff(offsets)
    short = not len(words) or length.max() <= np.iinfo(np.uint16).max
    place = np.uint16 if short else np.uint32
    none, none32 = np.zeros(0, place), np.zeros(0, np.int32)
    _walk(data, offsets, *tables, first, none, none, none32)
    edges = int(first[-1])
    start, end = np.zeros(edges, place), np.zeros(edges, place)
    piece = np.zeros(edges, np.int32)
    if edges:
        _walk(data, offsets, *tables, first, start, end, piece)
    gold = np.zeros(edges, np.bool_)
    if paths is not None:
        flat = np.array([i for path in paths for i in path] + [-1], np.int32)
        bounds = np.zeros(len(paths) + 1, np.int64)
        np.cumsum([len(path) for path in paths], out=bounds[1:])
        _mark_gold(first, start, end, piece, gold, flat, bounds)
    return Lattices(length, first, start, end, piece, gold)


@compiled
def _viterbi(lo, hi, length, start, end, piece, scores, best, back):
    """Best path of one word, left to right; a later equal path never wins.

    Edges come by start, so of equal paths the one whose last piece starts
    earliest is kept: the rule of the Rust code in ``tokenizers``.
    """
    for j in range(length + 1):
        back[j] = -1
    best[0] = 0.0
    for e in range(lo, hi):
        i, j = start[e], end[e]
        if i > 0 and back[i] < 0:
            continue
        score = best[i] + scores[piece[e]]
        if back[j] < 0 or score > best[j]:
            best[j] = score
            back[j] = e


@compiled
def _best_paths(length, first, start, end, piece, scores, out, bounds):
    room = length.max() + 1
    best, back = np.zeros(room), np.zeros(room, np.int64)
    n = 0
    for w in range(len(length)):
        _viterbi(first[w], first[w + 1], length[w], start, end, piece, scores,
                 best, back)
        j, top = length[w], n
        while j > 0:
            out[n] = piece[back[j]]
            j = start[back[j]]
            n += 1
        out[top:n] = out[top:n][::-1].copy()
        bounds[w + 1] = n


def best_paths(words: Lattices, scores: np.ndarray) -> list[list[int]]:
    """The ids of the best path of each word, ties as ``tokenizers`` breaks them."""
    if not len(words):
        return []
    out = np.zeros(int(words.length.sum()), np.int32)
    bounds = np.zeros(len(words) + 1, np.int64)
    _best_paths(words.length, words.first, words.start, words.end, words.piece,
                scores, out, bounds)
    flat, cuts = out.tolist(), bounds.tolist()
    return [flat[a:b] for a, b in pairwise(cuts)]


@compiled
def _wrong(length, first, start, end, piece, gold, scores, out):
    room = length.max() + 1
    best, back = np.zeros(room), np.zeros(room, np.int64)
    for w in range(len(length)):
        _viterbi(first[w], first[w + 1], length[w], start, end, piece, scores,
                 best, back)
        j = length[w]
        while j > 0 and gold[back[j]]:
            j = start[back[j]]
        out[w] = j > 0


def wrong_words(words: Lattices, scores: np.ndarray) -> np.ndarray:
    """For each word, whether its best path differs from the gold path."""
    out = np.zeros(len(words), np.bool_)
    if len(words):
        _wrong(words.length, words.first, words.start, words.end, words.piece,
               words.gold, scores, out)
    return out


@compiled
def rival(lo, hi, length, start, end, piece, gold, scores, best, back, on):
    """Gold score minus the score of the best path that is not gold.

    ``on[j]`` is the score of the gold path up to ``j`` (NaN off the path);
    ``best[j]`` is the best path to ``j`` that has left it already. Returns
    infinity when the word has one path only.
    """
    for j in range(length + 1):
        best[j], on[j], back[j] = -np.inf, np.nan, -1
    on[0] = 0.0
    for e in range(lo, hi):
        i, j = start[e], end[e]
        s = scores[piece[e]]
        if best[i] + s > best[j]:
            best[j] = best[i] + s
            back[j] = e
        if not np.isnan(on[i]):
            if gold[e]:
                on[j] = on[i] + s
            elif on[i] + s > best[j]:
                best[j] = on[i] + s
                back[j] = -2 - e
    return on[length] - best[length]


@compiled
def _margins(length, first, start, end, piece, gold, scores, out):
    room = length.max() + 1
    best, on = np.zeros(room), np.zeros(room)
    back = np.zeros(room, np.int64)
    for w in range(len(length)):
        out[w] = rival(first[w], first[w + 1], length[w], start, end, piece, gold,
                        scores, best, back, on)


def margins(words: Lattices, scores: np.ndarray) -> np.ndarray:
    """Score of the gold path minus that of its best rival, for each word."""
    out = np.zeros(len(words))
    if len(words):
        _margins(words.length, words.first, words.start, words.end, words.piece,
                 words.gold, scores, out)
    return out


@compiled
def _sweep(order, length, first, start, end, piece, gold, scores, margin, rate,
           give_up, seen):
    room = length.max() + 1
    best, on = np.zeros(room), np.zeros(room)
    back = np.zeros(room, np.int64)
    delta = np.zeros(len(scores), np.int32)
    listed = np.zeros(len(scores), np.bool_)
    ids = np.zeros(2 * room, np.int32)
    moved = 0
    for w in order:
        lo, hi, j = first[w], first[w + 1], length[w]
        m = rival(lo, hi, j, start, end, piece, gold, scores, best, back, on)
        seen[w] = m
        if not (-give_up < m < margin):
            continue
        # delta = pieces of the gold path minus pieces of the rival; the two
        # differ from byte j on, before it the rival follows the gold path
        n = 0
        left = False
        while not left:
            e = back[j]
            left = e < -1
            if left:
                e = -2 - e
            delta[piece[e]] -= 1
            if not listed[piece[e]]:
                listed[piece[e]] = True
                ids[n] = piece[e]
                n += 1
            j = start[e]
        for e in range(lo, hi):
            if gold[e] and start[e] >= j:
                delta[piece[e]] += 1
                if not listed[piece[e]]:
                    listed[piece[e]] = True
                    ids[n] = piece[e]
                    n += 1
        norm = 0.0
        for k in range(n):
            norm += delta[ids[k]] * delta[ids[k]]
        step = min(rate, (margin - m) / norm) if norm > 0 else 0.0
        for k in range(n):
            scores[ids[k]] += step * delta[ids[k]]
            delta[ids[k]] = 0
            listed[ids[k]] = False
        moved += norm > 0
    return moved


def sweep(words: Lattices, order: np.ndarray, scores: np.ndarray, margin: float,
          rate: float, give_up: float, seen: np.ndarray) -> int:
    r"""One pass of passive-aggressive steps over ``words[order]``, in place.

    For the gold path $y$ of a word and its best rival $\hat y$, with
    $m = s(y) - s(\hat y)$ and $\Delta = \#y - \#\hat y$ (piece counts), a word
    with $-\text{give\_up} < m < \text{margin}$ moves the scores by

    $$ s \leftarrow s + \min\Bigl(\text{rate},
       \frac{\text{margin} - m}{\lVert\Delta\rVert^2}\Bigr)\,\Delta . $$

    The margins met on the way are written into ``seen``. Returns how many
    words moved the scores. After Crammer et al. (2006), PA-I.
    """
    return _sweep(order, words.length, words.first, words.start, words.end,
                  words.piece, words.gold, scores, margin, rate, give_up, seen)


@compiled
def _rival_paths(length, first, start, end, piece, gold, scores, out, bounds):
    room = length.max() + 1
    best, on = np.zeros(room), np.zeros(room)
    back = np.zeros(room, np.int64)
    n = 0
    for w in range(len(length)):
        j, top = length[w], n
        rival(first[w], first[w + 1], j, start, end, piece, gold, scores, best, back,
               on)
        left = back[j] == -1
        while not left:
            e = back[j]
            left = e < -1
            if left:
                e = -2 - e
            out[n] = piece[e]
            n += 1
            j = start[e]
        if back[length[w]] != -1:  # before byte j the rival follows the gold path
            for e in range(first[w + 1] - 1, first[w] - 1, -1):
                if gold[e] and end[e] <= j:
                    out[n] = piece[e]
                    n += 1
        out[top:n] = out[top:n][::-1].copy()
        bounds[w + 1] = n


def rival_paths(words: Lattices, scores: np.ndarray) -> list[list[int]]:
    """The ids of each word's best path that is not gold; none if there is no other."""
    if not len(words):
        return []
    out = np.zeros(int(words.length.sum()), np.int32)
    bounds = np.zeros(len(words) + 1, np.int64)
    _rival_paths(words.length, words.first, words.start, words.end, words.piece,
                 words.gold, scores, out, bounds)
    flat, cuts = out.tolist(), bounds.tolist()
    return [flat[a:b] for a, b in pairwise(cuts)]
