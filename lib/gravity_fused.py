"""Newton's gravity a block of the table at a time, with gradients of its own.

The weight m_j^β / (r²_ij + ε)^p is a power of a dot product, so a block of it is one
matrix product and three passes; nothing of size (seq, seq) is ever kept.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

QUERIES, KEYS = 256, 2048  # a block of the table: 2 MiB in float32, for a core's cache
NARROW = 40.0  # largest spread of β log m for which exp needs no running maximum


def augmented(
    z: Float[Tensor, "*lead seq coord"], eps: float
) -> tuple[Float[Tensor, "*lead seq wide"], Float[Tensor, "*lead seq wide"]]:
    """Vectors whose dot product is u_ij = (r²_ij + ε) / ε, C + 2 wide, all u_ij ≥ 1.

    q_i = [−2z_i/C, ‖z_i‖²/C + ε, 1] / ε,   k_j = [z_j, 1, ‖z_j‖²/C]

    >>> q, k = augmented(torch.tensor([0.0, 3.0])[:, None], eps=0.5)
    >>> q @ k.mT
    tensor([[ 1., 19.],
            [19.,  1.]])
    """
    z = z - z[..., :1, :].detach()
    coord = z.shape[-1]
    norm = z.square().sum(-1, keepdim=True) / coord
    one = torch.ones_like(norm)
    return (
        torch.cat((z * (-2 / coord / eps), (norm + eps) / eps, one / eps), -1),
        torch.cat((z, one, norm), -1),
    )


def newton_fused(
    z: Float[Tensor, "batch head seq coord"],
    bias: Float[Tensor, "batch head seq"],
    strength: Float[Tensor, "batch head 1 1"],
    value: Float[Tensor, "batch head seq d_value"],
    eps: float,
) -> Float[Tensor, "batch head seq d_value"]:
    """Softmax of b_j − p log(r²_ij + ε), a block of the table at a time.

    bias: b_j = β log m_j, spread over less than `NARROW` · min(1, p); strength: p.
    The mass goes into the key, m_j^β / u^p = (u · m_j^(−β/p))^(−p), and what is left
    is a power of a dot product that is at least 1. A token's weight on itself is at
    least exp(−NARROW) of the largest there can be, so the sum of a row never vanishes
    and no running maximum is needed. Float32 or wider inside; the result has the type
    of `value`.
    """
    kind = torch.promote_types(z.dtype, torch.float32)
    with torch.autocast(z.device.type, enabled=False):
        query, key = augmented(z.to(kind), eps)
        far = key.detach()[..., -1].amax() * 1e-6 > 0.1 * eps
        p = strength.to(kind)
        bias = bias.to(kind)
        bias = bias - bias[..., :1].detach()
        given = query, key, bias, p[..., 0, 0], value.to(kind)
        mixed = _Powers.apply(*(x.flatten(0, 1) for x in given), bool(far))
    return mixed.unflatten(0, z.shape[:2]).to(value.dtype)


def tiles(seq: int) -> Iterator[tuple[slice, slice]]:
    """The blocks of a causal table: up to `QUERIES` queries by `KEYS` keys.

    >>> [(rows.start, columns.stop) for rows, columns in tiles(600)]
    [(0, 256), (256, 512), (512, 600)]
    """
    for start in range(0, seq, QUERIES):
        stop = min(start + QUERIES, seq)
        for first in range(0, stop, KEYS):
            yield slice(start, stop), slice(first, min(first + KEYS, stop))


class _Powers(torch.autograd.Function):
    """out_i = Σ_j≤i w_ij v_j / Z_i with w_ij = exp(b_j) (q_i·k_j)^(−p), Z_i = Σ_j w_ij.

    The mass goes into the key, u_ij = q_i·k_j exp(−b_j/p) and w_ij = u_ij^(−p). With
    e_i = ∂L/∂out_i / Z_i and D_i = e_i·out_i, the gradient of the logit log w_ij is
    S_ij = w_ij (e_i·v_j − D_i), and with G_ij = S_ij / u_ij:

        dv_j = Σ_i w_ij e_i     db_j = Σ_i S_ij     dp = −Σ S_ij (log u_ij + b_j/p)
        dq_i = −p Σ_j G_ij k_j exp(−b_j/p)     dk_j = −p exp(−b_j/p) Σ_i G_ij q_i

    Nothing of size (seq, seq) is kept: the table is made again for the gradients. The
    diagonal, where q_i·k_i = 1 is a difference of large numbers, is put in exactly.
    `far` says that rounding may take q_i·k_j below 1: then u is held at a least value.
    """

    @staticmethod
    def forward(ctx, q, k, b, p, v, far):
        heavy = torch.exp(-b / p[:, None])[..., None]
        k = k * heavy
        out, total = torch.zeros_like(v), v.new_zeros(v.shape[:2])
        seq, exponents, keys = q.shape[1], (-p).tolist(), k.mT
        floor = heavy.mT
        room = q.new_empty(min(QUERIES, seq) * min(KEYS, seq))
        for at, to in tiles(seq):
            u = room[: _size(at) * _size(to)].view(_size(at), _size(to))
            earlier = _earlier(q, at, to) if to.stop > at.start else None
            parts = (q[:, at], keys[..., to], v[:, to], floor[..., to], out[:, at],
                     total[:, at])
            for p_, q_, k_, v_, floor_, out_, total_ in _by_row(exponents, *parts):
                torch.mm(q_, k_, out=u)
                if far:
                    torch.maximum(u, floor_, out=u)
                _diagonal(u, at, to, floor_)
                u.log_().mul_(p_).exp_()
                if earlier is not None:
                    _hide_later(u, earlier)
                total_.add_(u.sum(-1))
                out_.addmm_(u, v_)
        out /= total[..., None]
        ctx.save_for_backward(q, k, b, p, v, heavy, out, total)
        ctx.far = far
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        q, k, b, p, v, heavy, out, total = ctx.saved_tensors
        e = grad / total[..., None]
        e_d = torch.cat((e, -(e * out).sum(-1, keepdim=True)), -1)
        v_1 = torch.cat((v, torch.ones_like(v[..., :1])), -1).mT
        dq, dk, db, dv, dp = *map(torch.zeros_like, (q, k, b, v)), []
        seq, exponents, keys, floor = q.shape[1], (-p).tolist(), k.mT, heavy.mT
        room = q.new_empty(4, min(QUERIES, seq) * min(KEYS, seq))
        for at, to in tiles(seq):
            some = room[:, : _size(at) * _size(to)]
            u, log, w, t = some.view(4, _size(at), _size(to)).unbind()
            earlier = _earlier(q, at, to) if to.stop > at.start else None
            parts = (q[:, at], k[:, to], keys[..., to], v_1[..., to], floor[..., to],
                     e[:, at], e_d[:, at], dq[:, at], dk[:, to], db[:, to], dv[:, to])
            for p_, q_, k_, kt_, vt_, floor_, e_, ed_, dq_, dk_, db_, dv_ in _by_row(
                exponents, *parts
            ):
                torch.mm(q_, kt_, out=u)
                if ctx.far:
                    torch.maximum(u, floor_, out=u)
                _diagonal(u, at, to, floor_)
                torch.log(u, out=log)
                torch.mul(log, p_, out=w).exp_()
                if earlier is not None:
                    _hide_later(w, earlier)
                dv_.addmm_(w.mT, e_)
                w.mul_(torch.mm(ed_, vt_, out=t))
                db_.add_(w.sum(0))
                dp.append(torch.dot(w.view(-1), log.view(-1)))
                if ctx.far:
                    w.masked_fill_(u <= floor_, 0)
                w.div_(u)
                _diagonal(w, at, to)
                dq_.addmm_(w, k_)
                dk_.addmm_(w.mT, q_)
        dp = -torch.stack(dp).view(-1, len(p)).sum(0) - (b * db).sum(-1) / p
        return (dq.mul_(-p[:, None, None]), dk.mul_(heavy).mul_(-p[:, None, None]), db,
                dp, dv, None)


def _size(part: slice) -> int:
    return part.stop - part.start


def _by_row(exponents: list[float], *parts: Tensor) -> Iterator[tuple]:
    return zip(exponents, *(part.unbind() for part in parts), strict=True)


def _diagonal(
    table: Tensor, at: slice, to: slice, row: Tensor | None = None
) -> None:
    """Where a token meets itself, put what is exact there, or zero."""
    if to.stop > at.start:
        first, stop = max(at.start, to.start), min(at.stop, to.stop)
        own = table[first - at.start : stop - at.start, first - to.start :].diagonal()
        if row is None:
            own.zero_()
        else:
            own.copy_(row[0, first - to.start : stop - to.start])


def _earlier(q: Tensor, at: slice, to: slice) -> Tensor:
    """1 where a key of the block is not later than the query, else 0."""
    ones = q.new_ones(_size(at), _size(to) - max(at.start - to.start, 0))
    return ones.tril_(min(at.start - to.start, 0))


def _hide_later(table: Tensor, earlier: Tensor) -> None:
    """Set to zero what lies after each query: a triangle in the last columns."""
    table[:, table.shape[1] - earlier.shape[1] :].mul_(earlier)
