"""What a new vocabulary has to beat: going on with BPE's own merges.

Training goes on where it ended: the words are cut as the tokenizer cuts them, the most
frequent pair of neighbours becomes a piece, and so on. Every step on the way to a long
piece is a piece too, and takes an id. Room is made by giving up leaves, the pieces of
which no other one is made (Purason et al., 2025, arXiv:2512.03989).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise
from math import inf

import numpy as np
from numba import types
from numba.typed import Dict
from tokenizers import Tokenizer

from lib.tokens.distill import bpe_cuts, merge_table, piece_bytes, to_chars
from lib.tokens.lattice import compiled

__all__ = ["continued_bpe", "continued_merges", "halves", "leaves", "tokens_of",
           "without"]


def continued_merges(teacher: Tokenizer, words: Mapping[bytes, int], size: int
                     ) -> list[tuple[bytes, bytes]]:
    """The next ``size`` merges that BPE would learn from the words.

    Of pairs that are equally frequent the one with lower ids comes first.
    """
    pieces = piece_bytes(teacher)
    cuts = bpe_cuts(teacher, list(words))
    bounds = np.zeros(len(cuts) + 1, np.int64)
    np.cumsum([len(cut) for cut in cuts], out=bounds[1:])
    ids = np.array([i for cut in cuts for i in cut], np.int64)
    weight = np.fromiter(words.values(), np.int64, len(words))
    left, right = _merge(ids, bounds, weight, len(pieces), size)
    merges = []
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        merges.append((pieces[a], pieces[b]))
        pieces.append(pieces[a] + pieces[b])
    return merges


def continued_bpe(teacher: Tokenizer, merges: list[tuple[bytes, bytes]],
                  ids: Sequence[int] | None = None) -> Tokenizer:
    """The tokenizer with more merges.

    ids: of their pieces, one for each merge; None: past the end of the vocabulary.
    """
    spec = json.loads(teacher.to_str())
    model = spec["model"]
    size = teacher.get_vocab_size(with_added_tokens=True)
    pairs = bool(model["merges"]) and isinstance(model["merges"][0], list)
    for n, (left, right) in enumerate(merges):
        model["vocab"].setdefault(to_chars(left + right), ids[n] if ids else size + n)
        pair = [to_chars(left), to_chars(right)]
        model["merges"].append(pair if pairs else " ".join(pair))
    return Tokenizer.from_str(json.dumps(spec))


def halves(teacher: Tokenizer) -> list[list[int]]:
    """For every id the two ids of its piece's last merge; none where there is none."""
    pieces, ranks = piece_bytes(teacher), merge_table(teacher)
    ids = {piece: index for index, piece in enumerate(pieces) if piece}
    return [[ids[part] for part in _last_merge(piece, ranks)] if len(piece) > 1 else []
            for piece in pieces]


def leaves(teacher: Tokenizer, words: Mapping[bytes, int], size: int,
           parts: Sequence[Sequence[int]] | None = None) -> list[int]:
    """The ids of so many pieces that merges can do without, the least used first.

    A leaf is a piece of which no other one is made. One that goes hands its uses to the
    two pieces of its last merge, which may be leaves then. Of equals the highest id
    goes first. Single bytes and special tokens stay. parts: see `halves`.
    """
    pieces, parts = piece_bytes(teacher), parts or halves(teacher)
    made_of = Counter(chain.from_iterable(parts))
    uses = [0] * len(pieces)
    for n, cut in zip(words.values(), bpe_cuts(teacher, list(words)), strict=True):
        for index in cut:
            uses[index] += n
    queue = [(uses[index], -index) for index, piece in enumerate(pieces)
             if len(piece) > 1 and not made_of[index]]
    heapify(queue)
    gone: list[int] = []
    while queue and len(gone) < size:
        n, index = heappop(queue)
        gone.append(-index)
        for part in parts[-index]:
            uses[part] += n
            made_of[part] -= 1
            if not made_of[part] and len(pieces[part]) > 1:
                heappush(queue, (uses[part], -part))
    return gone


def _last_merge(piece: bytes, ranks: Mapping[tuple[bytes, bytes], int]
                ) -> tuple[bytes, ...]:
    """The two parts of which merges make a piece; none where they do not make it."""
    parts = [piece[i:i + 1] for i in range(len(piece))]
    while len(parts) > 2:
        pair = min(pairwise(parts), key=lambda pair: ranks.get(pair, inf))
        if pair not in ranks:
            return ()
        at, joined = 0, []
        while at < len(parts):
            two = (*parts[at:at + 2],) == pair
            joined.append(b"".join(pair) if two else parts[at])
            at += 1 + two
        parts = joined
    return (*parts,) if (*parts,) in ranks else ()


def without(teacher: Tokenizer, gone: Collection[int]) -> Tokenizer:
    """The tokenizer without some pieces, and without the merges that need them."""
    spec = json.loads(teacher.to_str())
    model, away = spec["model"], {*gone}
    model["vocab"] = {chars: index for chars, index in model["vocab"].items()
                      if index not in away}
    model["merges"] = [
        pair for pair in model["merges"]
        if {*(both := pair if isinstance(pair, list) else pair.split(" ")),
            "".join(both)} <= model["vocab"].keys()]
    return Tokenizer.from_str(json.dumps(spec))


def tokens_of(tokenizer: Tokenizer, words: Mapping[bytes, int]) -> int:
    """How many tokens a tokenizer's model cuts the words into."""
    cuts = bpe_cuts(tokenizer, list(words))
    return sum(n * len(cut) for n, cut in zip(words.values(), cuts, strict=True))


@compiled
def _move(counts, born, left, right, new_left, new_right, n):
    """A pair of neighbours has become another one, ``n`` times."""
    counts[np.int64(left << 32 | right)] -= n
    key = np.int64(new_left << 32 | new_right)
    now = counts.get(key, np.int64(0))
    counts[key] = np.int64(now + n)
    if now == 0:
        born.append(key)


@compiled
def _merge(ids, bounds, weight, size, steps):
    """Merge the most frequent pair, ``steps`` times; words are changed in place.

    The heap may hold counts that have sunk since; one is right if the table says the
    same. For each piece a chain leads to the words in which it has ever stood.
    """
    ends = bounds[1:].copy()
    counts = Dict.empty(types.int64, types.int64)
    heads = np.full(size + steps, -1, np.int64)
    many = np.zeros(size + steps, np.int64)
    after = np.zeros(2 * len(ids) + 1, np.int64)
    word = np.zeros(2 * len(ids) + 1, np.int64)
    links = 0
    for w in range(len(weight)):
        for i in range(bounds[w], ends[w]):
            t = ids[i]
            if heads[t] < 0 or word[heads[t]] != w:
                after[links], word[links], heads[t] = heads[t], w, links
                many[t] += 1
                links += 1
            if i + 1 < ends[w]:
                key = np.int64(t << 32 | ids[i + 1])
                counts[key] = np.int64(counts.get(key, np.int64(0)) + weight[w])
    heap = [(-n, key) for key, n in counts.items()]
    heapify(heap)
    left, right = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    done = 0
    while done < steps and len(heap) > 0:
        n, key = heappop(heap)
        if counts[key] != -n:
            if counts[key] > 0:
                heappush(heap, (-counts[key], key))
            continue
        if n == 0:
            break
        a, b, new = key >> 32, key & 0xFFFFFFFF, size + done
        left[done], right[done] = a, b
        done += 1
        link = heads[a] if many[a] < many[b] else heads[b]
        born = [np.int64(0) for _ in range(0)]
        while link >= 0:
            w = word[link]
            link = after[link]
            lo, hi = bounds[w], ends[w]
            i = j = lo
            while i < hi:
                if i + 1 == hi or ids[i] != a or ids[i + 1] != b:
                    ids[j] = ids[i]
                    i, j = i + 1, j + 1
                    continue
                counts[key] -= weight[w]
                if j > lo:
                    last = ids[j - 1]
                    _move(counts, born, b if last == new else last, a, last, new,
                          weight[w])
                i += 2
                again = i + 1 < hi and ids[i] == a and ids[i + 1] == b
                if i < hi and not again:
                    _move(counts, born, b, ids[i], new, ids[i], weight[w])
                ids[j] = new
                j += 1
            if j == hi:
                continue
            ends[w] = j
            after[links], word[links], heads[new] = heads[new], w, links
            many[new] += 1
            links += 1
        for key in born:
            heappush(heap, (-counts[key], key))
    return left[:done], right[:done]
