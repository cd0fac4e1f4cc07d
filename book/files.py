"""Files of the book: where it stands, how a path is named, how a text is written.

Standard library only, so that a wrong word of a command is answered at once.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class SyncError(Exception):
    """A pair of a notebook that cannot be read, or written without a loss."""


def shown(path: Path) -> str:
    """``path`` as people type it: from the root of the book when it is inside."""
    try:
        return path.resolve().relative_to(ROOT).as_posix()
    except ValueError:
        return str(path)


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8, LF) to ``path`` so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
