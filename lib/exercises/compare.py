"""What checks have in common: comparing an answer, and telling the mistake it fits."""

from collections.abc import Iterable
from numbers import Number
from typing import Any

import torch
from torch import Tensor

from lib.exercises import Hint, require

Slip = tuple[Any, str, str]
"""A mistake: the value it gives, or whether it was made; its hint in both languages."""


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers in float64, the same ones for a seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def cloud(seed: int, seq: int = 5, coord: int = 3) -> tuple[Tensor, Tensor]:
    """Points `(seq, coord)` and masses `(seq,)` between 0.2 and 3.2."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(seq, coord, generator=generator, dtype=torch.float64)
    mass = torch.rand(seq, generator=generator, dtype=torch.float64) * 3 + 0.2
    return z, mass


def shown(cut: Iterable[bytes]) -> str:
    """Pieces of a word, to be read: ban · ana."""
    return " · ".join(piece.decode("utf-8", "replace") for piece in cut)


def share(raw: Tensor) -> Tensor:
    """Rows divided by their sum."""
    return raw / raw.sum(-1, keepdim=True)


def number(got: Any) -> float:
    """An answer that is one number, a tensor of one among them."""
    if isinstance(got, Number | str):
        return float(got)  # type: ignore[arg-type]  # what is no number raises
    got = torch.as_tensor(got, dtype=torch.float64)
    require(got.numel() == 1,
            f"수 하나여야 하는데 모양이 {tuple(got.shape)}입니다.",
            f"It should be one number; one of shape {tuple(got.shape)} came.")
    return got.item()


def tensor(got: Any, shape: Iterable[int], ko: str = "", en: str = "") -> Tensor:
    """An answer in float64 that has a shape; `ko` and `en` say why that one."""
    got, shape = torch.as_tensor(got, dtype=torch.float64), tuple(shape)
    require(tuple(got.shape) == shape,
            f"모양이 {tuple(got.shape)}입니다. {shape}(이)어야 합니다. {ko}".strip(),
            f"The shape is {tuple(got.shape)}; it should be {shape}. {en}".strip())
    return got


def close(got: Any, right: Any, rtol: float = 1e-6, atol: float = 1e-9) -> bool:
    """Whether numbers or tensors have one shape and nearly the same values.

    Where whole numbers or truth values are right, the same ones exactly.

    >>> close(0.1 + 0.2, 0.3, rtol=1e-12), close([1.0, 2.0], torch.ones(2))
    (True, False)
    >>> close(1.0000001, 1.0), close(1.0000001, 1)
    (True, False)
    """
    if isinstance(got, str):
        return False
    if not torch.as_tensor(right).is_floating_point():
        rtol = atol = 0.0
    got, right = (torch.as_tensor(x, dtype=torch.float64) for x in (got, right))
    return got.shape == right.shape and torch.allclose(got, right, rtol, atol)


def compare(got: Any, right: Any, slips: Iterable[Slip], ko: str = "", en: str = "",
            rtol: float = 1e-6, atol: float = 1e-9) -> None:
    """Pass what is right; else give the hint of the first slip that fits.

    `ko` and `en` are the hint where no slip does; without them it tells both numbers.

    >>> compare(3.0, 3.0, [])
    >>> compare(9.0, 3.0, [(9.0, "제곱입니다.", "That is the square.")])
    Traceback (most recent call last):
    lib.exercises.Hint: ('제곱입니다.', 'That is the square.')
    """
    if close(got, right, rtol, atol):
        return
    for sign, *hint in slips:
        if sign if isinstance(sign, bool) else close(got, sign, rtol, atol):
            raise Hint(*hint)
    raise Hint(ko or f"{got:.4g}이(가) 나왔습니다. {right:.4g}(이)어야 합니다.",
               en or f"It gives {got:.4g}; {right:.4g} is wanted.")
