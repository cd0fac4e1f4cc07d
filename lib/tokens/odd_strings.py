"""Strings on which two runtimes are apt to differ: what an export is proved by.

Korean, emoji, code, control characters, blanks of all kinds, every byte, half
characters, one character ten thousand times, and mixtures of all these. Only characters
that Unicode has had for long are drawn: a runtime's tables may be older than another's.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

__all__ = ["LONGEST_RUN", "odd_strings", "readable"]

LONGEST_RUN = 10_000  # of one character
_RUNS = " a0=\n\t-é가ㅋ한😀語.'_\x01"
_BLANKS = " \t\n\r\x0b\x0c\x1c\x85\xa0\u1680\u2003\u2028\u2029\u202f\u3000\u200b\ufeff"
_EMOJI = ("😀", "👩‍👩‍👧‍👦", "👍🏽", "🇰🇷", "1️⃣", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🧑🏿‍🚀", "☺", "🫠")
_WORDS = ("the", "The", " THE", "don't", "DON'T", "it's", "''s", "'re", " 've", "naïve",
          "Straße", "ﬁne", "İstanbul", "ǅ", "x²", "½", "Ⅷ", "٣", "三", "3.14", "1,000",
          "2026-11-30", "https://a.b/c?d=e&f#g", "me@example.org", "C:\\a\\b", "<br/>",
          "e\u0301", "각", "ㅋㅋㅋ", "ㅠㅠ", "안녕하세요", " 영화", "영화가", "제1조",
          "日本語", "مرحبا", "हिन्दी", "ไทย", "עברית", "Ελλάδα", "кот", "#include", "=>",
          "!=", "...", "…", "“”", "—", "\r\n", "\n\n", "    ", "\t\t", "0x7f")
#: A character for each byte that one can begin with.
_FIRST = [bytes([byte, {0xE0: 0xA4, 0xED: 0x80, 0xF0: 0x9F, 0xF4: 0x80}.get(byte, 0x98),
                 *[0x85] * ((byte >= 0xE0) + (byte >= 0xF0))]).decode()
          for byte in range(0xC2, 0xF5)]
_HALVES = ("\ud800", "\udfff", "a\udc00b", "\ude00\ud83d", " \udbff", "가\ud83d",
           "\udcff")


def readable(text: str) -> str:
    """The text that is encoded: half a character, which is none, becomes U+FFFD.

    Python's tokenizers refuse half characters; runtimes that take them read this.

    >>> readable("a\\ud800b")
    'a\\ufffdb'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _code() -> list[str]:
    """Lines of source code."""
    file = Path(__file__)
    return [line for line in file.read_text("utf-8").splitlines() if line]


def odd_strings(count: int = 10_000, seed: int = 0,
                pieces: Sequence[str] = ()) -> list[str]:
    """So many different strings; ``pieces``: more that stand alone and in mixtures.

    >>> some = odd_strings(2000)
    >>> len(set(some)), max(map(len, some)) == LONGEST_RUN
    (2000, True)

    Raises
    ------
    ValueError
        If the count leaves no room for those that must be there.
    """
    rng = random.Random(seed)
    fixed = [*map(chr, range(256)), *(char * LONGEST_RUN for char in _RUNS), *_HALVES,
             *_EMOJI, *_WORDS, *_FIRST, "\0\0\0", *_BLANKS,
             *(f"a{blank}b" for blank in _BLANKS),
             *(f" x{chr(n)}y" for n in (*range(32), *range(127, 160))), ""]
    kinds = _kinds(rng, list(pieces))
    strings = dict.fromkeys(fixed)
    if len(strings) > count:
        raise ValueError(
            f"{count} strings came, and {len(strings)} must be there; ask for more"
        )
    strings |= dict.fromkeys(islice(pieces, (count - len(strings)) // 2))
    while len(strings) < count:
        parts = rng.choices(kinds, k=rng.choice((1, 1, 2, 3, 5, 8)))
        strings["".join(part() for part in parts)] = None
    return list(strings)


def _kinds(rng: random.Random, pieces: Sequence[str]) -> list[Callable[[], str]]:
    """What mixtures are made of."""
    points = [n for n in range(0x20000) if unicodedata.category(chr(n)) not in
              ("Cn", "Cs", "Co")]
    lines = _code()

    def run(chars: Sequence[str], most: int) -> str:
        return "".join(rng.choices(chars, k=rng.randint(1, most)))

    ascii_chars = [chr(n) for n in range(32, 127)]
    syllables = [chr(n) for n in range(0xAC00, 0xD7A4)]
    return [
        lambda: run(ascii_chars, 12), lambda: run(syllables, 6), lambda: run(_EMOJI, 3),
        lambda: run(_BLANKS, 4), lambda: rng.choice(lines),
        lambda: rng.choice((" ", "", "\n")) + rng.choice(_WORDS),
        lambda: rng.choice(_WORDS) + " ",
        lambda: chr(rng.choice(points)) * rng.choice((1, 1, 2, 9)),
        lambda: run([chr(n) for n in rng.sample(points, 4)], 6),
        lambda: str(rng.randrange(10 ** rng.randint(1, 12))),
        lambda: rng.choice("=-_*.#/\\'\"") * rng.randint(1, 40),
        lambda: rng.choice(pieces) if pieces else rng.choice(_HALVES),
    ]
