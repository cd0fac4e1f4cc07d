"""The pipeline's first half in one call, for a chapter that wants a new vocabulary.

What `distill`, `select` and `remap` do with files, done in memory and at small scale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer

from lib.distill import bpe_cuts, count_words, distill, piece_bytes
from lib.vocabulary_remap import Rule, remap_tokenizer
from lib.vocabulary_search import find_candidates, search_pieces

__all__ = ["rarest", "small_swap"]


def rarest(
    original: Tokenizer, texts: Sequence[str], size: int
) -> list[int]:
    """The ids least used in the texts, the rarest first, of equal ones the latest.

    Special tokens and single bytes are left out.

    Raises
    ------
    ValueError
        If there are not so many.
    """
    words = count_words(original, texts)
    used: Counter[int] = Counter()
    for n, cut in zip(words.values(), bpe_cuts(original, list(words)), strict=True):
        for index in cut:
            used[index] += n
    pieces = piece_bytes(original)
    free = [index for index, piece in enumerate(pieces) if len(piece) > 1]
    if size > len(free):
        raise ValueError(
            f"{size:,} ids are to be given up and only {len(free):,} can be; ask for "
            "fewer"
        )
    return sorted(free, key=lambda index: (used[index], -index))[:size]


def small_swap(
    original: Tokenizer,
    domain: Sequence[str],
    other: Sequence[str],
    size: int,
    *,
    passes: int = 12,
    seed: int = 0,
    bar: bool = False,
) -> tuple[Tokenizer, Tokenizer]:
    """Distill a tokenizer and reassign `size` ids to pieces of the domain.

    Parameters
    ----------
    original
        A byte-level BPE.
    domain
        Documents from which the new pieces come.
    other
        Documents whose tokens are to stay.
    size
        How many ids.
    passes
        Of the distillation.

    Returns
    -------
    unigram, remapped
        The student before and after.
    """
    texts = [*domain, *other]
    unigram = distill(original, texts, passes=passes, made_items=500, seed=seed,
                      layer=False, bar=bar).tokenizer
    words = count_words(original, domain)
    pieces = piece_bytes(original)
    candidates = find_candidates(words, {piece for piece in pieces if piece})
    found = search_pieces(words, pieces, candidates[:4 * size], size, steps=0,
                          seed=seed, bar=bar).pieces
    given = rarest(original, texts, len(found))
    rules = [Rule(index, pieces[index], new)
             for index, new in zip(given, found, strict=True)]
    return unigram, remap_tokenizer(unigram, rules)
