"""Texts on which a tokenizer is judged that nothing in this repository learned from.

Wikipedia extracts in three languages (half of the titles; the other half is for
choosing), film reviews in Korean, Python's standard library, and numbers, addresses and
bytes that no maker of training text here has made.
"""

from __future__ import annotations

import ipaddress
import json
import random
import re
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

from lib import data

__all__ = ["APART", "texts_apart"]

_DOCUMENTS = 200  # of what is drawn
_CODE = 5_000_000  # bytes
_ADDRESS = re.compile(r"(?:https?|git)(?:\+\w+)?://[^\s\"'<>)\\]+")


def _rows(name: str, field: str) -> list[str]:
    lines = data.path(name).read_text("utf-8").splitlines()
    return [json.loads(line)[field] for line in lines]


def _code() -> list[str]:
    """Modules of the standard library, tests aside, in the order of their names."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    texts, size = [], 0
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).parts
        if {"site-packages", "test", "tests", "idlelib", "lib2to3"} & {*parts}:
            continue
        text = file.read_text("utf-8", errors="ignore")
        if text.strip() and size < _CODE:
            texts.append(text)
            size += len(text.encode())
    return texts


def _numbers() -> list[str]:
    """Amounts, dates, times, versions, addresses and digests in running text."""
    chance = random.Random("numbers apart")
    shapes: tuple[Callable[[], str], ...] = (
        lambda: f"{chance.randrange(10 ** chance.randint(1, 15)):,}",
        lambda: f"${chance.random() * 10 ** chance.randint(0, 7):,.2f}",
        lambda: f"{chance.randint(1, 31):02}.{chance.randint(1, 12):02}."
                f"{chance.randint(1800, 2100)}",
        lambda: f"{chance.randint(0, 23)}:{chance.randint(0, 59):02}",
        lambda: f"{chance.gauss(0, 1):.6f}", lambda: f"{chance.random():.3e}",
        lambda: "v" + ".".join(str(chance.randint(0, 40)) for _ in range(3)),
        lambda: str(ipaddress.ip_address(chance.getrandbits(32))),
        lambda: str(ipaddress.ip_address(chance.getrandbits(128))),
        lambda: f"{chance.getrandbits(160):040x}", lambda: str(chance.getrandbits(64)),
        lambda: f"+{chance.randint(1, 99)} {chance.randrange(10 ** 9)}",
    )
    return [" ".join(chance.choice(shapes)() for _ in range(40))
            for _ in range(_DOCUMENTS)]


def _addresses() -> list[str]:
    """Addresses in the descriptions of the installed JavaScript packages."""
    packages = Path(sysconfig.get_paths()["purelib"])
    found: dict[str, None] = {}
    for file in sorted(packages.rglob("package.json")):
        found |= dict.fromkeys(_ADDRESS.findall(file.read_text("utf-8", "ignore")))
    return list(found)


def _bytes() -> list[str]:
    """Random bytes, each as the character of that number."""
    chance = random.Random("bytes apart")
    return [chance.randbytes(400).decode("latin-1") for _ in range(_DOCUMENTS)]


#: Kinds of text, and where their documents come from.
APART: dict[str, Callable[[], list[str]]] = {
    "wikipedia_en": lambda: _rows("wikipedia_en", "text"),
    "wikipedia_es": lambda: _rows("wikipedia_es", "text"),
    "wikipedia_fr": lambda: _rows("wikipedia_fr", "text"),
    "korean_reviews": lambda: _rows("nsmc_valid", "review"),
    "python_library": _code,
    "numbers_apart": _numbers,
    "addresses_apart": _addresses,
    "random_bytes": _bytes,
}


@cache
def texts_apart() -> dict[str, list[str]]:
    """The documents of every kind; one that cannot be had is left out and named."""
    found = {}
    for name, documents in APART.items():
        try:
            found[name] = documents()
        except data.DataError as error:
            print(f"{name} is not judged: {error}", file=sys.stderr)
    return found
