"""Whether a training goes on with what its folder holds, begins, or is refused.

The same command twice is one training: it goes on where it was cut off, and is used as
it is where it was finished. What another command trained is never replaced unasked.
"""

import sys
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lib.files import shown
from lib.training.checkpoint import CheckpointError
from lib.training.resume import Keep

ANEW = "replace it with --force (force = True in a notebook)"


@dataclass(frozen=True)
class Held:
    """What a folder holds of a training."""

    place: Path
    options: dict[str, Any]  # it was trained with
    step: int


def held_by(keep: Keep) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read, and what stands beside it; None: none.

    Raises
    ------
    CheckpointError
        If there are some and all are damaged.
    """
    found = keep.found()
    if found is None and (wrong := keep.wrong()):
        said = str(wrong).rsplit("; ", 1)[0]
        raise CheckpointError(f"{said}; name another folder, or {ANEW}")
    return found


def goes_on(
    options: Any, held: Held | None, steps: int, free: Collection[str],
    length: str, folder: str,
) -> bool:
    """Whether to go on with what is held; False: nothing is held, or `options.force`.

    free: the options that may differ. length, folder: the names of the options that
    say how long a training is and where it is kept.

    Raises
    ------
    CheckpointError
        If what is held is another training, or one that is longer; what to do.
    """
    if held is None or options.force:
        return False
    place = shown(held.place)
    if name := differing(held.options, options, free):
        raise CheckpointError(
            f"{place} was trained with {name} {held.options.get(name)} and this run "
            f"has {getattr(options, name)}; go on with the same, name another "
            f"{folder}, or {ANEW}"
        )
    if held.step > steps:
        raise CheckpointError(
            f"{place} holds this training at step {held.step:,}, and with {length} "
            f"{getattr(options, length)} it has {steps:,}; raise {length}, name "
            f"another {folder}, or {ANEW}"
        )
    return True


def differing(before: dict[str, Any], options: Any, free: Collection[str]) -> str:
    """The first option that was another one; empty where there is none."""
    now = asdict(options)
    return next((name for name, value in now.items()
                 if name not in free and before.get(name) != value), "")


def how(options: Any) -> str:
    """How to go on with a training of these options that was interrupted."""
    without = " without force" if options.force else ""
    return f"the same command{without} goes on from there"


def say_so(held: Held, steps: int) -> None:
    """Say that a training goes on, or is there already."""
    if held.step == steps:
        said = (f"{shown(held.place)} holds this training, all {steps:,} steps of it: "
                "nothing is trained")
    else:
        said = (f"going on from step {held.step:,} of {steps:,}, "
                f"kept in {shown(held.place)}")
    print(said, file=sys.stderr)
