"""Ways of others to fit a vocabulary to a domain, written anew from their papers.

`adaptivocab`: AdaptiVocab, Nakash et al., 2025, arXiv:2503.19693, algorithms 1 and 2.
`never_longer`: Herold et al., 2025, arXiv:2509.26124, algorithm 1. The third, continued
merges and pruned leaves, stands in `lib.vocabulary.baselines`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from lib.tokens.distill import merge_table, piece_bytes, to_bytes
from lib.vocabulary.reassign import words_of

__all__ = ["Patched", "adaptivocab", "never_longer"]

LONGEST = 3  # tokens of an n-token, as in the paper's experiments


@dataclass(frozen=True)
class Patched:
    """AdaptiVocab's tokenizer: the old one, with tokens taken apart and joined after.

    apart: what each removed token becomes. joined: the n-tokens.
    """

    old: Tokenizer
    apart: Mapping[int, Sequence[int]]
    joined: frozenset[tuple[int, ...]]

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """How many tokens each text takes: the longest n-token first, left to right."""
        encoded = self.old.encode_batch_fast(list(texts), add_special_tokens=False)
        return np.array([self._count(encoding.ids) for encoding in encoded], np.int64)

    def _count(self, ids: Sequence[int]) -> int:
        ids = [part for index in ids for part in self.apart.get(index, (index,))]
        at = count = 0
        while at < len(ids):
            at += next((n for n in range(LONGEST, 1, -1)
                        if (*ids[at:at + n],) in self.joined), 1)
            count += 1
        return count


def adaptivocab(teacher: Tokenizer, texts: Sequence[str], size: int,
                least: int = 2, within: bool = False) -> Patched:
    """Exchange so many tokens for n-tokens of the texts.

    The score of an n-token is its count times its length; each one taken lowers the
    scores of those that overlap it, wherever they do. least: times that an n-token
    occurs. within: no n-token crosses the border of a word, which the paper allows.
    """
    pieces = piece_bytes(teacher)
    encoded = teacher.encode_batch(list(texts), add_special_tokens=False)
    uses = np.bincount([i for one in encoded for i in one.ids], minlength=len(pieces))
    gone = [index for index in np.lexsort((-np.arange(len(pieces)), uses))
            if len(pieces[index]) > 1][:size]
    apart = _apart(teacher, gone)
    known: Counter[tuple[int, ...]] = Counter()
    rows = []
    for one in encoded:
        ids = [(part, word) for index, word in zip(one.ids, one.word_ids, strict=True)
               for part in apart.get(index, (index,))]
        rows.append(ids)
    for ids in rows:
        for n in range(2, LONGEST + 1):
            known.update(_grams(ids, n, within))
    order = [gram for gram, n in sorted(known.items(), key=lambda item: (-item[1],
                                                                         item[0]))
             if n >= least]
    numbers = {gram: n for n, gram in enumerate(order)}
    table = [[[numbers.get((*(i for i, _ in ids[at:at + n]),), -1)
               if at + n <= len(ids) and _whole(ids[at:at + n], within) else -1
               for n in range(2, LONGEST + 1)] for at in range(len(ids))]
             for ids in rows]
    flat = np.array([row for one in table for row in one], np.int32)
    score = np.array([known[gram] * len(gram) for gram in order], np.int64)
    chosen = _choose(flat, score, np.array([len(gram) for gram in order]), size)
    return Patched(teacher, apart, frozenset(order[n] for n in chosen))


def _whole(ids: Sequence[tuple[int, int]], within: bool) -> bool:
    return not within or len({word for _, word in ids}) == 1


def _grams(ids: Sequence[tuple[int, int]], n: int, within: bool
           ) -> Iterable[tuple[int, ...]]:
    return [(*(i for i, _ in ids[at:at + n]),) for at in range(len(ids) - n + 1)
            if _whole(ids[at:at + n], within)]


def _apart(teacher: Tokenizer, gone: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """The tokens that stand for each removed one, by the merges that had made it."""
    pieces, away = piece_bytes(teacher), {*gone}
    ids = {piece: index for index, piece in enumerate(pieces) if piece}
    halves: dict[bytes, tuple[bytes, bytes]] = {}
    for left, right in merge_table(teacher):
        halves.setdefault(left + right, (left, right))

    @cache
    def parts(piece: bytes) -> tuple[int, ...]:
        if ids[piece] not in away or piece not in halves:
            return (ids[piece],)
        return sum(map(parts, halves[piece]), ())

    return {index: parts(pieces[index]) for index in gone}


@njit(cache=True)
def _choose(flat, score, length, size):
    """The n-tokens by score, each of which lowers those that overlap it."""
    count = np.zeros(len(score) + 1, np.int64)
    for at in range(len(flat)):
        for n in range(flat.shape[1]):
            if flat[at, n] >= 0:
                count[flat[at, n] + 1] += 1
    first = np.cumsum(count)
    place = np.zeros(first[-1], np.int64)
    filled = first[:-1].copy()
    for at in range(len(flat)):
        for n in range(flat.shape[1]):
            g = flat[at, n]
            if g >= 0:
                place[filled[g]] = at
                filled[g] += 1
    chosen = []
    taken = np.zeros(len(score), np.bool_)
    widest = flat.shape[1] + 1
    while len(chosen) < size:
        best = -1
        for g in range(len(score)):
            if not taken[g] and score[g] > 0 and (best < 0 or score[g] > score[best]):
                best = g
        if best < 0:
            break
        taken[best] = True
        chosen.append(best)
        for k in range(first[best], first[best + 1]):
            at = place[k]
            for other in range(max(0, at - widest + 1),
                               min(len(flat), at + length[best])):
                for n in range(flat.shape[1]):
                    g = flat[other, n]
                    if g >= 0 and not taken[g] and other + length[g] > at:
                        score[g] -= length[g]
    return chosen


def never_longer(teacher: Tokenizer, texts: Sequence[str], size: int,
                 vocabulary: int = 60_000) -> list[tuple[bytes, bytes]]:
    """Merges that go behind all others, so that no text takes more tokens than before.

    A tokenizer learned from the texts alone offers its pieces, the most frequent first;
    one that the grown tokenizer cuts in two becomes a piece.
    """
    own = Tokenizer(models.BPE())
    own.normalizer, own.pre_tokenizer = teacher.normalizer, teacher.pre_tokenizer
    own.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocabulary, min_frequency=2, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    offered = [chars for chars, _ in sorted(own.get_vocab().items(),
                                            key=lambda item: item[1])]
    known, cut = {*piece_bytes(teacher)}, words_of(teacher)
    ranks, merges = dict(merge_table(teacher)), []
    for piece in map(to_bytes, offered):
        if len(merges) == size:
            break
        text = piece.decode(errors="replace")
        if piece in known or (text.encode() == piece and len(cut(text)) > 1):
            continue
        parts = _merged(piece, ranks)
        if len(parts) == 2 and (*parts,) not in ranks:
            merges.append((parts[0], parts[1]))
            ranks[parts[0], parts[1]] = len(ranks) + 1_000_000
            known.add(piece)
    return merges


def _merged(word: bytes, ranks: Mapping[tuple[bytes, bytes], int]) -> list[bytes]:
    """The parts into which merges cut a word."""
    parts = [word[i:i + 1] for i in range(len(word))]
    while len(parts) > 1:
        rank, at = min((ranks.get((parts[i], parts[i + 1]), 1 << 60), i)
                       for i in range(len(parts) - 1))
        if rank == 1 << 60:
            break
        parts[at:at + 2] = [parts[at] + parts[at + 1]]
    return parts
