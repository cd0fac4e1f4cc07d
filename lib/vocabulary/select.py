r"""Which ids to reassign: tokens that are hardly needed, for pieces that save the most.

In a BPE a piece is needed by every longer piece whose merges lead through it. In a
Unigram no piece rests on another one, so “needed” is a matter of text alone: giving up
piece $p$ costs

$$ \text{cost}(p) = n_p \cdot (|\text{cut}_{V \setminus p}(p)| - 1) $$

tokens on a general corpus in which it is used $n_p$ times: in each place it is replaced
by its best cut without it. The parts of that cut are used more often from then on, and
so are needed more. Special tokens and the pieces of one byte are never given up.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from tokenizers import Tokenizer

from lib.tokens.distill import LONGEST, dropped_bytes, viterbi
from lib.tokens.lattice import best_paths, build_lattices, build_trie
from lib.vocabulary.phrases import (
    count_documents,
    count_runs,
    find_phrases,
    usable,
)
from lib.vocabulary.reassign import (
    Rule,
    Rules,
    kept_text,
    left_whole,
    reassigned_scores,
    unigram_pieces,
    unigram_scores,
)
from lib.vocabulary.search import FEW, REACH, Found, find_candidates, search_pieces

__all__ = ["Selection", "Spare", "familiar", "lengths", "missing_bytes",
           "select_pieces", "spare_tokens", "uses_of"]

@dataclass(frozen=True)
class Spare:
    """A token that may go: how often text uses it, and the tokens more if it goes."""

    id: int
    piece: bytes
    uses: int
    cost: int


@dataclass(frozen=True)
class Selection:
    """What was selected, and from what.

    ``rules`` pairs the new pieces, the most useful one first, with the tokens that are
    given up, the cheapest one first; the two tables say what each of them saves or
    costs, in tokens on the texts of the selection.
    """

    rules: Rules
    given_up: list[Spare]
    found: Found
    missing: list[bytes]
    candidates: int


def missing_bytes(pieces: Iterable[bytes]) -> list[bytes]:
    """Bytes that UTF-8 uses and no piece spells: texts lose them without a word.

    SmolLM2's vocabulary lacks eight; they are the first new pieces of a selection.

    >>> missing_bytes(bytes([byte]) for byte in range(256) if byte != 4)
    [b'\\x04']
    """
    never = {0xC0, 0xC1, *range(0xF5, 0x100)}
    return [bytes([byte]) for byte in dropped_bytes(pieces) if byte not in never]


def uses_of(pieces: Sequence[bytes], scores: np.ndarray, words: Mapping[bytes, int]
            ) -> np.ndarray:
    """How often each piece stands in the best cuts of the words, by id."""
    uses = np.zeros(len(pieces), np.int64)
    if words:
        lattices = build_lattices(build_trie(list(pieces)), list(words))
        for n, cut in zip(words.values(), best_paths(lattices, scores), strict=True):
            for index in cut:
                uses[index] += n
    return uses


def spare_tokens(pieces: Sequence[bytes], scores: np.ndarray, uses: np.ndarray,
                 size: int, words: Mapping[bytes, int] | None = None) -> list[Spare]:
    """The ``size`` tokens that cost least to give up, one after another.

    Of tokens of the same cost those go first whose characters are the farthest from
    what is written in ``words``, see `familiar`; of these the one with the highest id,
    the latest merge, the rarest when the vocabulary was made.

    Parameters
    ----------
    pieces, scores
        Bytes and scores by id; bytes are empty for special tokens.
    uses
        How often each is used, by id.
    size
        How many; fewer are found where there are not so many.

    Raises
    ------
    ValueError
        If ``size`` is negative.

    >>> pieces = [b"a", b"b", b"ab", b"ba", b"aba"]
    >>> spare = spare_tokens(pieces, np.array([-1, -1, -1.5, -1.6, -2.2]),
    ...                      np.array([0, 0, 3, 2, 2]), 2)
    >>> [(token.piece, token.cost) for token in spare]
    [(b'aba', 2), (b'ba', 2)]
    """
    if size < 0:
        raise ValueError(f"size {size} came; give up no token, or some.")
    table = {piece: float(scores[i]) for i, piece in enumerate(pieces) if piece}
    ids = {piece: i for i, piece in enumerate(pieces) if piece}
    now = [int(n) for n in uses]
    near = familiar(pieces, words or {})
    queue = [(now[i], near[i], -i) for i, piece in enumerate(pieces)
             if len(piece) > 1]
    heapq.heapify(queue)
    found: list[Spare] = []
    while queue and len(found) < size:
        told, _, last = heapq.heappop(queue)
        i = -last
        cost, cut = 0, []
        if now[i]:
            whole = table.pop(pieces[i])
            cut = viterbi(pieces[i], table)
            table[pieces[i]] = whole
            cost = now[i] * (len(cut) - 1)
        if cost > told:  # it was a lower bound, or its parts are needed more by now
            heapq.heappush(queue, (cost, near[i], last))
            continue
        del table[pieces[i]]
        for part in cut:
            now[ids[part]] += now[i]
        found.append(Spare(i, pieces[i], now[i], cost))
    return found


def familiar(pieces: Sequence[bytes], words: Mapping[bytes, int]) -> list[int]:
    """How often words have characters near those of each piece: of its strangest one.

    Near is what lies in the same 256 code points, mostly one script. A text may bring a
    character of its own script that no text had before, but hardly a strange script.
    Pieces that are no whole characters count as the most familiar.

    >>> familiar([b"a", "가".encode(), "각!".encode()], {b"bc": 2, "갃".encode(): 1})
    [4, 1, 1]
    """
    counts: Counter[int] = Counter()
    for word, n in words.items():
        for char in word.decode(errors="ignore"):
            counts[ord(char) >> 8] += n
    most = counts.total()
    texts = (kept_text(piece) for piece in pieces)
    return [most if text is None else
            min((counts[ord(char) >> 8] for char in text), default=most)
            for text in texts]


def select_pieces(
    unigram: Tokenizer, domain: Mapping[bytes, int], general: Mapping[bytes, int], *,
    share: float = 0.05, least: int = 20, longest: int = 12, seed: int = 0,
    bar: bool = True, texts: Sequence[str] | None = None,
) -> Selection:
    """Choose new pieces for a domain, and the tokens that make room for them.

    Parameters
    ----------
    unigram
        The distilled tokenizer.
    domain, general
        Counts of the words (as `lib.tokens.distill.count_words` gives them with this
        tokenizer) of the texts that are to become shorter, and of those that are not
        to suffer.
    share
        Of the vocabulary, at most, that is reassigned.
    least, longest
        How often a new piece occurs at least, and how many characters it has at most.
    seed
        Of the search.
    bar
        Show a progress bar.
    texts
        The domain's documents, where pieces of several words are wanted as well; see
        `lib.vocabulary.phrases`. A new piece is then in ``least`` documents at least.

    Raises
    ------
    ValueError
        If the share is not within 0 and 1, or the domain has no words.
    """
    if not 0 < share < 1 or not domain:
        raise ValueError(
            f"share {share} and {len(domain)} words of a domain came; the share is "
            "between 0 and 1, and at least one word is needed."
        )
    pieces, scores = unigram_pieces(unigram), unigram_scores(unigram)
    size = int(share * len(pieces))
    missing = missing_bytes(pieces)[:size]
    words = {word: n for word, n in domain.items() if 0 < len(word) <= LONGEST}
    known = {*pieces, *missing}
    often: Mapping[bytes, int] = words
    phrases: dict[str, str] = {}
    if texts is not None:
        often = count_documents(unigram, texts)
        most = find_phrases(unigram, texts, least)
        phrases = usable(unigram, islice(most, REACH * size + FEW))
        words = {run: n for run, n in count_runs(unigram, texts, phrases).items()
                 if 0 < len(run) <= LONGEST}
    candidates = [*left_whole(unigram, find_candidates(often, known, least, longest)),
                  *(piece for phrase in phrases
                    if (piece := phrase.encode()) not in known)]
    found = search_pieces(words, pieces, candidates, size - len(missing), seed=seed,
                          bar=bar)
    new = [*missing, *(piece for piece, saved in
                       zip(found.pieces, found.saved, strict=True) if saved > 0)]
    whole = [*pieces, *new]
    grown = np.append(scores, np.zeros(len(new)))
    grown = reassigned_scores(whole, grown, range(len(pieces), len(whole)))
    uses = uses_of(whole, grown, words) + uses_of(whole, grown, general)
    spare = spare_tokens(pieces, scores, uses[:len(pieces)], len(new), words)
    rules = tuple(Rule(token.id, token.piece, piece)
                  for token, piece in zip(spare, new, strict=False))
    return Selection(rules, spare, found, missing, len(candidates))


def lengths(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
    """How many tokens each document takes."""
    encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return np.array([len(encoding.ids) for encoding in encoded], np.int64)
