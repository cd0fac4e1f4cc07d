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
    """Name the profile to use: the argument, else `BOOK_PROFILE`, else `book`."""
    name = profile or os.environ.get("BOOK_PROFILE") or "book"
    return one_of("profile", name, PROFILES)


def pick_device(device: str | None = "auto") -> "torch.device":
    """A device of this machine; `auto` takes CUDA, else Apple's MPS, else the CPU."""
    name = one_of("device", device or "auto", DEVICES)
    import torch  # takes seconds: a wrong option is refused without it

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(),
           "cpu": True}
    mine = [kind for kind, here in has.items() if here]
    if name != "auto" and name not in mine:
        raise ValueError(
            f"device {name!r} was asked for and this machine has only "
            f"{', '.join(mine)}; use device 'auto'."
        )
    return torch.device(mine[0] if name == "auto" else name)


def settings(
    profile: str | None, *,
    smoke: dict[str, Any], book: dict[str, Any], gpu: dict[str, Any],
    given: dict[str, Any] | None = None, device: str | None = "auto", seed: int = 0,
) -> SimpleNamespace:
    """Join what the profile says with what the reader gave: an attribute an option,
    with `profile` and `device` beside them.

    smoke, book, gpu: the options of each profile, under the same names; given: those of
    the notebook's parameter cell, where None leaves the choice to the profile; seed: of
    the notebook, checked here, before anything runs.

    >>> cfg = settings("smoke", smoke={"steps": 2}, book={"steps": 900},
    ...                gpu={"steps": 9000}, given={"steps": None}, device="cpu")
    >>> cfg.steps, cfg.profile
    (2, 'smoke')
    """
    by_profile = {"smoke": smoke, "book": book, "gpu": gpu}
    if odd := set(smoke) ^ set(book) | set(book) ^ set(gpu):
        raise ValueError(
            f"every profile must set the same options; {', '.join(sorted(odd))} "
            "is not in all three."
        )
    name = profile_name(profile)
    fitting("seed", seed, kind(Seed))
    options = by_profile[name]
    given = {key: value for key, value in (given or {}).items() if value is not None}
    for option, value in given.items():
        usual = options.get(option)
        if usual is not None and (_kind(value) != _kind(usual) or not _finite(value)):
            raise ValueError(
                f"{option} is {_kind(usual)} in the profiles (here {usual!r}), "
                f"and {value!r} is not; give one."
            )
    return SimpleNamespace(profile=name, device=pick_device(device), **options | given)


def expect(kind: type | UnionType, **values: object) -> None:
    """Refuse parameters of another kind than a notebook needs, before it begins.

    `./setup_and_run.sh run` knows the kinds; papermill alone makes a number of any
    value that reads as one. kind: `str`, `int`, `float`, `bool` or `list`; with
    `| None` where that is a value too. A whole number is a `float` as well.

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
