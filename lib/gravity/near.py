"""Gravity within a radius: only pairs that are near enough are weighed.

Tiles of the table cannot be left out: where a twentieth of the pairs is near, nearly
every tile has one. A list can. For some rows of a head one narrow matrix product a pair
gives all distances; the near ones are kept in the order of time, and only they have
logits, values and gradients (`lib.gravity.compiled`). What a query's list holds depends
on nothing that comes later.

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
from lib.gravity.compiled import LANES, lists_ready, mix, mix_back
from lib.gravity.cores import share_out
from lib.gravity.fused import in_full, parts

CELLS = 2**21  # distances at once: the fewer pieces, the less two cores wait for Python


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

    with torch.autocast("cpu", enabled=False):  # else products are of 16 bits
        y = None if looking is None else filled(looking)
        mixed = _Near.apply(filled(z), y, flat(bias), filled(value), z.shape[-1],
                            of_heads(pull.strength),
                            of_heads(cast(Tensor, pull.radius)), pull)
    mixed = mixed[..., : value.shape[-1]]
    return mixed.unflatten(0, z.shape[:2]).to(value.dtype)


def screened(
    y: Float[Tensor, "seq coord"], z: Float[Tensor, "seq coord"]
) -> tuple[Tensor, Tensor, Tensor]:
    """q_i, k_j and c_i with ‖y_i − z_j‖² = q_i·k_j + c_i, from the first token.

    q_i = [−2 y_i, 1],   k_j = [z_j, ‖z_j‖²],   c_i = ‖y_i‖²

    >>> z = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> q, k, c = screened(z, z)
    >>> q @ k.mT + c[:, None]
    tensor([[ 0., 25.],
            [25.,  0.]])
    """
    y, z = y - z[:1], z - z[:1]
    query = torch.cat((-2 * y, torch.ones_like(y[:, :1])), -1)
    key = torch.cat((z, torch.linalg.vecdot(z, z)[:, None]), -1)
    return query, key, torch.linalg.vecdot(y, y)


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
        ctx.rows = parts(seq, max(1, CELLS // seq))
        ctx.lists, ctx.near = {}, [
            ((pull.kernel == "newton", pull.cutoff == "hard", pull.cutoff == "soft",
              y is None), (-p, r * r, pull.eps, coord))
            for p, r in zip(strength.tolist(), radius.tolist(), strict=True)]
        screens = [screened(look[h, :, :coord], z[h, :, :coord]) for h in range(len(z))]

        def rows(piece: tuple[int, slice]) -> None:
            h, at = piece
            query, key, own = screens[h]
            u = query[at] @ key[: at.stop].mT
            lists = (torch.zeros(len(u) + 1).long(),
                     torch.empty(u.numel(), dtype=torch.int32), z.new_empty(u.numel()))
            mix(u, own[at], b[h], v[h], at.start, ctx.near[h], lists, out[h, at],
                norm[h, at])
            many = int(lists[0][-1])
            ctx.lists[h, at.start] = lists[0], *(x[:many].clone() for x in lists[1:])

        share_out(rows, [(h, at) for at in reversed(ctx.rows) for h in range(len(z))])
        ctx.save_for_backward(z, y, b, v, radius, norm, out)
        return out

    # the backward of torch takes any number of gradients
    @staticmethod
    @once_differentiable
    @in_full
    def backward(ctx, grad):  # pyright: ignore[reportIncompatibleMethodOverride]
        z, y, b, v, radius, norm, out = ctx.saved_tensors
        look, grad = z if y is None else y, grad.contiguous()
        mean = torch.linalg.vecdot(grad, out)
        dy, dz, db, dv = map(torch.zeros_like, (look, z, b, v))
        sums = torch.zeros(len(z), 2, dtype=torch.float64)

        def head(h: int) -> None:
            for at in ctx.rows:
                mix_back(look[h, at], z[h], b[h], v[h], grad[h, at], mean[h, at],
                         norm[h, at], ctx.near[h], ctx.lists[h, at.start], dy[h, at],
                         dz[h], db[h], dv[h], sums[h])

        share_out(head, range(len(z)))
        dp = -sums[:, 0].to(z) * torch.log(torch.tensor(2.0))
        dr = 2 / radius**3 * sums[:, 1].to(z)
        if y is None:
            return dz + dy, None, db, dv, None, dp, dr, None
        return dz, dy, db, dv, None, dp, dr, None
