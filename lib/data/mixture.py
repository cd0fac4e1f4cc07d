"""Text of several kinds from what a machine has after set-up, split by file.

Code is the Python source of the installed packages, technical text their
documentation, other languages their translations; plays and Korean come from
`lib.data`; numbers, addresses, runs and joined words are made from a seed. The
order is the hash of a document's name, so that it does not depend on the file
system, and the hash also says on which side a document falls.
"""

import gettext
import hashlib
import math
import random
import string
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations, takewhile
from pathlib import Path

__all__ = ["FOUND", "KINDS", "MADE", "Document", "documents", "gather", "lexicon",
           "made"]

#: Kinds of text that are found, with their share of the bytes asked for.
FOUND = {"code": 0.74, "technical": 0.06, "prose": 0.05, "korean": 0.10,
         "languages": 0.05}
#: Kinds that are made from a seed.
MADE = ("numbers", "addresses", "joined", "runs", "random")
KINDS = (*FOUND, *MADE)

_SITE = Path(sysconfig.get_paths()["purelib"])
_MOST = 400_000  # bytes of one file, and a quarter of its kind's share at most
_BLOCK = 4_000  # characters: one long text is cut into documents of this size


@dataclass(frozen=True)
class Document:
    """A text with its name and its kind."""

    name: str
    kind: str
    text: str


def _hash(name: str) -> int:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _read(path: Path) -> str:
    """The text of a file, or nothing when it is not UTF-8 or too long."""
    try:
        if path.stat().st_size > _MOST:
            return ""
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _files(patterns: tuple[str, ...]) -> list[tuple[str, Path]]:
    found = {
        path.relative_to(_SITE).as_posix(): path
        for pattern in patterns for path in _SITE.rglob(pattern)
    }
    return sorted(found.items(), key=lambda item: _hash(item[0]))


def _blocks(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Cut one long text at line ends into documents of about equal size."""
    block: list[str] = []
    size = count = 0
    for line in text.splitlines(keepends=True):
        block.append(line)
        size += len(line)
        if size >= _BLOCK:
            yield f"{name}/{count:05}", "".join(block)
            block, size, count = [], 0, count + 1
    if block:
        yield f"{name}/{count:05}", "".join(block)


def _translation(path: Path) -> str:
    """The translated messages of a compiled catalogue, one a line."""
    try:
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    except (OSError, ValueError, UnicodeDecodeError):
        return ""
    return "\n".join(value for key, value in catalogue.items() if key and value)


def documents(kind: str) -> Iterator[tuple[str, str]]:
    """Names and texts of one of the kinds of `FOUND`, in hash order."""
    from lib import data

    patterns = {"code": ("*.py",), "technical": ("*.md", "*.rst", "*.txt", "METADATA")}
    if kind in patterns:
        yield from ((name, _read(path)) for name, path in _files(patterns[kind]))
    elif kind == "languages":
        for name, path in _files(("*.mo",)):
            if "/ko" not in name:
                yield name, _translation(path)
    elif kind in ("prose", "korean"):
        source = {"prose": "tinyshakespeare", "korean": "korean"}[kind]
        blocks = list(_blocks(source, data.text(source)))
        yield from sorted(blocks, key=lambda block: _hash(block[0]))
    else:
        raise ValueError(
            f"kind {kind!r} cannot be found on a machine; use one of "
            f"{', '.join(FOUND)}."
        )


def gather(size: int, held_out: float = 0.15) -> tuple[list[Document], list[Document]]:
    """Documents of the found kinds for training, and others held out.

    size: UTF-8 bytes, both sides together, shared out as in `FOUND`; a kind of which
    the machine has less gives what it has. held_out: the share of documents whose
    name's hash puts them on that side. A text that came before under another name is
    left out, so no text is on both sides.
    """
    if not 0 < held_out < 1:
        raise ValueError(
            f"held_out {held_out!r} leaves one side empty; use a number between 0 "
            "and 1."
        )
    train: list[Document] = []
    other: list[Document] = []
    known: set[bytes] = set()
    for kind, share in FOUND.items():
        room = most = size * share
        sides: tuple[list[Document], list[Document]] = [], []
        for name, text in documents(kind):
            if room <= 0:
                break
            raw = text.encode()
            digest = hashlib.blake2b(raw, digest_size=16).digest()
            if not text.strip() or digest in known or len(raw) > most / 4:
                continue
            known.add(digest)
            room -= len(raw)
            aside = _hash("side " + name) % 10_000 < held_out * 10_000
            sides[aside].append(Document(name, kind, text))
        if len(sides[0]) > 1 and not sides[1]:  # a few documents only: one for each
            sides[1].append(sides[0].pop())
        train += sides[0]
        other += sides[1]
    return train, other


def lexicon(words: int) -> Iterator[tuple[str, float]]:
    """The most frequent words of eleven languages, each language with the same weight,
    numbers up to four digits, and signs again and again.

    A text that its makers chose has few of the words of a language; a list has most of
    them. They come in the forms of running text: after a blank, behind an apostrophe or
    a bracket, capitalised, in capitals. The list of Korean has stems and endings apart,
    so they are put together. words: how many of each language.
    Yields texts of words of about the same frequency, and the share of all occurrences
    that each of these has.
    """
    from lib import data

    for between, _, share in (_FORMS[0], _FORMS[2]):  # after a blank, and without one
        for items, often in (*_numerals(), *_repeated()):
            yield between + between.join(items), share * often
    steps: dict[int, list[str]] = {}
    korean: list[tuple[str, float]] = []
    found: Counter[str] = Counter()
    for line in data.path("lexicon").read_text("utf-8").splitlines():
        language, centibels, word = line.split("\t")
        found[language] += 1
        if found[language] <= words:
            steps.setdefault(int(centibels) // 10, []).append(word)
            if language == "ko":
                korean.append((word, 10 ** (-int(centibels) / 100)))
    for word, often in _put_together(korean):
        steps.setdefault(int(-10 * math.log10(often)), []).append(word)
    for step, every in sorted(steps.items()):
        for between, form, share in _FORMS:
            often = share * 10 ** (-step / 10) / len(found)
            if often >= _RARE:
                yield between + between.join(map(form, every)), often


def _numerals() -> Iterator[tuple[list[str], float]]:
    """Numbers by how often each is thought to come up: years, others, Roman ones."""
    years = [str(year) for year in range(1400, 2100)]
    yield years, 1e-5
    yield [str(n) for n in range(10_000) if not 1400 <= n < 2100], 1e-6
    roman = [ten + one for ten in ("", "X", "XX", "XXX") for one in
             ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")][1:]
    yield [number + ending for number in roman for ending in ("", "e", "th")], 1e-6


_RARE = 1e-9  # a form that comes up less often is left out

#: What stands before a word, its case, and the share of its occurrences in that form.
_FORMS: tuple[tuple[str, Callable[[str], str], float], ...] = (
    (" ", str, 0.66), (" ", str.capitalize, 0.14), ("\n", str, 0.06),
    ("\n", str.capitalize, 0.03), ("'", str, 0.03), ("'", str.capitalize, 0.006),
    ("’", str, 0.02), ("’", str.capitalize, 0.004), ("-", str, 0.015),
    ("-", str.capitalize, 0.01), ("(", str.capitalize, 0.01), (" ", str.upper, 0.015))
_ENDINGS = 300  # of Korean: the most frequent words of three syllables at most
_SELDOM = 1e-7  # what is put together and comes up less often is left out


def _put_together(words: list[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    """Korean words with one ending and with two, as if endings stood by chance.

    words: the most frequent first. What two ways make comes twice.
    """
    stems = [(word, often) for word, often in words
             if all("가" <= char <= "힣" for char in word)]
    endings = [pair for pair in stems if len(pair[0]) <= 3][:_ENDINGS]
    for _ in range(2):
        stems = [(word + ending, often * share) for word, often in stems
                 for ending, share in takewhile(
                     lambda pair, often=often: often * pair[1] >= _SELDOM,
                     endings)]
        yield from stems


def _repeated() -> Iterator[tuple[list[str], float]]:
    """Signs again and again, and two of them one after the other."""
    for n in range(2, 25):
        yield [sign * n for sign in _SIGNS], 2e-5 * 0.7 ** n
    yield [one * n + other * m for one, other in permutations(_SIGNS, 2)
           for n in range(1, 4) for m in range(1, 4)], 1e-8


_SIGNS = "~!?.,;:^-=*_+#…★☆♥♡ㅋㅎㅠㅜㅡㅇㄷ"


def made(kind: str, count: int, seed: int, words: list[str] | None = None) -> Document:
    """A document of ``count`` made items, one after another.

    ``joined`` glues two or three of ``words`` together, in several cases.

    >>> made("numbers", 3, seed=0).text.count(" ")
    3
    """
    makers = {"numbers": _number, "addresses": _address, "joined": _joined,
              "runs": _run, "random": _random}
    if kind not in makers:
        raise ValueError(
            f"kind {kind!r} cannot be made; use one of {', '.join(MADE)}."
        )
    rng = random.Random(f"{kind} {seed}")
    words = words or ["attention", "gravity", "token"]
    items = [makers[kind](rng, words) for _ in range(count)]
    return Document(f"{kind} made from seed {seed}", kind, "".join(items))


def _number(rng: random.Random, words: list[str]) -> str:
    digits = str(rng.randrange(10 ** rng.randint(1, 12)))
    shape = rng.choice(["{}", "{}", "0{}", "{:.2f}", "0x{:x}", "{}-{:02}-{:02}"])
    if shape == "{:.2f}":
        return " " + shape.format(rng.random() * 10 ** rng.randint(0, 6))
    if "x}" in shape:
        return " " + shape.format(int(digits))
    return " " + shape.format(digits, rng.randint(1, 12), rng.randint(1, 28))


def _address(rng: random.Random, words: list[str]) -> str:
    host = rng.choice(words).lower()
    tail = rng.choice(["com", "org", "io", "net", "kr", "dev"])
    path = "/".join(rng.choice(words) for _ in range(rng.randint(0, 3)))
    query = f"?{rng.choice(words)}={rng.randrange(10**6)}" if rng.random() < 0.3 else ""
    return f" https://{rng.choice(['www.', '', 'docs.'])}{host}.{tail}/{path}{query}"


def _joined(rng: random.Random, words: list[str]) -> str:
    parts = [rng.choice(words) for _ in range(rng.randint(2, 3))]
    case = (str.lower, str.capitalize, str.upper, str)[rng.randrange(4)]
    parts = map(case, parts)
    return rng.choice([" ", "", "\n"]) + "".join(parts)


def _run(rng: random.Random, words: list[str]) -> str:
    symbols = string.ascii_letters + string.digits + string.punctuation + " \t\n"
    symbol = rng.choice(symbols)
    return rng.choice([" ", "", "\n"]) + symbol * rng.randint(2, 40)


def _random(rng: random.Random, words: list[str]) -> str:
    kinds = (string.ascii_lowercase, string.ascii_letters, string.punctuation, "")
    if letters := kinds[rng.randrange(4)]:
        return " " + "".join(rng.choice(letters) for _ in range(rng.randint(1, 12)))
    low, high = rng.choice([(0xAC00, 0xD7A3), (0x0410, 0x044F), (0x3041, 0x30FF),
                            (0x4E00, 0x9FA5), (0x1F300, 0x1F64F), (0x00C0, 0x017F)])
    return " " + "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6)))
