"""The pipeline's first half in one call, for a chapter that wants a new vocabulary.

What `distill`, `select` and `remap` do with files, done in memory and at small scale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from lib.data.tokenizer_files import load_tokenizer
from lib.tokens.distill import bpe_cuts, count_words, distill, piece_bytes
from lib.vocabulary.reassign import Rule, left_whole, remap_tokenizer
from lib.vocabulary.search import find_candidates, search_pieces

__all__ = ["KoreanSwap", "korean_swap", "rarest", "small_swap"]


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
    general: Sequence[str] = (),
    passes: int = 12,
    layer: bool = False,
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
        Documents whose tokens are to stay; what occurs in them becomes no new piece.
    size
        How many ids; fewer where rules of the layer would break a chosen piece.
    general
        More documents to distill on and to keep tokens for; what occurs in them may
        still become a new piece.
    passes
        Of the distillation.
    layer
        Whether all of these texts are to be cut exactly as before; see
        `lib.tokens.sound_cuts`.

    Returns
    -------
    unigram, remapped
        The student before and after.
    """
    texts = [*domain, *other, *general]
    unigram = distill(original, texts, passes=passes, made_items=500, seed=seed,
                      layer=layer, bar=bar).tokenizer
    words = count_words(original, domain)
    pieces = piece_bytes(original)
    candidates = find_candidates(words, {piece for piece in pieces if piece})
    kept = "\n".join(other).encode()
    candidates = [piece for piece in candidates[:5 * size] if piece not in kept]
    found = search_pieces(words, pieces, candidates[:4 * size], size, steps=0,
                          seed=seed, bar=bar).pieces
    found = left_whole(unigram, found)
    given = rarest(original, texts, len(found))
    rules = [Rule(index, pieces[index], new)
             for index, new in zip(given, found, strict=True)]
    return unigram, remap_tokenizer(unigram, rules)


@dataclass(frozen=True)
class KoreanSwap:
    """SmolLM2's tokenizer, one with pieces for Korean, and what they are measured on.

    domain and english are to learn from; held and prose, none of which is in those,
    to measure on.
    """

    original: Tokenizer
    unigram: Tokenizer
    remapped: Tokenizer
    domain: list[str]
    english: list[str]
    held: list[str]
    prose: list[str]


def korean_swap(
    *, reviews: int, pieces: int, documents: int, letters: int = 300,
    passes: int = 12, seed: int = 0,
) -> KoreanSwap:
    """The swap of the chapters: pieces of Korean text in the tokenizer of SmolLM2.

    reviews: lines that the pieces come from, at most. documents: lines to measure on;
    of English a quarter as many, of so many letters each. pieces, passes, seed: see
    `small_swap`.

    Raises
    ------
    ValueError
        If the text has not twice as many lines as documents.
    """
    from lib import data

    original = load_tokenizer(data.path("smollm2") / "tokenizer.json")
    korean = [line for line in data.text("korean").splitlines() if line.strip()]
    if not 1 <= documents <= len(korean) // 2:
        raise ValueError(
            f"documents is {documents} and {data.describe('korean')} has {len(korean)} "
            f"lines to learn from and to measure on; use 1 to {len(korean) // 2}"
        )
    held = korean[::len(korean) // documents][:documents]
    away = set(held)
    domain = [line for line in korean if line not in away]
    lines = (line.strip() for line in data.text("wikitext2_valid").splitlines())
    lines = [line for line in lines if len(line) > 200]
    english = lines[1::9]
    prose = [line[:letters] for line in lines[::9][:documents // 4 + 1]]
    unigram, remapped = small_swap(original, domain[:reviews], english, pieces,
                                   passes=passes, seed=seed)
    return KoreanSwap(original, unigram, remapped, domain, english, held, prose)
