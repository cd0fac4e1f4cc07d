"""A merge list for a reassigned vocabulary: plain BPE, which every runtime reads.

The ids are those of the Unigram that `lib.vocabulary.reassign` makes. The merges of
given-up pieces are taken out, and merges that end in new pieces are put in.

**What it keeps.** A pre-token is cut as the original BPE cuts it, the same in every id,
if no new piece stands in it and the original merges no given-up piece on the way:

- A merge that was taken out has a given-up piece in it, so the original did not use it
  here. What it used is still there, in the same order.
- A merge that ends in a new piece needs that piece's bytes, which are not here.
- A *bridge* makes a kept piece q, which was made by way of a given-up one, of two
  tokens x y. Bridges come after all other merges, and so meet what the original made.
  In that x y are never neighbours: neighbours are what the BPE makes of what they spell
  (`lib.tokens.neighbours`), and of that it makes q.

**What it does not.** A merge joins two tokens. A new piece that the merges before it
leave in three or more is not made, and its id stays without use. And merges do not look
for the fewest tokens: where one of them reaches across the border of a new piece first,
the piece is not used there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise

from tokenizers import Tokenizer

from lib.tokens.bytelevel import merge_table, merging, piece_bytes, to_chars
from lib.tokens.distill import bpe_cuts
from lib.vocabulary.reassign import Rule

__all__ = ["MergeList", "merge_list", "with_steps"]

#: When a merge is tried: behind which merge of the original, and which of those there.
Ranks = dict[tuple[bytes, bytes], tuple[int, int]]
_FIRST = (-1, 0)


@dataclass(frozen=True)
class MergeList:
    """A plain BPE with the ids of a reassigned vocabulary, and what it lacks.

    ``unmade``: new pieces that no merges make. ``lost``: kept pieces that were made by
    way of given-up ones, and no longer are. ``bridges``: those that are, by a merge of
    their own.
    """

    tokenizer: Tokenizer
    unmade: tuple[bytes, ...]
    lost: tuple[bytes, ...]
    bridges: tuple[bytes, ...]


def merge_list(teacher: Tokenizer, rules: Sequence[Rule]) -> MergeList:
    """The teacher's BPE with the ids of the rules reassigned.

    A new piece is merged as soon as the merges before leave two tokens of it; after all
    others, if an old piece would be broken up otherwise.

    Raises
    ------
    ValueError
        If the teacher is no byte-level BPE, or a rule does not fit its vocabulary.
    """
    pieces = piece_bytes(teacher)
    for rule in rules:
        if not 0 <= rule.id < len(pieces) or pieces[rule.id] != rule.old:
            raise ValueError(
                f"the rule for id {rule.id} gives up {rule.old!r}, which this BPE does "
                "not have there; pass the tokenizer that was distilled"
            )
        pieces[rule.id] = rule.new
    given_up = {rule.old for rule in rules}
    new = sorted((rule.new for rule in rules), key=len)  # short ones help long ones
    wholes = [piece for piece in piece_bytes(teacher) if piece]
    never = given_up | _cut_up(teacher, wholes)
    kept = [piece for piece in wholes if piece not in never]
    table = merge_table(teacher)
    ranks: Ranks = {(a, b): (rank, 0) for (a, b), rank in table.items()
                    if not given_up.intersection((a, b, a + b))}
    late = len(table) + 1  # behind all merges of the original, and their bridges
    bridges = _bridged(ranks, sorted(_cut_up(_bpe(teacher, pieces, ranks), kept),
                                     key=len), late)
    ranks |= bridges
    gone = _cut_up(_bpe(teacher, pieces, ranks), kept)
    waiting: set[bytes] = set()
    while True:
        made = _bpe(teacher, pieces, ranks | _extended(ranks, new, waiting, late + 1))
        lost = _cut_up(made, kept)
        broken = b"\0".join(lost - gone)
        harmful = {piece for piece in new if piece in broken} - waiting
        if not harmful:
            break
        waiting |= harmful
    whole = {a + b for a, b in bridges} - lost
    return MergeList(made, *(tuple(piece for piece in some if piece in chosen)
                             for some, chosen in ((new, _cut_up(made, new)),
                                                  (kept, lost), (kept, whole))))


def _bpe(teacher: Tokenizer, pieces: Sequence[bytes], ranks: Ranks) -> Tokenizer:
    """The teacher with other pieces and merges."""
    spec = json.loads(teacher.to_str())
    vocab = {chars: index for chars, index in spec["model"]["vocab"].items()
             if index >= len(pieces) or not pieces[index]}  # special tokens
    vocab |= {to_chars(piece): index for index, piece in enumerate(pieces) if piece}
    spec["model"] |= {"vocab": vocab, "merges": [
        [to_chars(a), to_chars(b)] for a, b in sorted(ranks, key=ranks.__getitem__)]}
    return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))


def _cut_up(tokenizer: Tokenizer, pieces: Iterable[bytes]) -> set[bytes]:
    """Those of the pieces of which merges make no token."""
    pieces = list(pieces)
    cuts = bpe_cuts(merging(tokenizer), pieces)
    return {piece for piece, cut in zip(pieces, cuts, strict=True) if len(cut) != 1}


def _parts(word: bytes, ranks: Mapping, least: int
           ) -> tuple[list[bytes], tuple[int, int]]:
    """What merges make of a word, down to ``least`` tokens; the last rank among them.

    >>> _parts(b"abab", {(b"a", b"b"): (1, 0), (b"ab", b"ab"): (2, 0)}, 2)
    ([b'ab', b'ab'], (1, 0))
    """
    parts, last = [word[n:n + 1] for n in range(len(word))], _FIRST
    while len(parts) > least:
        pairs = [(ranks[pair], n) for n, pair in enumerate(pairwise(parts))
                 if pair in ranks]
        if not pairs:
            break
        rank, n = min(pairs)
        parts[n:n + 2] = [parts[n] + parts[n + 1]]
        last = max(last, rank)
    return parts, last


def _bridged(ranks: Ranks, pieces: Iterable[bytes], late: int) -> Ranks:
    """A merge for each piece that is two tokens now, short pieces first."""
    every = dict(ranks)
    for piece in pieces:
        parts, _ = _parts(piece, every, 2)
        if len(parts) == 2:
            every[parts[0], parts[1]] = late, len(every)
    return {pair: rank for pair, rank in every.items() if pair not in ranks}


def _extended(ranks: Ranks, new: Sequence[bytes], waiting: set[bytes],
              late: int) -> Ranks:
    """A merge for each new piece of which the merges before leave two tokens."""
    every, order = dict(ranks), count(1)
    for piece in new:
        if len(piece) == 1:
            continue
        parts, last = _parts(piece, every, 2)
        if len(parts) == 2:
            place = late if piece in waiting else last[0]
            every[parts[0], parts[1]] = place, next(order)
    return {pair: rank for pair, rank in every.items() if pair not in ranks}


def with_steps(teacher: Tokenizer, new: Sequence[bytes], size: int) -> list[bytes]:
    """As many of the new pieces as fit into ``size`` together with the steps to them.

    A step is a piece by way of which merges reach others. The pair of neighbours that
    stands in the most new pieces is the first step, and so on: for Korean, mostly the
    two bytes that many syllables begin with.
    """
    chosen = list(new[:size])
    while len(whole := [*chosen, *_steps(teacher, chosen)]) > size:
        most = len(chosen) * size // len(whole)
        del chosen[min(most, len(chosen) - 1):]
    return whole


def _steps(teacher: Tokenizer, new: Sequence[bytes]) -> list[bytes]:
    pieces = piece_bytes(teacher)
    cuts = bpe_cuts(merging(teacher), new)
    words = [[pieces[index] for index in cut] for cut in cuts]
    wanted, steps = set(new), []
    while words := [word for word in words if len(word) > 1]:
        whole = next((word for word in words if len(word) == 2), None)
        pairs = Counter(pair for word in words for pair in pairwise(word))
        first = whole or max(pairs, key=lambda pair: (
            b"".join(pair) in wanted, pairs[pair], pair))
        a, b = first
        if a + b not in wanted:
            steps.append(a + b)
        words = [_joined(word, a, b) for word in words]
    return steps


def _joined(word: list[bytes], a: bytes, b: bytes) -> list[bytes]:
    """A word with the neighbours a b made one, wherever they stand."""
    parts: list[bytes] = []
    for part in word:
        if part == b and parts and parts[-1] == a:
            parts[-1] = a + b
        else:
            parts.append(part)
    return parts
