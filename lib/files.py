"""Files that are whole, and folders that several runs may want at once: one has it.

    with alone(folder / ".lock", folder):          # refuses while another run has it
    with alone(root / ".lock", root, wait=True):   # waits for the other run
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lib.cache import ROOT, say


class Taken(ValueError):
    """Another run works in a folder; the message names it."""


@contextmanager
def alone(lock: Path, folder: Path, wait: bool = False) -> Iterator[None]:
    """Only one run works in a folder; the first of several processes holds the lock.

    lock: a file that stands for the folder. wait: for the other run, rather than
    refuse. A run that ends in whatever way gives the lock back.

    Raises
    ------
    Taken
        Who works there, and since when.
    """
    if int(os.environ.get("RANK", "0")):
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock, is_singleton=True)  # taken again by its holder, it is held
    told = lock.with_name(f"{lock.name}-holder")
    try:
        held.acquire(timeout=1 if wait else 0)
    except Timeout:
        who = f"another run works in {shown(folder)}{_holder(told)}"
        if not wait:
            raise Taken(
                f"{who}; wait until it has ended, or name another folder"
            ) from None
        say(f"{who}; waiting for it.")
        held.acquire()
    try:
        if held.lock_counter == 1:
            since = datetime.now().strftime("%H:%M:%S")
            write(told, {"pid": os.getpid(), "since": since})
        yield
    finally:
        if held.lock_counter == 1:
            told.unlink(missing_ok=True)
        held.release()


def write(file: Path, content: Any) -> None:
    """Write JSON; the file is the old one or the new one, whole, at any moment."""
    draft = file.with_name(f".{file.name}.part")
    text = json.dumps(content, indent=1, ensure_ascii=False)
    draft.write_text(text + "\n", encoding="utf-8")
    os.replace(draft, file)


def beside(folder: Path) -> Path:
    """A lock for a folder whose contents are looked at: it lies beside it, hidden."""
    return folder.parent / f".{folder.name}.lock"


def shown(folder: Path) -> str:
    """A folder as messages name it: from the root of the repository, if inside."""
    inside = folder.is_relative_to(ROOT)
    return str(folder.relative_to(ROOT) if inside else folder)


def _holder(told: Path) -> str:
    """Who holds a lock, where that can be read."""
    with suppress(OSError, ValueError, KeyError):
        holder = json.loads(told.read_text("utf-8"))
        return f" (process {holder['pid']}, since {holder['since']})"
    return ""
