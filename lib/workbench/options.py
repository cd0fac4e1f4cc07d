"""What the systems ask of their options in the same way. Nothing here needs torch."""

from collections.abc import Mapping
from typing import Any, TypeVar

from lib.options import kinds, largest_divisor

Made = TypeVar("Made")


def among(values: Mapping[str, Any], options: type[Made]) -> Made:
    """The options among the parameters of a notebook."""
    return options(**{name: values[name] for name in kinds(options)})


def expect_start(options: Any) -> None:
    """Refuse a start that cannot be meant: anew and going on, or on no such device."""
    if options.resume and options.force:
        raise ValueError(
            "resume goes on with a training and force begins it anew; leave one out")
    if options.device not in ("auto", "cpu"):
        from lib.page.profile import pick_device  # to know a GPU takes torch

        pick_device(options.device)


def expect_heads(name: str, width: int, heads: int, even: bool = False) -> None:
    """Refuse a width that its heads do not divide. even: nor may it be odd."""
    odd = even and width % 2
    if width % heads == 0 and not odd:
        return
    step = 2 * heads if even and heads % 2 else heads
    below = max(width // step * step, step)
    other = "" if odd else f", or {largest_divisor(width, heads)} heads"
    raise ValueError(
        f"{name} {width} does not divide into num_heads {heads}"
        f"{'' if width % heads else ' of even width'}; use {name} {below} or "
        f"{below + step}{other}")
