"""Newton's gravity a block of the table at a time, with gradients of its own.

The weight m_j^β / (r²_ij + ε)^p is a power of a dot product, so a block of it is one
matrix product and three passes; nothing of size (seq, seq) is ever kept.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

# A block of the table, HEADS heads deep: 2 MiB in float32, for the cores' own caches.
HEADS, QUERIES, KEYS = 8, 128, 512
NARROW = 40.0  # largest spread of β log m for which exp needs no running maximum


def augmented(
    z: Float[Tensor, "*lead seq coord"],
    eps: float,
    looking: Float[Tensor, "*lead seq coord"] | None = None,
) -> tuple[Float[Tensor, "*lead seq wide"], Float[Tensor, "*lead seq wide"]]:
    """Vectors whose dot product is u_ij = (r²_ij + ε) / ε, C + 2 wide, all u_ij ≥ 1.

    q_i = [−2y_i/C, ‖y_i‖²/C + ε, 1] / ε,   k_j = [z_j, 1, ‖z_j‖²/C]

    looking: y, from where tokens look; None: from where they lie, y = z.

    >>> q, k = augmented(torch.tensor([0.0, 3.0])[:, None], eps=0.5)
    >>> q @ k.mT
    tensor([[ 1., 19.],
            [19.,  1.]])
    """
    origin = z[..., :1, :].detach()
    z, y = z - origin, None if looking is None else looking - origin
    coord = z.shape[-1]
    norm = z.square().sum(-1, keepdim=True) / coord
    one = torch.ones_like(norm)
    key = torch.cat((z, one, norm), -1)
    if y is not None:
        z, norm = y, y.square().sum(-1, keepdim=True) / coord
    return (
        torch.cat((z * (-2 / coord / eps), (norm + eps) / eps, one / eps), -1), key
    )


def newton_fused(
    z: Float[Tensor, "batch head seq coord"],
    bias: Float[Tensor, "batch head seq"],
    strength: Float[Tensor, "batch head 1 1"],
    value: Float[Tensor, "batch head seq d_value"],
    eps: float,
    looking: Float[Tensor, "batch head seq coord"] | None = None,
) -> Float[Tensor, "batch head seq d_value"]:
    """Softmax of b_j − p log(r²_ij + ε), a block of the table at a time.

    bias: b_j = β log m_j; strength: p; looking: from where tokens look, None: z.
    The mass goes into the key, m_j^β / u^p = (u · m_j^(−β/p))^(−p), and what is left
    is a power of a dot product that is at least 1. Unless the numbers are `too_wide`,
    a token's weight on itself does not vanish, so neither does the sum of a row, and
    no running maximum is needed. Float32 or wider inside; the result has the type of
    `value`.
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
    z: Float[Tensor, "batch head seq coord"],
    bias: Float[Tensor, "batch head seq"],
    strength: Float[Tensor, "batch head 1 1"],
    eps: float,
    looking: Float[Tensor, "batch head seq coord"] | None = None,
) -> bool:
    """Whether weights without a running maximum might vanish or overflow in float32.

    A token that looks from where it lies keeps a weight of m_i^β on itself; otherwise
    it may be as small as m_i^β (r²/ε + 1)^(−p) with the largest r² there can be.
    """
    p, spread = strength.amax(), bias.amax() - bias.amin()
    if looking is not None:
        origin = z[..., :1, :]
        reach = sum((x - origin).norm(dim=-1).amax() for x in (z, looking))
        spread = spread + p * torch.log1p(reach**2 / z.shape[-1] / eps)
    return bool(spread > NARROW * strength.amin().clamp(max=1))


def parts(length: int, size: int, start: int = 0) -> list[slice]:
    """Slices of `size` that cover `start` to `length`.

    >>> [(part.start, part.stop) for part in parts(300, 128)]
    [(0, 128), (128, 256), (256, 300)]
    """
    return [slice(a, min(a + size, length)) for a in range(start, length, size)]


def tiles(seq: int) -> Iterator[tuple[slice, slice]]:
    """The blocks of a causal table: up to `QUERIES` queries by `KEYS` keys.

    >>> [(rows.start, columns.stop) for rows, columns in tiles(300)]
    [(0, 128), (128, 256), (256, 300)]
    """
    for at in parts(seq, QUERIES):
        for to in parts(at.stop, KEYS):
            yield at, to


class _Powers(torch.autograd.Function):
    """out_i = Σ_j≤i w_ij v_j / Z_i with w_ij = exp(b_j) (q_i·k_j)^(−p), Z_i = Σ_j w_ij.

    The mass goes into the key, u_ij = q_i·k_j exp(−b_j/p) and w_ij = u_ij^(−p). With
    e_i = ∂L/∂out_i / Z_i and D_i = e_i·out_i, the gradient of the logit log w_ij is
    S_ij = w_ij (e_i·v_j − D_i), and with G_ij = S_ij / u_ij:

        dv_j = Σ_i w_ij e_i     db_j = Σ_i S_ij     dp = −Σ S_ij (log u_ij + b_j/p)
        dq_i = −p Σ_j G_ij k_j exp(−b_j/p)     dk_j = −p exp(−b_j/p) Σ_i G_ij q_i

    and dz from dq and dk as `augmented` makes them of z. Nothing of size (seq, seq) is
    kept: the table is made again for the gradients. Where y = z the diagonal, a
    difference of large numbers that is 1, is put in exactly. Where points lie so `far`
    apart that rounding may take q_i·k_j below 1, u is held at its least value.
    """

    @staticmethod
    def forward(ctx, z, b, p, v, y, eps):
        q, k = augmented(z, eps, y)
        longest = torch.maximum(k[..., -1].amax(), q[..., -2].amax() * eps)
        far = bool(longest * 1e-6 > 0.1 * eps)
        heavy = torch.exp(-b / p[:, None])  # m_j^(−β/p), also the least u of a column
        k = k * heavy[..., None]
        out, total = torch.empty_like(v), torch.empty_like(b)
        for own in parts(len(q), HEADS):
            heads = _Heads(q[own], k[own], heavy[own], p[own], far, y is None, 0)
            for at in parts(q.shape[1], QUERIES):
                mixed = torch.zeros_like(v[own, at])
                mass = torch.zeros_like(b[own, at])
                for to in parts(at.stop, KEYS):
                    w = heads.distances(at, to)[0]
                    w.log_().mul_(heads.power).exp_()
                    heads.hide_later(w, at, to)
                    mass += w.sum(-1)
                    mixed.baddbmm_(w, v[own, to])
                out[own, at], total[own, at] = mixed.div_(mass[..., None]), mass
        ctx.save_for_backward(q, k, b, p, v, heavy, out, total)
        ctx.far, ctx.eps, ctx.same = far, eps, y is None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        q, k, b, p, v, heavy, out, total = ctx.saved_tensors
        e = grad / total[..., None]
        e_d = torch.cat((e, -(e * out).sum(-1, keepdim=True)), -1)
        v_1 = torch.cat((v, torch.ones_like(v[..., :1])), -1)
        dq, dk, db, dp, dv = map(torch.zeros_like, (q, k, b, p, v))
        for own in parts(len(q), HEADS):
            given = q[own], k[own], heavy[own], p[own]
            heads = _Heads(*given, ctx.far, ctx.same, spare=3)
            for keys in parts(q.shape[1], KEYS):
                dk_, dv_ = (torch.zeros_like(x[own, keys]) for x in (k, v))
                first = keys.start // QUERIES * QUERIES
                for at in parts(q.shape[1], QUERIES, first):
                    to = slice(keys.start, min(keys.stop, at.stop))
                    wide = to.stop - to.start
                    u, log, w, g = heads.distances(at, to)
                    torch.log(u, out=log)
                    torch.mul(log, heads.power, out=w).exp_()
                    heads.hide_later(w, at, to)
                    _add(dv_, wide, w.mT, e[own, at])
                    torch.bmm(e_d[own, at], v_1[own, to].mT, out=g)
                    w *= g
                    db[own, to].add_(w.sum(1))
                    dp[own].add_(torch.mul(w, log, out=g).flatten(1).sum(1))
                    if ctx.far:
                        w.masked_fill_(u <= heavy[own, None, to], 0)
                    w /= u
                    if ctx.same:
                        heads.diagonal(w, at, to).zero_()
                    dq[own, at].add_(torch.bmm(w, k[own, to]))
                    _add(dk_, wide, w.mT, q[own, at])
                dk[own, keys], dv[own, keys] = dk_, dv_
        dp = -dp - (b * db).sum(-1) / p
        dq *= -p[:, None, None]
        dk *= -p[:, None, None] * heavy[..., None]
        dz, dy = _unaugmented(q, k / heavy[..., None], dq, dk, ctx.eps)
        if ctx.same:
            dz, dy = dz + dy, None
        return dz, db, dp, dv, dy, None


def _unaugmented(
    q: Tensor, k: Tensor, dq: Tensor, dk: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """dz of dk and dy of dq; y comes back out of q, z out of k.

    dz_j = dk_j + (2/C) dk_j,norm z_j     dy_i = −2 dq_i/(Cε) + (2/(Cε)) dq_i,norm y_i
    """
    coord = q.shape[-1] - 2
    scale = -2 / coord / eps
    dz = torch.addcmul(
        dk[..., :coord], k[..., :coord], dk[..., coord + 1, None], value=2 / coord
    )
    dy = scale * dq[..., :coord]
    return dz, dy.addcmul_(q[..., :coord], dq[..., coord, None], value=-1)


class _Heads:
    """Some heads' rows and columns, and room for one block of their tables."""

    def __init__(self, q, k, heavy, p, far, same, spare):
        self.q, self.keys, self.heavy = q, k.mT, heavy
        self.far, self.same = far, same
        self.power = -p[:, None, None]
        wide = min(QUERIES, q.shape[1])
        size = len(q) * wide * min(KEYS, q.shape[1])
        self.room = q.new_empty(1 + spare, size)
        self.earlier = q.new_ones(wide, wide).tril_()  # 1 where a key is not later

    def distances(self, at: slice, to: slice) -> tuple[Tensor, ...]:
        """u of a block, and the spare blocks of its shape."""
        shape = len(self.q), at.stop - at.start, to.stop - to.start
        blocks = self.room[:, : math.prod(shape)].view(-1, *shape).unbind()
        u = torch.bmm(self.q[:, at], self.keys[..., to], out=blocks[0])
        if self.far:
            torch.maximum(u, self.heavy[:, None, to], out=u)
        own = self.diagonal(u, at, to)
        if self.same and own.numel():
            own.copy_(self.heavy[:, to.stop - own.shape[1] : to.stop])
        return blocks

    @staticmethod
    def diagonal(table: Tensor, at: slice, to: slice) -> Tensor:
        """The cells of a block in which a token meets itself, maybe none."""
        first = max(at.start, to.start)
        return table[:, first - at.start :, first - to.start :].diagonal(0, 1, 2)

    def hide_later(self, table: Tensor, at: slice, to: slice) -> None:
        """Set to zero what lies after each query: cells of a block on the diagonal."""
        if to.stop > at.start:
            first = max(at.start, to.start)
            earlier = self.earlier[: at.stop - at.start]
            earlier = earlier[:, first - at.start : to.stop - at.start]
            table[..., first - to.start :].mul_(earlier)


def _add(sums: Tensor, wide: int, a: Tensor, b: Tensor) -> None:
    """Add a @ b to the first `wide` rows of the sums; in one go where that is all."""
    if wide == sums.shape[1]:
        sums.baddbmm_(a, b)
    else:
        sums[:, :wide].add_(torch.bmm(a, b))

