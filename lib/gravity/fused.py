"""Newton's gravity a block of the table at a time, with gradients of its own.

The weight m_j^β / (r²_ij + ε)^p is a power of a dot product, so a block of it is one
matrix product and one pass (`lib.gravity.compiled`); nothing of size
(seq, seq) is ever kept.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from lib.gravity.attention import Points, Values
from lib.gravity.compiled import weigh, weigh_back

# A block of the table, HEADS heads deep: 2 MiB in float32, for the cores' own caches.
HEADS, QUERIES, KEYS = 8, 256, 256
NARROW = 40.0  # largest spread of β log m for which exp needs no running maximum


def augmented(
    z: Float[Tensor, "*lead seq coord"],
    eps: float,
    looking: Float[Tensor, "*lead seq coord"] | None = None,
) -> tuple[Float[Tensor, "*lead seq wide"], Float[Tensor, "*lead seq wide"]]:
    """Vectors whose dot product is u_ij = (r²_ij + ε) / ε, C + 2 wide, all u_ij ≥ 1.

    q_i = [−2y_i/C, ‖y_i‖²/C + ε, 1] / ε,   k_j = [z_j, 1, ‖z_j‖²/C]

    looking: y; None: y = z.

    >>> q, k = augmented(torch.tensor([0.0, 3.0])[:, None], eps=0.5)
    >>> q @ k.mT
    tensor([[ 1., 19.],
            [19.,  1.]])
    """
    origin, coord = z[..., :1, :].detach(), z.shape[-1]
    z, y = z - origin, None if looking is None else looking - origin
    norm = torch.linalg.vecdot(z, z)[..., None] / coord
    one = torch.ones_like(norm)
    key = torch.cat((z, one, norm), -1)
    if y is not None:
        z, norm = y, torch.linalg.vecdot(y, y)[..., None] / coord
    query = z * (-2 / coord / eps), (norm + eps) / eps, one / eps
    return torch.cat(query, -1), key


def newton_fused(
    z: Points, bias: Float[Tensor, "batch head seq"],
    strength: Float[Tensor, "batch head 1 1"], value: Values,
    eps: float, looking: Points | None = None,
) -> Values:
    """Softmax of b_j − p log(r²_ij + ε), a block of the table at a time.

    bias: b_j = β log m_j; strength: p; looking: from where tokens look, None: z.
    The mass goes into the key, m_j^β / u^p = (u · m_j^(−β/p))^(−p), and what is left
    is a power of a dot product that is at least 1. Unless the numbers are `too_wide`,
    the sum of a row does not vanish, and no running maximum is needed. Float32 or wider
    inside; the result has the type of `value`.
    """
    kind = torch.promote_types(z.dtype, torch.float32)
    with torch.autocast(z.device.type, enabled=False):
        bias = bias.to(kind)
        bias = bias - bias[..., :1].detach()
        given = z.to(kind), bias, strength.to(kind)[..., 0, 0], value.to(kind)
        y = None if looking is None else looking.to(kind).flatten(0, 1)
        mixed = _Powers.apply(*(x.flatten(0, 1) for x in given), y, eps)
    return mixed.unflatten(0, z.shape[:2]).to(value.dtype)


@torch.no_grad()
def too_wide(
    z: Points, bias: Float[Tensor, "batch head seq"],
    strength: Float[Tensor, "batch head 1 1"],
    eps: float, looking: Points | None = None,
) -> bool:
    """Whether weights without a running maximum might vanish or overflow in float32.

    A token that looks from where it lies keeps a weight of m_i^β on itself; otherwise
    it may be as small as m_i^β (r²/ε + 1)^(−p) with the largest r² there can be.
    """
    p, spread = strength.amax(), bias.amax() - bias.amin()
    if looking is not None:
        lies, looks = ((x - z[..., :1, :]).norm(dim=-1).amax() for x in (z, looking))
        reach = lies + looks
        spread = spread + p * torch.log1p(reach**2 / z.shape[-1] / eps)
    return bool(spread > NARROW * strength.amin().clamp(max=1))


def parts(length: int, size: int, start: int = 0) -> list[slice]:
    """Slices of `size` that cover `start` to `length`.

    >>> [(part.start, part.stop) for part in parts(300, 128)]
    [(0, 128), (128, 256), (256, 300)]
    """
    return [slice(a, min(a + size, length)) for a in range(start, length, size)]


class _Powers(torch.autograd.Function):
    """out_i = Σ_j≤i w_ij v_j / Z_i with w_ij = exp(b_j) (q_i·k_j)^(−p), Z_i = Σ_j w_ij.

    The mass goes into the key, u_ij = q_i·k_j exp(−b_j/p) and w_ij = u_ij^(−p). With
    e_i = ∂L/∂out_i / Z_i and D_i = e_i·out_i, the gradient of the logit log w_ij is
    S_ij = w_ij (e_i·v_j − D_i), and with G_ij = S_ij / u_ij:

        dv_j = Σ_i w_ij e_i     db_j = Σ_i S_ij     dp = −Σ S_ij (log u_ij + b_j/p)
        dq_i = −p Σ_j G_ij k_j exp(−b_j/p)     dk_j = −p exp(−b_j/p) Σ_i G_ij q_i

    and dz from dq and dk as `augmented` makes them of z. Nothing of size (seq, seq) is
    kept: the table is made again for the gradients. Where y = z the diagonal, a
    difference of large numbers that is 1, is put in exactly; elsewhere rounding may
    take q_i·k_j below 1, and u is held at its least value.
    """

    @staticmethod
    def forward(ctx, z, b, p, v, y, eps):
        q, k = augmented(z, eps, y)
        heavy = torch.exp(-b / p[:, None])  # m_j^(−β/p), also the least u of a column
        k.mul_(heavy[..., None])
        out, total = torch.empty_like(v), torch.empty_like(b)
        for own in parts(len(q), HEADS):
            heads = _Heads(q[own], k[own], rooms=1)
            for at in parts(q.shape[1], QUERIES):
                mixed = torch.zeros_like(v[own, at])
                mass = torch.zeros_like(b[own, at])
                for to in parts(at.stop, KEYS):
                    (w,) = heads.distances(at, to)
                    past = at.start - to.start
                    weigh(w, heavy[own, to], p[own], past, y is None, mass)
                    mixed.baddbmm_(w, v[own, to])
                torch.div(mixed, mass[..., None], out=out[own, at])
                total[own, at] = mass
        ctx.save_for_backward(q, k, b, p, v, heavy, out, total)
        ctx.eps, ctx.same = eps, y is None
        return out

    # the backward of torch takes any number of gradients
    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # pyright: ignore[reportIncompatibleMethodOverride]
        q, k, b, p, v, heavy, out, total = ctx.saved_tensors
        mean, scale = torch.linalg.vecdot(grad, out), 1 / total
        dq, dp = torch.zeros_like(q), torch.zeros_like(p)
        dk, dv, db = map(torch.empty_like, (k, v, b))
        for own in parts(len(q), HEADS):
            heads = _Heads(q[own], k[own], rooms=2)
            for keys in parts(q.shape[1], KEYS):
                sums = [torch.zeros_like(x[own, keys]) for x in (k, v, b)]
                first = keys.start // QUERIES * QUERIES
                for at in parts(q.shape[1], QUERIES, first):
                    to = slice(keys.start, min(keys.stop, at.stop))
                    dk_, dv_, db_ = (x[:, : to.stop - to.start] for x in sums)
                    w, g = heads.distances(at, to)
                    torch.bmm(grad[own, at], v[own, to].mT, out=g)
                    weigh_back(
                        w, g, heavy[own, to], p[own], at.start - to.start, ctx.same,
                        scale[own, at], mean[own, at], db_, dp[own],
                    )
                    dv_.baddbmm_(w.mT, grad[own, at])
                    dk_.baddbmm_(g.mT, q[own, at])
                    dq[own, at] += torch.bmm(g, k[own, to])
                dk[own, keys], dv[own, keys], db[own, keys] = sums
        dp = -dp - (b * db).sum(-1) / p
        dz, dy = _unaugmented(q, k, dq, dk, heavy, p, ctx.eps)
        if ctx.same:
            dz, dy = dz.add_(dy), None
        return dz, db, dp, dv, dy, None


def _unaugmented(
    q: Tensor, k: Tensor, dq: Tensor, dk: Tensor, heavy: Tensor, p: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """dz of k = heavy · [z, 1, ‖z‖²/C] and dy of q, written over dk and dq.

    dz_j = −p (heavy_j dk_j + (2/C) dk_j,norm k_j)
    dy_i = −p (−2 dq_i/(Cε) + (2/(Cε)) dq_i,norm y_i),    q_i = −2 y_i/(Cε)
    """
    coord, power = q.shape[-1] - 2, -p[:, None, None]
    dz, dy = dk[..., :coord], dq[..., :coord]
    dz *= heavy[..., None]
    dz.addcmul_(k[..., :coord], dk[..., coord + 1, None], value=2 / coord)
    dy *= -2 / coord / eps
    dy.addcmul_(q[..., :coord], dq[..., coord, None], value=-1)
    return dz.mul_(power), dy.mul_(power)


class _Heads:
    """Some heads' rows and columns, and room for blocks of their tables."""

    def __init__(self, q: Tensor, k: Tensor, rooms: int):
        self.q, self.keys = q, k.mT
        size = len(q) * min(QUERIES, q.shape[1]) * min(KEYS, q.shape[1])
        self.room = q.new_empty(rooms, size)

    def distances(self, at: slice, to: slice) -> tuple[Tensor, ...]:
        """u of a block, and the other blocks of its shape."""
        shape = len(self.q), at.stop - at.start, to.stop - to.start
        blocks = self.room[:, : math.prod(shape)].view(-1, *shape).unbind()
        torch.bmm(self.q[:, at], self.keys[..., to], out=blocks[0])
        return blocks
