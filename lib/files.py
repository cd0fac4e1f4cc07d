"""Files that are whole, and folders that several runs may want at once: one has it.

    with replaced(file) as draft:                  # the old file, or all of the new
    with alone(folder / ".lock", folder):          # refuses while another run has it
    with alone(root / ".lock", root, wait=True):   # waits for the other run
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lib.commands import ROOT, say


class Taken(ValueError):
    """Another run works in a folder; the message names it."""


@contextmanager
def alone(lock: Path, folder: Path, wait: bool = False) -> Iterator[None]:
    """Only one run works in a folder; the first of several processes holds the lock.

    lock: a file that stands for the folder. wait: for the other run, rather than be
    refused by `Taken`. A run that ends in whatever way gives the lock back.
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
            write_json(told, {"pid": os.getpid(), "since": since})
        yield
    finally:
        if held.lock_counter == 1:
            told.unlink(missing_ok=True)
        held.release()


def sha256_of(path: Path) -> str:
    """Hash a file: the lower-case hexadecimal SHA-256 of its bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(file: Path) -> None:
    """See the bytes of a file onto the disk."""
    with open(file, "rb+") as stream:  # Windows flushes only what may be written
        os.fsync(stream.fileno())


def flush_folder(folder: Path) -> None:
    """See the names in a folder onto the disk."""
    if os.name == "nt":
        return  # Windows has no handle of a folder to flush
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replaced(file: Path) -> Iterator[Path]:
    """Give the place of a draft; at the end it takes the name of the file, whole.

    At any moment the file is the old one or the new one. Where the block fails, the
    draft goes and the old one stays.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        yield draft
        flush(draft)
        os.replace(draft, file)
        flush_folder(file.parent)
    finally:
        with suppress(OSError):
            draft.unlink()


def write_text(file: Path, text: str) -> None:
    """Write UTF-8 with line ends as they are, whole or not at all."""
    with replaced(file) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def write_json(file: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    write_text(file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


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
