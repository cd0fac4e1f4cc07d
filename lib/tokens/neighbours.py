"""Which tokens of a byte-level BPE can be neighbours, and where it always cuts.

A sequence of tokens is what a BPE makes of the bytes it spells if and only if every
two neighbours are what the BPE makes of theirs. `Neighbours.valid` decides that for
two tokens by taking their merges back, the last one first; `Neighbours.sound` follows
the chains of neighbours that may begin a word.

Several merges of one token are no matter: wherever the token stands in what a BPE
makes, nothing was merged across its ends, so what was merged inside is what the BPE
merges in its bytes alone, and of that there is one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lib.tokens.lattice import build_trie, compiled, slot_of
from lib.tokens.scores import cores

__all__ = ["Neighbours"]

_NEVER = np.int64(2**61)
_BLOCK = 256  # texts that one thread takes at a time
_MANY = 3000  # tokens that may outlast a context; a shorter context counts as unsound


@compiled
def _rank(slots, ranks, left, right):
    place = slot_of(slots, np.int64(left) << 32 | np.int64(right))
    return ranks[place] if slots[place] != -1 else np.int64(2**61)


@compiled
def _valid(slots, ranks, made, lefts, rights, x, y, limit=_NEVER):
    """Take the last merge on either side of the border back, until none is left.

    ``limit``: the rank before which nothing may have been merged across it.
    """
    while True:
        if _rank(slots, ranks, x, y) < limit:
            return False
        if made[x] < 0 and made[y] < 0:
            return True
        if made[x] > made[y]:  # of equals the left one was merged first
            limit, x = made[x], rights[x]
        else:
            limit, y = made[y] + 1, lefts[y]


@compiled
def _reachable(table, merges, out):
    """Which tokens BPE makes of their own bytes; the others stand in no result.

    ``merges``: tokens with the ranks and the two parts of their merges, shorter tokens
    first. Of several merges of one token the BPE of its bytes ends in one at most: the
    one whose parts are the BPE of theirs with nothing merged across them before. That
    one is written into the table.
    """
    slots, ranks, made, lefts, rights = table
    tokens, at, first, second = merges
    for k in range(len(tokens)):
        token, rank, left, right = tokens[k], at[k], first[k], second[k]
        if not out[token] and out[left] and out[right] and _valid(
                slots, ranks, made, lefts, rights, left, right, rank):
            made[token], lefts[token], rights[token] = rank, left, right
            out[token] = True


@compiled
def _range(data, offsets, rest, low_end):
    """The first of the sorted pieces from ``rest`` on, or the first behind its kin."""
    low, high = 0, len(offsets) - 1
    while low < high:
        middle = (low + high) // 2
        piece = data[offsets[middle]:offsets[middle + 1]]
        less = len(piece) < len(rest)
        for k in range(min(len(piece), len(rest))):
            if piece[k] != rest[k]:
                less = piece[k] < rest[k]
                break
        else:
            if not low_end:
                less = True
        if less:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _follows(table, chain, count, token):
    slots, ranks, made, lefts, rights = table
    for k in range(count):
        if _valid(slots, ranks, made, lefts, rights, chain[k], token):
            return True
    return False


@compiled
def _sound(table, trie, pieces, text, place, most, longest):
    tslots, children, ends = trie
    data, offsets, ids = pieces
    size = len(text)
    room = min(size, longest) + 1  # tokens that end in one place differ in length
    chain = np.zeros((size + 1, room), np.int32)  # crossing after the place
    count = np.zeros(size + 1, np.int64)
    for i in range(size):
        if i == place or (i > 0 and count[i] == 0):
            continue
        node, complete = 0, True
        for k in range(i, size):
            slot = slot_of(tslots, np.int64(node * 256 + text[k]))
            if tslots[slot] == -1:
                complete = False
                break
            node = children[slot]
            token, j = ends[node], k + 1
            if token < 0 or j == place:
                continue
            if i == 0 or _follows(table, chain[i], count[i], token):
                if j == size:
                    return False
                chain[j, count[j]] = token
                count[j] += 1
        if complete:  # tokens that go on past the end
            low = _range(data, offsets, text[i:], True)
            high = _range(data, offsets, text[i:], False)
            if high - low > most:
                return False
            for n in range(low, high):
                if i == 0 or _follows(table, chain[i], count[i], ids[n]):
                    return False
    return True


@compiled
def _contexts(table, trie, pieces, kept, texts, places, most, longest, out):
    """For each text the shortest end of a character, behind its place, up to which it
    is sound there; 0 where it is not, as a whole."""
    data, offsets = texts
    for n in range(len(places)):
        text, place = data[offsets[n]:offsets[n + 1]], places[n]
        ends = [k for k in range(place + 1, len(text) + 1)
                if k == len(text) or text[k] & 0xC0 != 0x80]
        low, high = 0, len(ends)  # sound from some end on
        while low < high:
            middle = (low + high) // 2
            both = text[:ends[middle]]
            whole = _range(*kept, both, True) < _range(*kept, both, False)
            if not whole and _sound(table, trie, pieces, both, place, most, longest):
                high = middle
            else:
                low = middle + 1
        out[n] = ends[low] if low < len(ends) else 0


class Neighbours:
    """The pairs of tokens that a byte-level BPE can put side by side.

    Parameters
    ----------
    pieces
        The bytes of each token by id; empty for special tokens.
    merges
        Pairs of bytes and the ranks at which they are merged, from 1; several of them
        may make one token. A token that BPE never makes of its own bytes has no
        neighbours.
    whole
        Whether a word that is a piece stays whole, whatever the merges make of it
        (``ignore_merges``).
    alphabet
        The ids of the tokens that words consist of before any merge; None: single
        bytes. Words of other alphabets must be given whole letters at a time.
    """

    def __init__(
        self, pieces: Sequence[bytes], merges: Mapping[tuple[bytes, bytes], int],
        whole: bool = False, alphabet: Iterable[int] | None = None,
    ):
        ids = {piece: n for n, piece in enumerate(pieces) if piece}
        size = 1 << int(2 * len(merges) + 2).bit_length()
        slots, ranks = np.full(size, -1, np.int64), np.zeros(size, np.int64)
        made = np.full(len(pieces), -1, np.int64)
        lefts, rights = np.zeros_like(made), np.zeros_like(made)
        keys = [ids[a] << 32 | ids[b] for a, b in merges]
        _fill(slots, ranks, np.array(keys or [0], np.int64)[:len(keys)],
              np.array([*merges.values()] or [0], np.int64)[:len(keys)])
        self._table = slots, ranks, made, lefts, rights
        if alphabet is None:
            alphabet = [n for n, piece in enumerate(pieces) if len(piece) == 1]
        self._made = np.zeros(len(pieces), np.bool_)
        self._made[list(alphabet)] = True
        steps = sorted(((len(a + b), rank, ids[a + b], ids[a], ids[b])
                        for (a, b), rank in merges.items()))
        columns = np.array(steps or [[0] * 5], np.int64)[:len(steps)].T
        _reachable(self._table, (columns[2], columns[1], columns[3], columns[4]),
                   self._made)
        self._kept = sorted(ids) if whole else []
        self._kept_bytes = (
            np.frombuffer(b"".join(self._kept) + b"\0", np.uint8),
            np.cumsum([0, *map(len, self._kept)]))
        pieces = [piece if self._made[n] else b"" for n, piece in enumerate(pieces)]
        ids = {piece: n for n, piece in enumerate(pieces) if piece}
        trie = build_trie(pieces)
        self._trie = trie.slots, trie.children, trie.piece
        known = sorted(ids)
        self._longest = max(map(len, known))
        self._pieces = (np.frombuffer(b"".join(known), np.uint8),
                        np.cumsum([0, *map(len, known)]),
                        np.array([ids[piece] for piece in known], np.int64))

    def valid(self, left: int, right: int) -> bool:
        """Whether BPE cuts what two tokens spell into these two tokens."""
        reached = self._made[left] and self._made[right]
        return bool(reached and _valid(*self._table, left, right))

    def keeps(self, word: bytes) -> bool:
        """Whether a word stays whole because it is a piece, whatever merges make."""
        at = bisect_left(self._kept, word)
        return at < len(self._kept) and self._kept[at] == word

    def sound(self, prefix: bytes, context: bytes) -> bool:
        """Whether BPE cuts every word that begins with both after the prefix.

        Follows all chains of possible neighbours over prefix + context from the left,
        with tokens that may go on past the end. Sound if no chain with a token across
        the place gets there. Says no, to be quick, where very many tokens might.
        Where pieces stay whole, none may begin with both.
        """
        both = prefix + context
        at = bisect_left(self._kept, both)
        if at < len(self._kept) and self._kept[at].startswith(both):
            return False
        text = np.frombuffer(both, np.uint8)
        return bool(_sound(self._table, self._trie, self._pieces, text, len(prefix),
                           _MANY, self._longest))

    def contexts(self, texts: Sequence[bytes], places: Sequence[int]) -> np.ndarray:
        """For each text, how much of it `sound` asks for to say yes at the place.

        The end, in bytes, of the shortest context whose last character is whole; 0
        where even all of the text does not do.
        """
        out = np.zeros(len(texts), np.int64)
        offsets = np.cumsum([0, *map(len, texts)])
        data = np.frombuffer(b"".join(texts) + b"\0", np.uint8)
        at = np.array(places, np.int64)

        def part(block: np.ndarray) -> None:
            low, high = int(block[0]), int(block[-1]) + 1
            _contexts(self._table, self._trie, self._pieces, self._kept_bytes,
                      (data, offsets[low:high + 1]), at[low:high], _MANY,
                      self._longest, out[low:high])

        blocks = np.array_split(np.arange(len(texts)), max(1, len(texts) // _BLOCK))
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(part, filter(len, blocks)))
        return out


@compiled
def _fill(slots, ranks, keys, values):
    for k in range(len(keys)):
        place = slot_of(slots, keys[k])
        slots[place], ranks[place] = keys[k], values[k]
