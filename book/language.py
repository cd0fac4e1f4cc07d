"""Is a piece of prose in the language it claims to be in?

Korean prose is full of Latin names and terms, so its Hangul share alone says little;
what gives English away is a whole sentence without Hangul that holds the small words
of English (the, of, is, …).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from book.prose import HOLE, Block, Prose, squeeze

_HANGUL = re.compile("[가-힣]")
_LATIN = re.compile("[A-Za-z]")
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
_QUOTED = re.compile("“[^”]*”|‘[^’]*’|\"[^\"]*\"|(?<!\\w)'[^']*'(?!\\w)|「[^」]*」")
_PARENTHESES = re.compile(r"\([^()]*\)")
_SENTENCE = re.compile(r"(?<=[.!?:])\s+")
_SMALL = set(
    re.findall(
        r"\w+",
        "the a an of is are was were be been it its this that these those and or but "
        "not in on at to from by with for as than then so if when where which what "
        "who how each every one we you they he she our your their has have had do "
        "does did can will would may must here there into over between under after",
    )
)


def _sentences(block: Block) -> list[str]:
    text = _PARENTHESES.sub(" ", _QUOTED.sub(" ", block.own))
    return [part for part in _SENTENCE.split(text) if part.strip()]


def hangul_share(text: str) -> float:
    """Share of Hangul among the letters of ``text``; a syllable counts twice.

    >>> hangul_share("쿼리 query") > 0.4
    True
    """
    hangul = 2 * len(_HANGUL.findall(text))
    letters = hangul + len(_LATIN.findall(text))
    return hangul / letters if letters else 0.0


def prose_problem(block: Block, lang: str) -> str:
    """Say what is wrong with the language of ``block``, or return ``""``."""
    for sentence in _sentences(block):
        shown = squeeze(sentence.replace(HOLE, "…"))[:60]
        hangul = len(_HANGUL.findall(sentence))
        if lang == "en":
            if hangul >= 5 and hangul_share(sentence) > 0.4:
                return f"Korean stands in the English text: {shown!r}"
            continue
        words = [word.lower() for word in _WORD.findall(sentence)]
        small = sum(word in _SMALL for word in words)
        if hangul_share(sentence) >= 0.15 or len(words) < 4:
            continue
        lower = sum(word.islower() for word in _WORD.findall(sentence))
        if small >= 2 or (small and lower >= 3) or (not hangul and lower >= 5):
            return f"English stands in the Korean text: {shown!r}"
    return ""


def wrong_way_round(ko: Prose, en: Prose) -> bool:
    """Do the two sides stand under each other's tag?"""
    left = " ".join(block.own for block in ko.blocks)
    right = " ".join(block.own for block in en.blocks)
    return hangul_share(left) < 0.15 and hangul_share(right) > 0.4


def same_sentences(ko: Prose, en: Prose) -> Iterator[tuple[int, str]]:
    """Yield long sentences that stand word for word on both sides."""
    english = {squeeze(s) for block in en.blocks for s in _sentences(block)}
    for block in ko.blocks:
        for sentence in map(squeeze, _sentences(block)):
            words = _WORD.findall(sentence) + re.findall("[가-힣]+", sentence)
            long = len(words) >= 5 and len(sentence) >= 30
            if long and sentence in english and "table" not in block.kind:
                yield block.line, sentence
