"""Rotary positions: queries and keys turned by the angle of their place.

The angles are in radians; a pair of dimensions is `i` and `i + d_head / 2`, as in the
Llama family.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def rotary_angles(
    positions: Int[Tensor, " seq"], d_head: int, theta: float = 10_000.0,
    frequencies: Float[Tensor, " pair"] | None = None,
) -> tuple[Float[Tensor, "seq d_head"], Float[Tensor, "seq d_head"]]:
    """Cosine and sine of the angle by which each pair turns, once for each half.

        φ_ti = t θ^(−2i / d_head),  i = 0 … d_head / 2 − 1

    `frequencies`, in radians per position, where they are no such series: a model that
    was stretched to longer texts turns more slowly. In float32; raises ValueError for
    an odd `d_head` (Su et al. 2021, equations 15 and 34).

    >>> cos, sin = rotary_angles(torch.tensor([0, 1]), 2)
    >>> [round(c, 4) for c in cos[1].tolist()]
    [0.5403, 0.5403]
    """
    if d_head % 2:
        raise ValueError(
            f"rotary positions turn pairs of dimensions and d_head is {d_head}; "
            "use an even d_head."
        )
    if frequencies is None:
        pairs = torch.arange(0, d_head, 2, device=positions.device)
        frequencies = 1.0 / theta ** (pairs.float() / d_head)
    angles = positions[:, None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def apply_rotary(
    x: Float[Tensor, "*batch seq d_head"],
    cos: Float[Tensor, "*#batch seq d_head"],
    sin: Float[Tensor, "*#batch seq d_head"],
) -> Float[Tensor, "*batch seq d_head"]:
    """Turn each query or key by the angle of its position.

        x_t cos φ_t + (−x_t″, x_t′) sin φ_t,  x′ and x″ the halves of the head

    Lengths stay, and a dot product of two turned vectors knows their distance only.

    >>> cos, sin = torch.zeros(1, 2), torch.ones(1, 2)   # a quarter turn
    >>> apply_rotary(torch.tensor([[1.0, 0.0]]), cos, sin).tolist()
    [[0.0, 1.0]]
    """
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
