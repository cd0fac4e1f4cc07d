"""Profiles: the same chapter as a test of seconds, a book page, a GPU experiment."""

import math
import os
from types import NoneType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, get_args

from lib.options import Device, Seed, fitting, kind, one_of

if TYPE_CHECKING:
    import torch

PROFILES = ("smoke", "book", "gpu")
DEVICES = get_args(Device)


def profile_name(profile: str | None = None) -> str:
    """Name the profile to use: the argument, else `BOOK_PROFILE`, else `book`.

    Raises
    ------
    ValueError
        If the name is none of `smoke`, `book` and `gpu`.

    >>> profile_name("smoke")
    'smoke'
    """
    name = profile or os.environ.get("BOOK_PROFILE") or "book"
    return one_of("profile", name, PROFILES)


def pick_device(device: str | None = "auto") -> "torch.device":
    """Turn `auto`, `cpu`, `cuda` or `mps` into a device that this machine has.

    `auto` takes CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    ValueError
        If the name is not known, or names a device that is not there.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    name = one_of("device", device or "auto", DEVICES)
    import torch  # takes seconds: a wrong option is refused without it

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, found in there.items() if found)
    if not there[name]:
        found = ", ".join(kind for kind, here in there.items() if here)
        raise ValueError(
            f"device {name!r} was asked for and this machine has only {found}; "
            "use device 'auto'."
        )
    return torch.device(name)


def settings(
    profile: str | None,
    *,
    smoke: dict[str, Any],
    book: dict[str, Any],
    gpu: dict[str, Any],
    given: dict[str, Any] | None = None,
    device: str | None = "auto",
    seed: int = 0,
) -> SimpleNamespace:
    """Join what the profile says with what the reader gave.

    Parameters
    ----------
    profile
        `smoke`, `book`, `gpu`, or `None` for the default (`profile_name`).
    smoke, book, gpu
        The options of each profile; the three hold the same names.
    given
        Options of the notebook's parameter cell; `None` leaves the choice to the
        profile, any other value wins over it.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    seed
        That of the notebook, if it has one; it is checked here, before anything runs.

    Returns
    -------
    SimpleNamespace
        One attribute an option, with `profile` and `device` beside them.

    Raises
    ------
    ValueError
        On an unknown profile or device, on profiles with different names, on an
        option given as another kind of value than the profiles hold, or on a seed
        that no generator takes.

    >>> cfg = settings("smoke", smoke={"steps": 2}, book={"steps": 900},
    ...                gpu={"steps": 9000}, given={"steps": None}, device="cpu")
    >>> cfg.steps, cfg.profile
    (2, 'smoke')
    """
    by_profile = {"smoke": smoke, "book": book, "gpu": gpu}
    if not smoke.keys() == book.keys() == gpu.keys():
        odd = set(smoke) ^ set(book) | set(book) ^ set(gpu)
        raise ValueError(
            f"every profile must set the same options; {', '.join(sorted(odd))} "
            "is not in all three."
        )
    name = profile_name(profile)
    fitting("seed", seed, kind(Seed))
    for option, value in (given or {}).items():
        known = by_profile[name].get(option)
        if None not in (value, known) and (
            _kind(value) != _kind(known) or not _finite(value)
        ):
            raise ValueError(
                f"{option} is {_kind(known)} in the profiles (here {known!r}), "
                f"and {value!r} is not; give one."
            )
    chosen = by_profile[name] | {
        option: value for option, value in (given or {}).items() if value is not None
    }
    return SimpleNamespace(profile=name, device=pick_device(device), **chosen)


def expect(kind: type | UnionType, **values: object) -> None:
    """Refuse parameters of another kind than a notebook needs, before it begins.

    `./setup_and_run.sh run` knows the kinds; papermill alone makes a number of any
    value that reads as one.

    Parameters
    ----------
    kind
        `str`, `int`, `float`, `bool` or `list`; with `| None` where that is a value
        too. A whole number is a `float` as well.
    values
        The parameters, by name.

    Raises
    ------
    ValueError
        One sentence: the name, what came, what works.

    >>> expect(float, held_out=0, share=0.05)
    >>> expect(str | None, output=20260305)
    Traceback (most recent call last):
    ...
    ValueError: output is 20260305, a number, and must be text or None; papermill takes
    a value as text with -r in place of -p.
    """
    kinds = get_args(kind) or (kind,)
    names = {str: "text", int: "a whole number", float: "a number",
             bool: "True or False", list: "a list", NoneType: "None"}
    as_text = ("; papermill takes a value as text with -r in place of -p"
               if str in kinds else "; give one")
    taken = (*kinds, int) if float in kinds else kinds
    for name, value in values.items():
        if type(value) not in taken or not _finite(value):
            raise ValueError(
                f"{name} is {value!r}, {_kind(value)}, and must be "
                f"{' or '.join(names[one] for one in kinds)}{as_text}."
            )


def _kind(value: object) -> str:
    """Say which kind of value an option has; whole and broken numbers are one."""
    kinds = {bool: "True or False", int: "a number", float: "a number", str: "text",
             list: "a list", tuple: "a list", dict: "a table", NoneType: "nothing"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
