"""Whether a training goes on with what its folder holds, begins, or is refused.

The same command twice is one training: it goes on where it was cut off, and is used as
it is where it was finished. What another command trained is never replaced unasked.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lib.commands import say
from lib.files import shown
from lib.training.checkpoint import CheckpointError, describe
from lib.training.resume import Keep

ANEW = "replace it with --force (force = True in a notebook)"


@dataclass(frozen=True)
class Held:
    """What a folder holds of a training; configuration: of its checkpoint."""

    place: Path
    options: dict[str, Any]  # it was trained with
    step: int
    configuration: dict[str, Any] = field(default_factory=dict)


def held_by(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read, and what stands beside it; None: none."""
    return Keep(folder).found(f"name another folder, or {ANEW}")


def going_on(options: Any, held: Held | None, steps: int, free: Collection[str],
             length: str, folder: str) -> Held | None:
    """What is held, to go on with; None where nothing is, or with `options.force`.

    free: the options that may differ. length, folder: the names of the options that
    say how long a training is and where it is kept. Raises CheckpointError if what is
    held is another training, or one that is longer; says what to do.
    """
    if held is None or options.force:
        return None
    place = shown(held.place)
    if name := differing(held.options, options, free):
        raise CheckpointError(
            f"{place} was trained with {name} {held.options.get(name)} and this run "
            f"has {getattr(options, name)}; go on with the same, name another "
            f"{folder}, or {ANEW}")
    if held.step > steps:
        raise CheckpointError(
            f"{place} holds this training at step {held.step:,}, and with {length} "
            f"{getattr(options, length)} it has {steps:,}; raise {length}, name "
            f"another {folder}, or {ANEW}")
    return held


def differing(before: dict[str, Any], options: Any, free: Collection[str]) -> str:
    """The first option that was another one; empty where there is none."""
    now = asdict(options)
    return next((name for name, value in now.items()
                 if name not in free and before.get(name) != value), "")


def how(options: Any) -> str:
    """How to go on with a training of these options that was interrupted."""
    without = " without force" if options.force else ""
    return f"the same command{without} goes on from there"


def stopped(folder: Path, steps: int, options: Any) -> KeyboardInterrupt:
    """What to raise for a training that was interrupted and kept in a folder."""
    step = describe(folder / "last")["step"]
    return KeyboardInterrupt(f"stopped at step {step:,} of {steps:,}; {how(options)}")


def say_so(held: Held | None, steps: int) -> None:
    """Say that a training goes on, or is there already."""
    if held is not None and held.step == steps:
        say(f"{shown(held.place)} holds this training, all {steps:,} steps of it: "
            "nothing is trained")
    elif held is not None:
        say(f"going on from step {held.step:,} of {steps:,}, "
            f"kept in {shown(held.place)}")
