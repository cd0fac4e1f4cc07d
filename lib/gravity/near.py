"""Gravity within a radius: only pairs that are near enough are weighed.

Tiles of the table cannot be left out: where a twentieth of the pairs is near, nearly
every tile has one. A list can. For some rows of a head the products of `screened` say
which keys may be near (one narrow matrix product a pair); those are measured exactly,
kept in the order of time, and only they have logits, values and gradients
(`lib.gravity.compiled`). What a query's list holds depends on nothing that comes later.

The radius gets its true gradient, from the pairs inside. (That of `cutoff_gate` lets
pairs outside speak as well; whoever wants a radius to grow needs them.)
"""

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from lib.gravity.attention import Points, Pull, Values
from lib.gravity.compiled import LANES, gather, lists_ready, mix, mix_back
from lib.gravity.cores import share_out
from lib.gravity.fused import parts

QUERIES, KEYS = 256, 1024  # rows that are listed together, and keys looked at at once


def listed(
    z: Points, bias: Float[Tensor, "batch head seq"], pull: Pull, value: Values,
    looking: Points | None = None,
) -> Values:
    """Softmax of logits of newton or gaussian, times the gate, over the near pairs.

    bias: b_j = β log m_j; looking: from where tokens look, None: z. In 32 bits on a
    CPU, whatever the inputs have; the result has the type of `value`. Memory grows with
    the number of near pairs.
    """
    if z.device.type != "cpu" or z.dtype == torch.float64:
        raise ValueError(
            f"form 'near' computes in 32 bits on a CPU, and was given {z.dtype} on "
            f"{z.device.type}; use form 'chunked'")

    def flat(x: Tensor) -> Tensor:
        return x.float().flatten(0, 1).contiguous()

    def filled(x: Tensor) -> Tensor:
        return F.pad(flat(x), (0, -x.shape[-1] % LANES))

    def of_heads(x: Tensor) -> Tensor:
        return x.expand(*z.shape[:2], 1, 1).reshape(-1).float()

    y = None if looking is None else filled(looking)
    mixed = _Near.apply(filled(z), y, flat(bias), filled(value), z.shape[-1],
                        of_heads(pull.strength),
                        of_heads(cast(Tensor, pull.radius)), pull)
    mixed = mixed[..., : value.shape[-1]]
    return mixed.unflatten(0, z.shape[:2]).to(value.dtype)


def screened(
    y: Float[Tensor, "seq coord"], z: Float[Tensor, "seq coord"], reach: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors and a bound: where q_i·k_j ≥ bound_i, ‖y_i − z_j‖² ≥ `reach`, however it
    was rounded.

    q_i·k_j = ‖z_j‖² (1 − δ) − 2 y_i·z_j and bound_i = reach / (1 − δ) − ‖y_i‖² (1 − δ),
    with δ above the rounding of a sum of as many products and two more.

    >>> q, k, bound = screened(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), 18.0)
    >>> (q @ k.mT >= bound[:, None]).item(), bound.round().item()
    (True, 18.0)
    """
    loose = 1 - (z.shape[-1] + 2) * 4 * torch.finfo(z.dtype).eps
    y, z = y - z[:1], z - z[:1]
    norm = torch.linalg.vecdot(z, z) * loose
    query = torch.cat((-2 * y, torch.ones_like(y[:, :1])), -1)
    bound = reach / loose - torch.linalg.vecdot(y, y) * loose
    return query, torch.cat((z, norm[:, None]), -1), bound


class _Near(torch.autograd.Function):
    """out_i = Σ w_ij v_j / Z_i over the near pairs, w_ij = g_ij exp(s_ij).

    With e_i = ∂L/∂out_i and T_ij = exp(s_ij)/Z_i (e_i·v_j − e_i·out_i), the gradient of
    the logit is g_ij T_ij, and that of the gate T_ij. Kept are, of each near pair, the
    key and r².
    """

    @staticmethod
    def forward(ctx, z, y, b, v, coord, strength, radius, pull):
        lists_ready()  # one compiles, and no core waits for another
        out, norm = torch.empty_like(v), torch.empty_like(b)
        seq, look = z.shape[1], z if y is None else y
        pieces = [(h, at) for at in reversed(parts(seq, QUERIES))
                  for h in range(len(z))]
        ctx.lists, ctx.near = {}, [
            ((pull.kernel == "newton", pull.cutoff == "hard", pull.cutoff == "soft",
              y is None), (-p, r * r, pull.eps, coord))
            for p, r in zip(strength.tolist(), radius.tolist(), strict=True)]
        screens = [screened(look[h, :, :coord], z[h, :, :coord], coord * near[1][1])
                   for h, near in enumerate(ctx.near)]

        def rows(piece: tuple[int, slice]) -> None:
            h, at = piece
            query, key, bound = screens[h]
            many = at.stop - at.start
            found = torch.empty(many, at.stop, dtype=torch.int32)
            count = torch.zeros(many, dtype=torch.int64)
            room = z.new_empty(many * KEYS)
            for to in parts(at.stop, KEYS):
                wide = to.stop - to.start
                u = room[: many * wide].view(many, wide)
                torch.mm(query[at], key[to].mT, out=u)
                gather(u, bound[at], at.start - to.start, to.start, found, count)
            total = int(count.sum())
            lists = (torch.zeros(many + 1, dtype=torch.int64),
                     torch.empty(total, dtype=torch.int32), z.new_empty(total))
            mix(look[h, at], z[h], b[h], v[h], found, count, at.start, ctx.near[h],
                lists, out[h, at], norm[h, at])
            ctx.lists[h, at.start] = lists

        share_out(rows, pieces)
        ctx.save_for_backward(z, y, b, v, radius, norm, out)
        return out

    # the backward of torch takes any number of gradients
    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # pyright: ignore[reportIncompatibleMethodOverride]
        z, y, b, v, radius, norm, out = ctx.saved_tensors
        look, grad = z if y is None else y, grad.contiguous()
        mean = torch.linalg.vecdot(grad, out)
        dy, dz, db, dv = map(torch.zeros_like, (look, z, b, v))
        sums = torch.zeros(len(z), 2, dtype=torch.float64)

        def head(h: int) -> None:
            for at in parts(z.shape[1], QUERIES):
                mix_back(look[h, at], z[h], b[h], v[h], grad[h, at], mean[h, at],
                         norm[h, at], ctx.near[h], ctx.lists[h, at.start], dy[h, at],
                         dz[h], db[h], dv[h], sums[h])

        share_out(head, range(len(z)))
        dp = -sums[:, 0].to(z) * torch.log(torch.tensor(2.0))
        dr = 2 / radius**3 * sums[:, 1].to(z)
        if y is None:
            return dz + dy, None, db, dv, None, dp, dr, None
        return dz, dy, db, dv, None, dp, dr, None
