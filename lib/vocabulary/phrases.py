r"""Phrases: pieces of several words, which the pre-tokenizer keeps together.

A tokenizer cuts text into words before it looks for pieces, so no piece crosses the
border of a word, however often “of the” comes. A phrase is written into the expression
that cuts the words, in front of all else:

    (?: of the(?!\p{L})|…)|the expression as it was

An engine tries it wherever a word begins. Where it fits, the words of the phrase come
out as one, and a piece of the vocabulary spells it: one token for at least two. Where
none fits, words are cut as before; so a text without a phrase stays as it was, and one
with a phrase can only become shorter.

That is sound if the phrase ends where a word would have ended. The words of one
expression depend on what follows alone, so for every phrase a few followers of each
kind are tried, and `end_of` lets those follow that leave its words as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from tokenizers import Tokenizer

from lib.tokens.bytelevel import normalizer_of, stages_in
from lib.tokens.sound_cuts import alternatives, rules_pattern
from lib.vocabulary.reassign import kept_text, made_of, words_of

__all__ = ["count_documents", "count_runs", "end_of", "find_phrases", "joined",
           "usable", "with_phrases"]

LONGEST = 4  # words of a phrase
ROOM = 128  # bytes of a run

#: What may follow a phrase: an expression for each kind, and a few examples of it.
FOLLOWERS = {
    r"\z": ("",),
    r"\p{L}": ("a", "Z", "é", "ж", "가", "中"),
    r"\p{M}": ("\u0301", "\u093e"),
    r"\p{N}": ("1", "27", "½"),
    r"[^\s\p{L}\p{M}\p{N}]": (".", "'", "'s", "(", "_x", "—", "🙂"),
    r"[\r\n]": ("\n", "\r\n", "\n\n", "\n a", "\na"),
    r"[^\S\r\n]\S": (" a", " 1", " .", "\ta"),
    r"[^\S\r\n](?!\S)": (" ", "  a", " \n", "   "),
}


def end_of(cut: Callable[[str], list[str]], phrase: str) -> str | None:
    r"""The condition for what follows a phrase, as an expression; None if nothing may.

    cut: see `lib.vocabulary.reassign.words_of`.

    >>> import re
    >>> end_of(lambda text: re.findall(r" ?\w+|\W", text), " of the")
    '(?!\\p{L}|\\p{N}|[^\\s\\p{L}\\p{M}\\p{N}])'
    """
    words = cut(phrase)
    never = [kind for kind, examples in FOLLOWERS.items()
             if any(cut(phrase + text)[:len(words)] != words for text in examples)]
    if len(never) == len(FOLLOWERS):
        return None
    return f"(?!{'|'.join(never)})" if never else "(?=)"


def _words(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[str]]:
    cut, same = words_of(tokenizer), normalizer_of(tokenizer)
    return (cut(same(text)) for text in texts)


def find_phrases(tokenizer: Tokenizer, texts: Iterable[str], least: int = 20,
                 longest: int = LONGEST) -> dict[str, int]:
    """Runs of two words or more that stand in so many of the texts, the most frequent
    first; none with half a character, and none behind an apostrophe.

    >>> from lib.data import gpt2_tokenizer
    >>> find_phrases(gpt2_tokenizer(), ["out of the blue", "into the blue"], 2)
    {' the blue': 2}
    """
    counts: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for words in _words(tokenizer, texts):
        found = [phrase for n in range(2, longest + 1) for phrase in
                 map("".join, zip(*(words[k:] for k in range(n)), strict=False))]
        counts.update(found)
        places.update({*found})
    often = {phrase: counts[phrase] for phrase, n in places.items() if n >= least
             and "\ufffd" not in phrase and not phrase.startswith("'")}
    return dict(sorted(often.items(), key=lambda item: (-item[1], item[0])))


def count_documents(tokenizer: Tokenizer, texts: Iterable[str]) -> Counter[bytes]:
    """In how many of the texts each word occurs.

    A word that one text repeats may never come again; one that many texts have will.
    """
    counts: Counter[str] = Counter()
    for words in _words(tokenizer, texts):
        counts.update({*words})
    return Counter({word.encode(): n for word, n in counts.items()})


def usable(tokenizer: Tokenizer, phrases: Iterable[str]) -> dict[str, str]:
    """Those of the phrases that would come out whole, with their conditions.

    Two words of a phrase are told apart by what follows the first; so it is the last
    word that decides what may follow.
    """
    cut = words_of(tokenizer)
    last = cache(lambda word: end_of(cut, word))
    stages, at = _cutting(tokenizer)
    stages[at:at + 1] = ([stages[at] | {"use_regex": False}]
                         if stages[at]["type"] == "ByteLevel" else [])
    left = made_of(stages).pre_tokenize_str  # what else there is to cut a word
    ends = {phrase: last(cut(phrase)[-1]) for phrase in phrases}
    return {phrase: end for phrase, end in ends.items()
            if end is not None and len(left(phrase)) == 1}


def count_runs(tokenizer: Tokenizer, texts: Iterable[str], phrases: Collection[str],
               longest: int = LONGEST) -> Counter[bytes]:
    """How often each run of words comes that phrases hold together.

    Of two words that no phrase has side by side, one ends a run and the other begins
    the next. To the search for pieces runs are what words are without phrases.
    """
    counts: Counter[str] = Counter()
    for words in _words(tokenizer, texts):
        held = 0  # up to where a phrase reaches
        run: list[str] = []
        size = 0
        for at, word in enumerate(words):
            if run and (at >= held or size + len(word.encode()) > ROOM):
                counts["".join(run)] += 1
                run, size = [], 0
            run.append(word)
            size += len(word.encode())
            for n in range(longest, 1, -1):
                if at + n <= held:
                    break
                if "".join(words[at:at + n]) in phrases:
                    held = at + n
                    break
        if run:
            counts["".join(run)] += 1
    return Counter({run.encode(): n for run, n in counts.items()})


def with_phrases(tokenizer: Tokenizer, phrases: Mapping[str, str]) -> Tokenizer:
    """The tokenizer that keeps phrases together; each has its condition of `end_of`.

    Raises
    ------
    ValueError
        If no expression in its pre-tokenizer cuts text into words.
    """
    if not phrases:
        return tokenizer
    trie: dict = {}
    for phrase, end in phrases.items():
        node = trie
        for char in phrase:
            node = node.setdefault(char, {})
        node.setdefault("", {})[end] = 1.0
    stages, at = _cutting(tokenizer)
    stage = stages[at]
    cuts = stage["type"] == "ByteLevel"
    words = rules_pattern(()) if cuts else stage["pattern"]["Regex"]
    stages[at:at + 1] = [
        {"type": "Split", "pattern": {"Regex": f"{alternatives(trie)[0]}|{words}"},
         "behavior": "Isolated", "invert": False},
        *([stage | {"use_regex": False}] if cuts else [])]
    return _with(tokenizer, stages)


def joined(tokenizer: Tokenizer, pieces: Iterable[bytes]) -> Tokenizer:
    """The tokenizer that keeps together those of the pieces that are several words."""
    cut = words_of(tokenizer)
    texts = (text for piece in pieces if (text := kept_text(piece)) is not None)
    several = [text for text in texts if len(cut(text)) > 1]
    return with_phrases(tokenizer, usable(tokenizer, several)) if several else tokenizer


def _cutting(tokenizer: Tokenizer) -> tuple[list[dict[str, Any]], int]:
    """The pre-tokenizer's stages, and which of them cuts text into words."""
    stages = stages_in(tokenizer)
    for at, stage in enumerate(stages):
        if (stage["type"] == "Split" and "Regex" in stage["pattern"]) or (
            stage["type"] == "ByteLevel" and stage["use_regex"]
            and not stage["add_prefix_space"]
        ):
            return stages, at
    raise ValueError(
        "phrases need a pre-tokenizer that cuts words by an expression, ByteLevel's or "
        f"that of a Split; this one has {[stage['type'] for stage in stages]}. Choose "
        "pieces within words."
    )


def _with(tokenizer: Tokenizer, stages: list[dict[str, Any]]) -> Tokenizer:
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.pre_tokenizer = made_of(stages)
    return copy
