"""The lock of the reading pairs: what was last accepted together.

``book/pairs.lock.json`` holds, for each pair, a hash of every paragraph of both
sides. A pair is found again by what it says, not by its place, so that a new cell
above it changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from book.pairs import NAMES, Pair
from lib.commands import module_command

LOCK = "book/pairs.lock.json"

Entry = tuple[str, tuple[str, ...], tuple[str, ...]]  # key, hashes of ko, hashes of en


class LockError(ValueError):
    """The lock file cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Change:
    """How a pair differs from the lock: ``new``, ``both``, ``ko``, ``en`` or
    ``mixed`` (both sides changed, but one paragraph on one side only)."""

    pair: Pair
    kind: str
    old: Entry | None = None
    detail: str = ""


@lru_cache(maxsize=8192)
def digest(text: str) -> tuple[str, ...]:
    """Hash each paragraph of ``text``; wrapping lines anew changes no hash.

    >>> digest("one two\\n\\nthree") == digest("one\\ntwo\\n\\n\\nthree")
    True
    """
    fenced = "```" in text or "~~~" in text or "$$" in text
    parts = re.split(r"\n\s*\n", text.strip())
    out = []
    for part in parts:
        if not fenced and not re.search(r"^\s*([-*+|>]|\d+\.)", part, re.MULTILINE):
            part = " ".join(part.split())
        part = "\n".join(line.rstrip() for line in part.split("\n"))
        out.append(hashlib.sha256(part.encode()).hexdigest()[:12])
    return tuple(out)


def read_lock(root: Path) -> dict[str, list[Entry]]:
    """Return the entries of the lock by file; empty when there is no lock."""
    path = root / LOCK
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        files = data["files"]
        return {
            name: [
                (key, tuple(ko.split()), tuple(en.split()))
                for key, (ko, en) in entries.items()
            ]
            for name, entries in files.items()
        }
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise LockError(
            f"{LOCK} cannot be read ({error}); take it from git again, or delete it "
            f"and run: {module_command('book.parity', '--update')}"
        ) from None


def write_lock(root: Path, files: dict[str, list[Entry]]) -> None:
    """Write the lock, one pair a line, atomically; keys are made unique."""
    lines = ['{"version": 1, "files": {']
    names = [name for name in sorted(files) if files[name]]
    for name in names:
        lines.append(f" {json.dumps(name)}: {{")
        rows: dict[str, str] = {}
        for key, ko, en in files[name]:
            while key in rows:
                key += "'"
            both = json.dumps([" ".join(ko), " ".join(en)])
            rows[key] = f"  {json.dumps(key)}: {both}"
        lines.append(",\n".join(rows.values()))
        lines.append(" }" if name == names[-1] else " },")
    lines.append("}}")
    path = root / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draft.replace(path)


def entry(pair: Pair) -> Entry:
    """The lock entry of a pair as it stands."""
    return pair.key, digest(pair.ko.text), digest(pair.en.text)


def compare(pairs: list[Pair], locked: list[Entry]) -> tuple[list[Change], list[str]]:
    """Match the pairs of one file with its lock entries.

    Returns what changed, and the keys of entries whose pair is gone. Pairs are
    matched by both sides, then by one side, then by key, so that neither a new
    pair nor a moved one hides a change.
    """
    rest = list(locked)
    left: list[tuple[Pair, Entry]] = []
    for pair in pairs:
        now = entry(pair)
        same = [old for old in rest if old[1:] == now[1:]]
        if same:
            rest.remove(next((old for old in same if old[0] == now[0]), same[0]))
        else:
            left.append((pair, now))
    changes: list[Change] = []
    for one_side in (True, False):
        for pair, now in list(left):
            for old in sorted(rest, key=lambda old: old[0] != now[0]):
                sides = [old[i] == now[i] for i in (1, 2)]
                if any(sides) if one_side else old[0] == now[0]:
                    changes.append(_change(pair, old, now, sides))
                    rest.remove(old)
                    left.remove((pair, now))
                    break
    changes += [Change(pair, "new") for pair, _ in left]
    order = {id(pair): index for index, pair in enumerate(pairs)}
    changes.sort(key=lambda change: order[id(change.pair)])
    return changes, [old[0] for old in rest]


def _change(pair: Pair, old: Entry, now: Entry, same: list[bool]) -> Change:
    if any(same):
        return Change(pair, "en" if same[0] else "ko", old)
    lengths = {len(old[1]), len(old[2]), len(now[1]), len(now[2])}
    if len(lengths) == 1:
        for index in range(len(now[1])):
            ko, en = (old[i][index] != now[i][index] for i in (1, 2))
            if ko != en:
                changed = NAMES["ko" if ko else "en"]
                return Change(pair, "mixed", old, f"paragraph {index + 1}, {changed}")
    return Change(pair, "both", old)
