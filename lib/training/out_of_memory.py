"""Running out of memory as one sentence, instead of a machine that stops answering."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory")


class OutOfMemory(MemoryError):
    """What was being done did not fit; the message says what to lower."""


def ran_out(where: str, rows: int, parts: int) -> OutOfMemory:
    """What to raise for a batch of so many rows, in parts, that did not fit."""
    return OutOfMemory(
        f"memory ran out {where} with a batch of {rows} in {parts} part(s); lower "
        "batch_size, max_length or hidden_size, or raise gradient_accumulation_steps")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, CUDA or Python says that memory ran out.

    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    True
    >>> is_out_of_memory(RuntimeError("shapes do not match"))
    False
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in said for sign in SIGNS)


def available() -> int | None:
    """Bytes that this process may still take; None where the system does not say."""
    rooms = []
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                rooms.append(int(line.split()[1]) * 1024)
        group = Path("/sys/fs/cgroup")
        most = (group / "memory.max").read_text().strip()
        if most != "max":
            used = int((group / "memory.current").read_text())
            stat = (group / "memory.stat").read_text().splitlines()
            reclaimable = dict(line.split() for line in stat).get("inactive_file", 0)
            rooms.append(int(most) - used + int(reclaimable))
    return min(rooms, default=None)


@contextmanager
def within_memory() -> Iterator[None]:
    """Let an allocation fail inside the block rather than let the system kill us.

    Linux hands out more memory than it has and later kills the process that uses it,
    without a word. Here the process may take what is free now and no more; what goes
    beyond fails as an error that can be told. Elsewhere the block changes nothing.
    """
    room = available()
    if not sys.platform.startswith("linux") or room is None:
        yield
        return
    import resource

    status = Path("/proc/self/status").read_text()
    held = int(status.split("VmData:")[1].split()[0]) * 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [bound for bound in (held + max(room, 0), soft, hard)
              if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
