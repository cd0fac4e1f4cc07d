"""From BPE to Unigram with the same ids: labels, scores, fidelity, one file.

A BPE cuts each pre-token by its merges. A Unigram model has one score
a piece and takes the cut with the highest sum. The teacher's cuts of any text are
free, so the scores are learned from them: closed forms first, then
passive-aggressive steps over the lattices of `lib.tokens.lattice`.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, compress, repeat
from pathlib import Path
from typing import cast

import numpy as np
from tokenizers import Tokenizer

from lib.data.mixture import MADE, made
from lib.tokens.augmentation import LONGEST_PART, recombined, runs
from lib.tokens.bytelevel import (
    count_words,
    dropped_bytes,
    merge_ranks,
    merge_table,
    piece_bytes,
    to_bytes,
    to_chars,
)
from lib.tokens.fidelity import differing
from lib.tokens.lattice import Trie, build_lattices, build_trie, wrong_words
from lib.tokens.mending import foreseen, mend
from lib.tokens.readings import Reading, reading_of
from lib.tokens.scores import (
    QUANTUM,
    STAGES,
    Distilled,
    learn_scores,
    whole_pieces,
)
from lib.tokens.sound_cuts import Rule, with_rules
from lib.tokens.teachers import expect_teacher

__all__ = ["LONGEST", "QUANTUM", "STAGES",
           "Distillation", "Distilled", "bpe_cuts", "closed_form_scores",
           "count_words", "distill", "dropped_bytes", "learn_scores", "merge_ranks",
           "merge_table", "piece_bytes", "save_unigram", "to_bytes", "to_chars",
           "unigram_cuts", "unigram_tokenizer", "viterbi", "whole_pieces"]

LONGEST = 128  # bytes of the longest word that takes part in learning
_AT_ONCE = 100_000  # words whose encodings are held at once
_FORESEEN = 300_000  # words outside the texts for which rules are looked for
_LEARNED = 4_000_000  # words of lists that take part in learning
_COMMON = 3_000  # words that the pattern matches on the way through the rules


def _cuts(tokenizer: Tokenizer, words: Sequence[bytes],
          spell: Callable[[bytes], str] = to_chars) -> list[list[int]]:
    bare = Tokenizer(tokenizer.model)  # no pre-tokenizer: one word stays one word
    cuts: list[list[int]] = []
    for low in range(0, len(words), _AT_ONCE):
        chars = [spell(word) for word in words[low:low + _AT_ONCE]]
        cuts += [encoding.ids for encoding in bare.encode_batch_fast(chars)]
    return cuts


def bpe_cuts(teacher: Tokenizer, words: Sequence[bytes]) -> list[list[int]]:
    """The ids into which the teacher's merges cut each word: the labels."""
    return _cuts(teacher, words)


def unigram_cuts(student: Tokenizer, words: Sequence[bytes]) -> list[list[int]]:
    """The ids into which a saved Unigram model cuts each word, by `tokenizers`."""
    return _cuts(student, words)


def viterbi(word: bytes, scores: Mapping[bytes, float]) -> list[bytes]:
    r"""The segmentation of ``word`` with the highest sum of scores.

    $$ \operatorname{best}(j) = \max_{i<j}\; \operatorname{best}(i) +
       s(\text{word}[i:j]) $$

    Of equal sums the one whose last piece is longest is kept, as in the Rust
    code of `tokenizers`. Written to be read; `lib.tokens.lattice` has the fast one.

    >>> viterbi(b"abab", {b"a": -1.0, b"b": -1.0, b"ab": -1.5})
    [b'ab', b'ab']

    Raises
    ------
    ValueError
        If no sequence of pieces spells the word.
    """
    best = [0.0] + [-np.inf] * len(word)
    came = [0] * (len(word) + 1)
    for i in range(len(word)):
        if best[i] == -np.inf:
            continue
        for j in range(i + 1, len(word) + 1):
            score = scores.get(word[i:j])
            if score is not None and best[i] + score > best[j]:
                best[j], came[j] = best[i] + score, i
    if best[-1] == -np.inf:
        raise ValueError(
            f"no pieces spell {word!r}; add its single bytes to the scores."
        )
    path, j = [], len(word)
    while j:
        path.append(word[came[j]:j])
        j = came[j]
    return path[::-1]


def closed_form_scores(
    teacher: Tokenizer, counts: Counter[bytes], labels: Sequence[Sequence[int]]
) -> dict[str, np.ndarray]:
    r"""Scores that need no learning, one array over the vocabulary each.

    $\log((n_t + 1) / \sum n)$ with $n_t$ the teacher's count of piece $t$ over
    the words of ``counts`` (cut as in ``labels``, same order); $-r_t$ with the
    merge rank; $-1$, which asks for the fewest pieces; $-\log(r_t + 300)$.
    """
    ranks = merge_ranks(teacher)
    used = np.ones_like(ranks)
    for n, path in zip(counts.values(), labels, strict=True):
        for index in path:
            used[index] += n
    return {
        "log frequency": np.log(used / used.sum()),
        "-rank": -ranks,
        "-1": -np.ones_like(ranks),
        "-log(rank + 300)": -np.log(ranks + 300),
    }


def unigram_tokenizer(teacher: Tokenizer, scores: np.ndarray) -> Tokenizer:
    """The teacher with its merges taken out and one score a piece put in.

    Normalizer, pre-tokenizer, decoder, special tokens and ids are the teacher's. What
    no text can have, such as special tokens, gets a score far below all others. Bytes
    without a piece, which a byte-level teacher drops, are taken out before the model
    sees them; a SentencePiece BPE's text is cut in units first.

    The file counts scores in `QUANTUM`, which changes no cut: a learned score is a
    whole number there, half as long as its decimal fraction.
    """
    reading = reading_of(teacher)
    return reading.tokenizer(reading.student(scores))


@dataclass(frozen=True)
class Distillation:
    """A student, the scores behind it and what was measured on the way.

    ``tokenizer`` is a `tokenizers.Tokenizer` whose model is a Unigram; ``scores`` has
    one number a piece, in the order of ids; ``report`` maps names to numbers; ``rules``
    are those in its pre-tokenizer.
    """

    tokenizer: Tokenizer
    scores: np.ndarray
    report: dict[str, float | int]
    rules: tuple[Rule, ...] = ()


def distill(
    teacher: Tokenizer, texts: Iterable[str] | Counter[bytes], *, passes: int = 60,
    made_items: int = 20_000, seed: int = 0, bar: bool = True, layer: bool = True,
    new_words: int | None = None, threads: int | None = None,
    lists: Iterable[tuple[str, float]] = (), room: float = 1.0,
) -> Distillation:
    """A Unigram tokenizer that cuts as the BPE ``teacher`` does.

    Parameters
    ----------
    teacher
        A byte-level or SentencePiece BPE; see `lib.tokens.teachers` for what it may
        hold.
    texts
        Documents to learn from; they are read once, in order. Or the counts of their
        words, as of `lib.tokens.counting`.
    passes
        Passes over the words while learning.
    made_items
        Made items of each kind (numbers, addresses, …) that join the words.
    seed
        Of the made items and of the order of the words.
    bar
        Show a progress bar.
    layer
        Mend the words of ``texts`` that scores get wrong, and their signs repeated any
        number of times up to `LONGEST`, by the sound cuts of `lib.tokens.sound_cuts`;
        and words of the lists and made ones while there is room. ``unmended`` in the
        report counts the words that stay wrong; see `lib.tokens.mending.mend`.
    new_words
        How many words made of parts of those in the texts join them; None: twelve
        times the made items, but at most twice as many as the texts hold.
    threads
        While learning; the result is the same for any number. None: all cores, or
        ``OMP_NUM_THREADS``.
    lists
        Texts of words that may come up, each text with the share of occurrences that
        one of its words is thought to have; see `lib.data.mixture.lexicon`. They are
        learned from like the texts, and mended by the use of each while there is room.
    room
        How large the file may become, as a multiple of the teacher's; what the words of
        the texts take is taken in any case.

    Raises
    ------
    ValueError
        If the teacher is none that can be distilled, or the texts are empty.
    """
    expect_teacher(teacher, layer)
    reading = reading_of(teacher)
    pieces, never, core = reading.pieces, reading.never, reading.core
    counts = (cast("Counter[bytes]", texts) if isinstance(texts, Counter)
              else reading.count(texts))
    if not counts:
        raise ValueError("the texts hold no words; pass at least one document.")
    listed = _listed(reading, lists)
    drawn = [*map(reading.word, runs(map(reading.text, counts), LONGEST))]
    asked = dict.fromkeys([*counts, *drawn])  # of these none may stay wrong
    long = [w for w in (word.translate(None, never) for word in asked)
            if len(w) > LONGEST]
    labels = _cuts(core, long, reading.chars)
    often = sorted(listed, key=lambda word: -listed[word])
    words = _words(reading, counts, made_items, new_words, seed,
                   chain(drawn, _stretches(long, labels, pieces), often[:_LEARNED]))
    labels = _cuts(core, words, reading.chars)
    trie = build_trie(pieces)
    lattices = build_lattices(trie, words, labels)
    firm = np.fromiter(map(_beyond_rules, words, labels, repeat(pieces)), np.bool_,
                       len(words))
    start = -np.log(reading.ranks() + 300)
    learned = learn_scores(lattices, start, passes, seed, bar=bar, threads=threads,
                           firm=firm)
    scores = whole_pieces(pieces, learned.scores)
    wrong = dict.fromkeys(compress(words, wrong_words(lattices, scores)))
    student = reading.student(scores)
    wrong |= dict.fromkeys(_otherwise(reading, trie, scores,
                                      [*long, *often[_LEARNED:]]))
    ours = [word for word in wrong if word in counts]
    report: dict[str, float | int] = {
        "types": len(counts), "occurrences": counts.total(), "words": len(words),
        "listed": len(listed), "wrong_types": len(ours),
        "wrong_occurrences": sum(counts[word] for word in ours),
        "wrong_listed": sum(word in listed for word in wrong),
    }
    both: list[Rule] = []
    if layer:
        kept = {*pieces} if reading.whole else set()  # no rule may break these
        rules, left = mend(core, student, [w.decode() for w in wrong if w in asked
                                           and w not in kept], reading)
        common = _common(reading, counts, listed)
        free = int(room * _size(teacher)) - _size(
            reading.tokenizer(with_rules(student, rules, common)))
        rare = min(listed.values(), default=1.0)
        others = {word: listed.get(word, rare) for word in wrong
                  if word not in asked and word not in kept and _text(word)}
        first = sorted(others, key=lambda word: -others[word])[:_FORESEEN]
        more = foreseen(core, student, {_text(word): others[word] for word in first},
                        rules, free, reading)
        both = list(dict.fromkeys([*rules, *more]))
        student = with_rules(student, both, common)
        split = _split_by_dropped(core, student, asked, never)
        if kept:  # a part that a rule leaves may be a piece no merges make
            split |= differing(core, student, filter(_text, asked))
        report |= {"rules": len(both), "foreseen": len(both) - len(rules),
                   "unmended": len(split.union(word.encode() for word in left))}
    return Distillation(reading.tokenizer(student), scores, report, tuple(both))


def _otherwise(reading: Reading, trie: Trie, scores: np.ndarray,
               words: Sequence[bytes]) -> Iterator[bytes]:
    """The words that the scores cut otherwise than the teacher's merges."""
    for low in range(0, len(words), _AT_ONCE):
        some = words[low:low + _AT_ONCE]
        lattices = build_lattices(trie, some, _cuts(reading.core, some, reading.chars))
        yield from compress(some, wrong_words(lattices, scores))


def _listed(reading: Reading, lists: Iterable[tuple[str, float]]) -> dict[bytes, float]:
    """The words of the lists as the teacher reads them, with how often each is thought
    to come up."""
    often: dict[bytes, float] = {}
    for text, share in lists:
        for word, count in reading.count([text]).items():
            often[word] = often.get(word, 0.0) + count * share
    return {word: share for word, share in often.items() if len(word) <= LONGEST}


def _common(reading: Reading, counts: Counter[bytes], listed: Mapping[bytes, float]
            ) -> dict[str, float]:
    """The most frequent words, and how often each comes up."""
    every = counts.total()
    often = {word: n / every for word, n in counts.items()}
    for word in listed:
        often[word] = often.get(word, 0.0) + listed[word]
    first = sorted(often, key=lambda word: -often[word])[:_COMMON]
    return {reading.text(word): often[word] for word in first}


def _beyond_rules(word: bytes, label: Sequence[int], pieces: Sequence[bytes]) -> bool:
    """Whether the word breaks inside characters only, where no rule reaches."""
    if len(label) < 2 or word.isascii():
        return False
    ends = accumulate(len(pieces[index]) for index in label[:-1])
    return all(word[end] & 0xC0 == 0x80 for end in ends)


def _split_by_dropped(teacher: Tokenizer, student: Tokenizer, words: Iterable[bytes],
                      never: bytes) -> set[bytes]:
    """Words that the student cuts otherwise since a byte without a piece stands within.

    The teacher leaves the byte out and merges across; the student's pre-tokenizer
    takes it out and breaks there.
    """
    holding = [word for word in words if word.translate(None, never) != word]
    return differing(teacher, student, filter(_text, holding))


def _size(tokenizer: Tokenizer) -> int:
    """Bytes of the file."""
    return len(tokenizer.to_str().encode())


def _text(word: bytes) -> str:
    return word.decode("utf-8", "ignore")


def _stretches(words: Sequence[bytes], labels: Sequence[Sequence[int]],
               pieces: Sequence[bytes]) -> Iterator[bytes]:
    """Parts, `LONGEST` bytes at most, of long words that are not ASCII.

    No rule reaches a place where BPE breaks inside characters alone, so such words have
    to be learned. They are parted at BPE's own boundaries, where the cuts of a part are
    those of the whole; each part begins in the middle of the one before.
    """
    for word, path in zip(words, labels, strict=True):
        if word.isascii():
            continue
        ends = list(accumulate(len(pieces[index]) for index in path))
        begin = 0
        while begin < len(word):
            end = ends[bisect_right(ends, begin + LONGEST) - 1]
            yield word[begin:end]
            if end == len(word) or end <= begin:
                break
            begin = ends[bisect_right(ends, (begin + end) // 2)]


def _words(reading: Reading, counts: Counter[bytes], made_items: int,
           new_words: int | None, seed: int, more: Iterable[bytes]) -> list[bytes]:
    """The words to learn from: those of the texts, made ones, more, and the pieces."""
    plain = (reading.text(word).strip() for word in counts)
    plain = sorted({word for word in plain
                    if word.isalpha() and 2 < len(word) <= LONGEST_PART})
    made_words: Counter[bytes] = Counter()
    for kind in MADE:
        made_words += reading.count([made(kind, made_items, seed + 1, plain).text])
    known = {reading.text(word): n for word, n in counts.items()}
    if new_words is None:
        new_words = min(2 * len(known), 12 * made_items)
    new = reading.spelled(recombined(known, new_words, seed))
    spelled = (word.translate(None, reading.never)
               for word in chain(counts, made_words, new, more, reading.pieces))
    return [w for w in dict.fromkeys(spelled) if 0 < len(w) <= LONGEST]


def save_unigram(student: Tokenizer, folder: Path) -> Path:
    """Write ``tokenizer.json`` into the folder, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tokenizer.json"
    part = folder / f".tokenizer.{os.getpid()}.part"
    student.save(str(part))
    part.replace(path)
    return path
