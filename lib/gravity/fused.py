"""Newton's gravity a block of the table at a time, with gradients of its own.

The weight m_j^β / (r²_ij + ε)^p is a power of a dot product, so a block of it is one
matrix product and one pass (`lib.gravity.compiled`); nothing of size
(seq, seq) is ever kept.
"""

import math
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from lib.gravity.attention import Points, Values
from lib.gravity.compiled import prepare, takes, weigh, weigh_back
from lib.gravity.cores import share_out

# A block of the table, and how many numbers of several heads' blocks: 2 MiB in float32.
# (Of narrower blocks there are so many that cores wait for Python more than they work.)
QUERIES, KEYS, CELLS = 256, 1024, 512 * 1024
FAINT = 1e-20  # a sum of weights that is taken again from its largest weight on


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
    What a token sees is all that its output depends on, to the last bit. Float32 or
    wider inside; the result has the type of `value`.
    """
    kind = torch.promote_types(z.dtype, torch.float32)
    with torch.autocast(z.device.type, enabled=False):
        given = z, bias, strength[..., 0, 0], value
        y = None if looking is None else looking.to(kind).flatten(0, 1)
        mixed = _Powers.apply(*(x.to(kind).flatten(0, 1) for x in given), y, eps)
    return mixed.unflatten(0, z.shape[:2]).to(value.dtype)


def parts(length: int, size: int, start: int = 0) -> list[slice]:
    """Slices of `size` that cover `start` to `length`.

    >>> [(part.start, part.stop) for part in parts(300, 128)]
    [(0, 128), (128, 256), (256, 300)]
    """
    return [slice(a, min(a + size, length)) for a in range(start, length, size)]


def in_full(backward: Callable[[Any, Tensor], tuple]) -> Callable[[Any, Tensor], tuple]:
    """A backward pass that keeps its 32 bits where it is called for under autocast."""
    @wraps(backward)
    def outside(ctx: Any, grad: Tensor) -> tuple:
        with torch.autocast(grad.device.type, enabled=False):
            return backward(ctx, grad)
    return outside


class _Powers(torch.autograd.Function):
    """out_i = Σ_j≤i w_ij v_j / Z_i with w_ij = exp(b_j − t_i) u_ij^(−p), Z_i = Σ w_ij.

    u_ij = q_i·k_j ≥ 1, so that no weight exceeds 1 when t_i is the largest b_j up to i.
    Where all of a row is faint beside that, t_i is its largest logit instead. With
    e_i = ∂L/∂out_i and D_i = e_i·out_i, the gradient of the logit is
    S_ij = w_ij/Z_i (e_i·v_j − D_i), and with G_ij = S_ij / u_ij:

        dv_j = Σ_i w_ij/Z_i e_i     db_j = Σ_i S_ij     dp = −Σ S_ij log u_ij
        dq_i = −p Σ_j G_ij k_j      dk_j = −p Σ_i G_ij q_i

    and dz from dq and dk as `augmented` makes them of z. Nothing of size (seq, seq) is
    kept: the table is made again for the gradients, from t_i + log Z_i. Where y = z the
    diagonal, a difference of large numbers that is 1, is put in exactly; elsewhere
    rounding may take q_i·k_j below 1, and u is held there.
    """

    @staticmethod
    def forward(ctx, z, b, p, v, y, eps):
        q, k = z.new_empty(2, *z.shape[:-1], z.shape[-1] + 2)
        same, largest = y is None, torch.empty_like(b)
        out, norm = torch.empty_like(v), torch.empty_like(b)

        def vectors(own: slice) -> None:
            looking = None if y is None else y[own]
            q[own], k[own] = augmented(z[own], eps, looking)
            largest[own] = b[own].cummax(-1).values

        def summed(walk, own: slice, at: slice, top: Tensor) -> tuple[Tensor, Tensor]:
            mixed, mass = torch.zeros_like(v[own, at]), torch.zeros_like(top)
            for u, to, past in walk:
                weigh(u, b[own, to], p[own], top, past, same, mass)
                mixed.baddbmm_(u, v[own, to])
            return mixed, mass

        def rows(piece: tuple[slice, slice]) -> None:
            own, at = piece
            walk, top = _Blocks(q[own, at], k[own], at.start), largest[own, at]
            mixed, mass = summed(walk, own, at, top)
            if (faint := mass < FAINT).any():
                top = torch.where(faint, walk.largest(b[own], p[own], same), top)
                mixed, mass = summed(walk, own, at, top)
            torch.div(mixed, mass[..., None], out=out[own, at])
            torch.add(top, mass.log_(), out=norm[own, at])

        takes(q.dtype, q.device)  # one compiles, and no core waits for another
        share_out(vectors, _heads(q))
        share_out(rows, [(own, at) for at in reversed(parts(q.shape[1], QUERIES))
                         for own in _heads(q)])
        ctx.save_for_backward(q, k, b, p, v, norm, out)
        ctx.eps, ctx.same = eps, same
        return out

    # the backward of torch takes any number of gradients
    @staticmethod
    @once_differentiable
    @in_full
    def backward(ctx, grad):  # pyright: ignore[reportIncompatibleMethodOverride]
        q, k, b, p, v, norm, out = ctx.saved_tensors
        dq, dk, dv, db, dp, mean = map(torch.empty_like, (q, k, v, b, p, norm))

        def columns(own: slice) -> None:
            torch.linalg.vecdot(grad[own], out[own], out=mean[own])
            for sums in (dq, dk, dv, db, dp):
                sums[own].zero_()
            for at in parts(q.shape[1], QUERIES):
                walk = _Blocks(q[own, at], k[own], at.start)
                g_ = torch.empty_like(walk.room)
                for u, to, past in walk:
                    g = torch.bmm(grad[own, at], v[own, to].mT,
                                  out=g_[: u.numel()].view_as(u))
                    weigh_back(u, g, b[own, to], p[own], norm[own, at], past, ctx.same,
                               mean[own, at], db[own, to], dp[own])
                    dv[own, to].baddbmm_(u.mT, grad[own, at])
                    dk[own, to].baddbmm_(g.mT, q[own, at])
                    dq[own, at].baddbmm_(g, k[own, to])
            dz, dy = _unaugmented(q[own], k[own], dq[own], dk[own], p[own], ctx.eps)
            if ctx.same:
                dz += dy

        share_out(columns, _heads(q))
        dz, dy = dk[..., :-2], None if ctx.same else dq[..., :-2]
        return dz, db, dp.neg_(), dv, dy, None


def _unaugmented(
    q: Tensor, k: Tensor, dq: Tensor, dk: Tensor, p: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """dz of k = [z, 1, ‖z‖²/C] and dy of q, written over dk and dq.

    dz_j = −p (dk_j + (2/C) dk_j,norm k_j)
    dy_i = −p (−2 dq_i/(Cε) + (2/(Cε)) dq_i,norm y_i),    q_i = −2 y_i/(Cε)
    """
    coord, power = q.shape[-1] - 2, -p[:, None, None]
    dz, dy = dk[..., :coord], dq[..., :coord]
    dz.addcmul_(k[..., :coord], dk[..., coord + 1, None], value=2 / coord)
    dy *= -2 / coord / eps
    dy.addcmul_(q[..., :coord], dq[..., coord, None], value=-1)
    return dz.mul_(power), dy.mul_(power)


def _heads(q: Tensor) -> list[slice]:
    """Heads in pieces: as few as make a block of CELLS, and no fewer than 8 pieces.

    Not by the number of cores: it must not change a result.
    """
    block = min(QUERIES, q.shape[1]) * min(KEYS, q.shape[1])
    return parts(len(q), max(1, min(CELLS // block, -(-len(q) // 8))))


class _Blocks:
    """Some rows of some heads' tables: u, the keys, how many come before the rows."""

    def __init__(self, q: Tensor, k: Tensor, start: int):
        self.q, self.keys, self.start = q, k.mT, start
        stop = start + q.shape[1]
        self.room = q.new_empty(q.shape[0] * q.shape[1] * min(KEYS, stop))
        self.parts = parts(stop, KEYS)

    def __iter__(self) -> Iterator[tuple[Tensor, slice, int]]:
        for to in self.parts:
            shape = *self.q.shape[:2], to.stop - to.start
            u = self.room[: math.prod(shape)].view(shape)
            torch.bmm(self.q, self.keys[..., to], out=u)
            yield u, to, self.start - to.start

    def largest(self, b: Tensor, p: Tensor, same: bool) -> Tensor:
        """The largest logit of each row."""
        top = self.q.new_full(self.q.shape[:2], -math.inf)
        for u, to, past in self:
            hidden = prepare(u, past, same)
            u.log_().mul_(-p[:, None, None]).add_(b[:, None, to])
            top = torch.maximum(top, u.masked_fill_(hidden, -math.inf).amax(-1))
        return top
