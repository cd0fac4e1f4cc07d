"""One at a time: the system's own lock on a file, which ends with who holds it.

Standard library only, like `book.environment`, which asks for it before anything is
installed. The file is one that is always there; its content is not touched. Where it
is missing, or the file system knows no locks, the work goes on without one.
"""

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class Busy(Exception):
    """Another process is at that work; its text is one sentence."""


@contextlib.contextmanager
def alone(
    file: Path, work: str, wait: bool = True, note: Path | None = None,
    where: str = "this folder",
) -> Iterator[tuple[int, ...]]:
    """Hold the lock on `file`; yield the descriptors that a child must inherit.

    Where another process holds it, one sentence says so, and from `note` (which the
    holder writes, and removes at its end) who it is and since when.

    Raises
    ------
    Busy
        If another holds it and we are not to `wait`.
    """
    if not file.exists():
        yield ()
        return
    with _open(file) as handle:
        if not _locked(handle, wait=False):
            at_work = f"{work} is at work in {where}{_who(note)}"
            if not wait:
                raise Busy(f"A {at_work}: let it end, or stop it, and run this again.")
            print(f"Another {at_work}; waiting for it to end.", flush=True)
            _locked(handle, wait=True)
        with _noted(note):
            yield () if os.name == "nt" else (handle.fileno(),)


def _open(file: Path):
    """Open for writing, as Windows and some networks lock only what is written."""
    try:
        return open(file, "r+b")
    except OSError:
        return open(file, "rb")


def _locked(handle, wait: bool) -> bool:
    """Whether the lock is ours now; so it is where there are no locks at all."""
    try:
        if os.name == "nt":
            _lock_windows(handle, wait)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return error.errno not in BUSY
    return True


def _lock_windows(handle, wait: bool) -> None:
    import msvcrt

    windows = cast(Any, msvcrt)  # elsewhere its names are not known
    handle.seek(1 << 30)  # beyond the end: it keeps nobody from reading the file
    while True:
        try:
            # LK_LOCK tries ten times, a second apart, before it gives up.
            mode = windows.LK_LOCK if wait else windows.LK_NBLCK
            windows.locking(handle.fileno(), mode, 1)
            return
        except OSError as error:
            if not wait or error.errno not in BUSY:
                raise


def _who(note: Path | None) -> str:
    """Who holds the lock, where it has been written down."""
    try:
        holder = json.loads(note.read_text("utf-8")) if note else {}
        return f" (process {holder['pid']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


@contextlib.contextmanager
def _noted(note: Path | None) -> Iterator[None]:
    """Write down who we are while we hold the lock."""
    if note is None:
        yield
        return
    note.parent.mkdir(parents=True, exist_ok=True)
    holder = {"pid": os.getpid(), "since": time.strftime("%H:%M:%S")}
    note.write_text(json.dumps(holder), "utf-8")
    try:
        yield
    finally:
        note.unlink(missing_ok=True)
