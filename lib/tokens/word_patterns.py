r"""The patterns by which tokenizers cut words, and rules as a part of them.

A stage of its own for the rules would walk over the text once more, which costs a
quarter of the speed. So a rule stands in the teacher's own pattern as an alternative
before the others: a match of its prefix, where its context follows. For that three
things have to hold.

* *Where a match begins.* Matches begin where words do, or where a rule has cut.
* *Within the word.* The prefix and context of a rule lie in one word, whatever follows
  them; what has to follow for that is added to the context (`WordPattern.after`).
* *The rest.* What a cut leaves is matched as the word would have been, to the same end.
  A run of signs could otherwise lend its last one to the letters behind it (``.abc``)
  or to a contraction (``'s``), and newlines behind signs could join blanks. So the
  patterns ask, before they take a sign as the first of another kind of word, that no
  sign stands before it. In a text without cuts no match ever begins between two signs,
  or at a newline behind one, since a run takes all of its signs and newlines; there the
  pattern is the teacher's.

A rule for which that is not certain is left to a stage of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import regex

__all__ = ["GPT2", "KNOWN", "WordPattern", "kind_of"]

_KINDS = (("letters", regex.compile(r"\p{L}")), ("digits", regex.compile(r"\p{N}")),
          ("blanks", regex.compile(r"\s")))


def kind_of(word: str) -> str:
    """Of what a word of GPT-2 consists, a blank in front aside.

    >>> kind_of(" the"), kind_of("42"), kind_of("=="), kind_of("  ")
    ('letters', 'digits', 'signs', 'blanks')
    """
    last = word[-1]
    return next((kind for kind, one in _KINDS if one.match(last)), "signs")


@dataclass(frozen=True)
class WordPattern:
    """A pattern into which rules can be written.

    ``first`` and ``last`` stand before and behind them; ``after(prefix, context,
    whole)`` is what has to follow the context, or None where a rule is not certain.
    Rules for letters behind a sign stand behind ``no_sign``.
    """

    first: str
    last: str
    after: Callable[[str, str, bool], str | None]
    no_sign: str = ""

    def behind_sign(self, text: str) -> bool:
        """Whether a rule that asks for this text is one for letters behind a sign."""
        return bool(self.no_sign and _LENT.match(text))


_LENT = regex.compile(r"[^\s\p{L}\p{N}\p{M}]\p{L}")
_END = {"letters": r"(?!\p{L})", "digits": r"(?!\p{N})",
        "signs": r"(?![^\s\p{L}\p{N}])", "blanks": r"(?=\s\S|\z)"}


def _after_gpt2(prefix: str, context: str, whole: bool) -> str:
    kind = kind_of(prefix + context)
    if whole:
        return _END[kind]
    return r"(?=\s|\z)" if kind == "blanks" else ""


#: What `pre_tokenizers.ByteLevel` cuts by. Its contractions never follow a sign,
#: because a run of signs is taken whole; after a break that has to be said.
GPT2 = WordPattern(
    r"'(?<![^\s\p{L}\p{N}]')(?:s|t|re|ve|m|ll|d)",
    r" ?(?:\p{L}+|\p{N}+|[^\s\p{L}\p{N}]+)|\s+(?!\S)|\s+", _after_gpt2)


# The patterns of cl100k (Llama 3, Qwen) and o200k.
_SIGN = r"[^\s\p{L}\p{N}]"
_ENDS = r"[^\s\p{L}\p{N}\p{M}/]"  # a sign behind which no word of o200k begins
_BEFORE = rf"(?<!{_ENDS})"
_FIRST = rf"(?:[^\S\r\n]|{_BEFORE}{_SIGN})?"  # of letters: any sign or blank
_LINES = rf"(?<={_ENDS})[\r\n]"
_BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"

_LETTERS = regex.compile(r"[^\r\n\p{L}\p{N}]?\p{L}+")
_SIGNS = regex.compile(r" ?[^\s\p{L}\p{N}\p{M}]+[\r\n]*")
_WHITE = regex.compile(r"\s+")
_CAPITALS = regex.compile(rf"[^\r\n\p{{L}}\p{{N}}\p{{M}}]?[{_UPPER}]*")
_CASED = regex.compile(rf"[^\r\n\p{{L}}\p{{N}}\p{{M}}]?(?=\p{{L}})"
                       rf"(?:[{_UPPER}]*[{_LOWER}]+|[{_UPPER}]+)")


def _after_signs(prefix: str, context: str, whole: bool, more: str) -> str | None:
    """For ` ?signs[newlines]*`, whose tail may hold ``more`` besides newlines."""
    if prefix[-1] in "\r\n/" or (prefix == " " and not _SIGN2.match(context)):
        return None
    if not whole:
        return ""
    return (rf"(?![\r\n{more}])" if context[-1] in "\r\n"
            else r"(?![^\s\p{L}\p{N}]|[\r\n])")


_SIGN2 = regex.compile(r"[^\s\p{L}\p{N}\p{M}]{2}")


def _after_blanks(prefix: str, context: str, whole: bool) -> str | None:
    r"""For `\s*[\r\n]+|\s+(?!\S)|\s+`: a word ends at the last newline of a run; behind
    it, or where there is none, at the last blank but one."""
    text = prefix + context
    if text[-1] in "\r\n":
        return r"(?!\s*[\r\n])" if whole else ""
    if "\r" in text or "\n" in text:
        return None if whole else r"(?=\s*[\r\n])"
    return r"(?=[^\S\r\n]\S|\z)" if whole else r"(?=\s|\z)"


def _after_cl100k(prefix: str, context: str, whole: bool) -> str | None:
    text = prefix + context
    if _LETTERS.fullmatch(text):
        if text[0] == "'":  # might be a contraction
            return None
        return r"(?!\p{L})" if whole else ""
    if _SIGNS.fullmatch(text):
        return _after_signs(prefix, context, whole, "")
    return _after_blanks(prefix, context, whole) if _WHITE.fullmatch(text) else None


_LOWERED = regex.compile(r".?[\p{Lu}\p{Lt}]*\p{Ll}+", regex.DOTALL)
_RAISED = regex.compile(r".?[\p{Lu}\p{Lt}]+", regex.DOTALL)
_IS_LOWER = regex.compile(r"\p{Ll}")


def _after_o200k(prefix: str, context: str, whole: bool) -> str | None:
    text = prefix + context
    if _SIGNS.fullmatch(text):
        return _after_signs(prefix, context, whole, "/")
    if _WHITE.fullmatch(text):
        return _after_blanks(prefix, context, whole)
    # Of letters the rest has to begin among those of the first case, or in lower case.
    if not _CASED.fullmatch(text) or (context and not (
            _CAPITALS.fullmatch(prefix) or _IS_LOWER.match(context))):
        return None
    alone = regex.match(_O200K, text)
    if not alone or alone.group() != text:
        return None
    if not whole:
        return ""
    if _LOWERED.fullmatch(text):
        return rf"(?![{_LOWER}]|{_ENDINGS})"
    return rf"(?![{_UPPER}{_LOWER}]|{_ENDINGS})" if _RAISED.fullmatch(text) else None


def _cl100k(digits: str) -> str:
    return (rf"{_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?{_SIGN}+[\r\n]*|"
            rf"{_BLANKS}")


_O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+{_ENDINGS}?"
          rf"|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*{_ENDINGS}?"
          rf"|\p{{N}}{{1,3}}| ?{_SIGN}+[\r\n/]*|{_BLANKS}")

#: Patterns as they stand in tokenizer files, with the same open to rules.
KNOWN = {
    _cl100k(digits): WordPattern(
        rf"'(?<!{_ENDS}')(?i:s|t|re|ve|m|ll|d)",
        rf"{_FIRST}\p{{L}}+|{digits}| ?{_SIGN}+[\r\n]*|{_LINES}+|{_BLANKS}",
        _after_cl100k, _BEFORE)
    for digits in (r"\p{N}", r"\p{N}{1,3}")
} | {
    _O200K: WordPattern(
        "", rf"{_FIRST}[{_UPPER}]*[{_LOWER}]+{_ENDINGS}?"
        rf"|{_FIRST}[{_UPPER}]+[{_LOWER}]*{_ENDINGS}?"
        rf"|\p{{N}}{{1,3}}| ?{_SIGN}+[\r\n/]*|{_LINES}[\r\n/]*|{_BLANKS}",
        _after_o200k, _BEFORE)
}
