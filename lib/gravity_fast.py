"""The same gravity attention without its (seq, seq) tables.

Each form equals `lib.gravity.attend`, outputs and gradients, and needs memory that
grows with the length of the text and not with its square:

    gaussian_sdpa   the Gaussian kernel as scaled dot-product attention, exactly
    newton_fused    newton, a block of queries at a time, with its own backward
    chunked         any kernel and cutoff, a block of queries at a time
    newton_flex     newton for FlexAttention (a CUDA GPU)

All are causal and never look ahead, not even for a mean that centres the points.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from lib.gravity import Pull, attend, known

FORMS = ("auto", "reference", "sdpa", "fused", "chunked", "flex")
QUERIES, KEYS = 256, 2048  # a block of the table: 2 MiB in float32, for a core's cache
NARROW = 40.0  # largest spread of β log m for which exp needs no running maximum


def fast_attend(
    z: Float[Tensor, "batch head seq coord"],
    mass: Float[Tensor, "batch seq"],
    value: Float[Tensor, "batch head seq d_value"],
    pull: Pull,
    form: str = "auto",
) -> Float[Tensor, "batch head seq d_value"]:
    """Gravity attention by the form that fits, or by the one named.

    z: coordinates of each head; mass: m > 0; value: what is averaged; pull: kernel,
    strengths and cutoff. `auto` takes sdpa for gaussian and fused for newton where
    there is no cutoff, and chunked otherwise.

    Raises
    ------
    ValueError
        If the form is unknown or cannot compute this kernel.
    """
    known("form", form, FORMS)
    own = {"gaussian": ("sdpa",), "newton": ("fused", "flex")}.get(pull.kernel, ())
    if pull.cutoff != "none":
        own = ()
    can = ("reference", "chunked", *own)
    if form == "auto":
        form = own[0] if own else "chunked"
    if form not in can:
        raise ValueError(
            f"form {form!r} cannot compute kernel {pull.kernel!r} with cutoff "
            f"{pull.cutoff!r}; use one of auto, {', '.join(can)}"
        )
    if form == "reference":
        return attend(z, mass, value, pull)[0]
    if form == "chunked":
        return chunked(z, mass, value, pull)
    if pull.mass_in_value:
        value = value * mass[:, None, :, None].to(value.dtype)
        bias = torch.zeros_like(z[..., 0], dtype=torch.float32)
    else:
        bias = pull.bias(mass[:, None, :]).expand(z.shape[:-1])
    strength = pull.strength.expand(*z.shape[:2], 1, 1)
    if form == "sdpa":
        return gaussian_sdpa(z, bias, strength, value)
    if form == "flex":
        return newton_flex(z, bias, strength, value, pull.eps)
    spread = bias.detach().amax() - bias.detach().amin()
    if spread > NARROW * strength.detach().amin().clamp(max=1):
        return chunked(z, mass, value, pull)
    return newton_fused(z, bias, strength, value, pull.eps)


def gaussian_sdpa(
    z: Float[Tensor, "batch head seq coord"],
    bias: Float[Tensor, "batch head seq"],
    strength: Float[Tensor, "batch head 1 1"],
    value: Float[Tensor, "batch head seq d_value"],
    half: bool | None = None,
) -> Float[Tensor, "batch head seq d_value"]:
    """Softmax of b_j − γ‖z_i − z_j‖²/C through `scaled_dot_product_attention`.

    −γ‖z_i − z_j‖²/C = 2γ z_i·z_j/C − γ‖z_j‖²/C − γ‖z_i‖²/C, and the last term is the
    same for every key of a query, so the softmax does not see it. What is left is a
    dot product of q_i = [2γ z_i/C, 1] and k_j = [z_j, b_j − γ‖z_j‖²/C].

    bias: b_j = β log m_j; strength: γ; half: whether values of 16 bits are computed in
    16 bits (None: on a GPU; a CPU takes 32, whose gradients are closer). There the last
    number of k_j would be rounded by its own size, so it is split: a part of 16 bits,
    and what that left. All widths are padded to one, which PyTorch's kernels for a CPU
    need to be fast. In 32 bits points are counted from the first token, which every
    query may see; in 16 bits that would round them, and the parts hold as much.
    """
    d_value, coord = value.shape[-1], z.shape[-1]
    kind = value.dtype
    narrow = kind in (torch.float16, torch.bfloat16)
    if narrow and not (z.is_cuda if half is None else half):
        with torch.autocast(z.device.type, enabled=False):
            return gaussian_sdpa(z.float(), bias, strength, value.float()).to(kind)
    wide = (2 / coord) * strength
    if not narrow:
        wide, key = wide.to(kind), (z - z[..., :1, :].detach()).to(kind)
        bias = bias.to(kind) - wide[..., 0] / 2 * key.square().sum(-1)
        queries, keys = [wide * key], [key, bias[..., None]]
    else:
        key = z.to(kind)
        exact = key.float()
        norm = wide[..., 0] / 2 * exact.square().sum(-1)
        if norm.detach().amax() > 0.5 * torch.finfo(kind).max:  # of float16
            return gaussian_sdpa(exact, bias, strength, value.float()).to(kind)
        bias = bias - norm
        queries = split(wide * exact, kind, 2)
        keys = [key, key, *split(bias[..., None], kind, 3)]
    ones = len(keys) - len(queries)
    width = len(queries) * coord + ones
    pad = key.new_zeros(*key.shape[:-1], max(0, d_value - width))
    query = torch.cat((*queries, torch.ones_like(key[..., :1]).expand(
        *key.shape[:-1], ones), pad), -1)
    key = torch.cat((*keys, pad), -1)
    if width > d_value:
        value = F.pad(value, (0, width - d_value))
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=1.0)
    return mixed[..., :d_value]


def split(x: Float[Tensor, "*any"], kind: torch.dtype, parts: int) -> list[Tensor]:
    """Numbers of `kind` whose sum is `x`, each part what the ones before left.

    >>> high, low = split(torch.tensor(1.2345), torch.bfloat16, 2)
    >>> high.item(), round(high.item() + low.item(), 5)
    (1.234375, 1.2345)
    """
    found = []
    for _ in range(parts):
        found.append(x.to(kind))
        x = x - found[-1].to(x.dtype)
    return found


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


def newton_flex(
    z: Float[Tensor, "batch head seq coord"],
    bias: Float[Tensor, "batch head seq"],
    strength: Float[Tensor, "batch head 1 1"],
    value: Float[Tensor, "batch head seq d_value"],
    eps: float,
) -> Float[Tensor, "batch head seq d_value"]:
    """Softmax of b_j − p log(r²_ij + ε) by FlexAttention, compiled on CUDA.

    The score that FlexAttention hands over is u_ij = q_i·k_j of `augmented`, and the
    score that is put in its place is b_j − p log u_ij. The gradients of b and p are
    added up in no fixed order on a GPU. Widths are padded to a multiple of 16.
    """
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    query, key = augmented(z.to(torch.promote_types(z.dtype, torch.float32)), eps)
    pad = -query.shape[-1] % 16
    query, key = F.pad(query, (0, pad)), F.pad(key, (0, pad))
    p = strength[..., 0, 0]

    seq = z.shape[-2]
    mask = create_block_mask(
        lambda batch, head, i, j: j <= i, None, None, seq, seq, device=z.device
    )
    attend_flex = torch.compile(flex_attention) if z.is_cuda else flex_attention
    mixed = attend_flex(
        query, key, value.to(query.dtype), block_mask=mask, scale=1.0,
        score_mod=lambda u, batch, head, i, j: (
            bias[batch, head, j] - p[batch, head] * torch.log(u.clamp_min(1.0))
        ),
    )
    return mixed.to(value.dtype)


def chunked(
    z: Float[Tensor, "batch head seq coord"],
    mass: Float[Tensor, "batch seq"],
    value: Float[Tensor, "batch head seq d_value"],
    pull: Pull,
    chunk: int = 128,
) -> Float[Tensor, "batch head seq d_value"]:
    """Any kernel and cutoff, `chunk` queries at a time, made again for gradients.

    Where no gradients are asked for, a cutoff spares work: keys are looked at in blocks
    of `chunk`, and a block that lies beyond the radius of every query is left out. (In
    training it is not, since what lies outside has to move the radius.)
    """
    out, kind = [], value.dtype  # gradients of the blocks are added up in 32 bits
    z, mass, value = (
        x.to(torch.promote_types(x.dtype, torch.float32)) for x in (z, mass, value)
    )
    learning = torch.is_grad_enabled()
    for start in range(0, z.shape[-2], chunk):
        stop = min(start + chunk, z.shape[-2])
        given = z[..., :stop, :], mass[:, :stop], value[..., :stop, :]
        if learning:
            out.append(checkpoint(_last_rows, *given, pull, stop - start,
                                  use_reentrant=False))
            continue
        if pull.cutoff != "none":
            kept = within_reach(given[0], pull, start, chunk)
            given = given[0][..., kept, :], given[1][:, kept], given[2][..., kept, :]
        out.append(_last_rows(*given, pull, stop - start))
    return torch.cat(out, -2).to(kind)


def _last_rows(z, mass, value, pull: Pull, queries: int) -> Tensor:
    return attend(z, mass, value, pull, queries)[0]


def within_reach(
    z: Float[Tensor, "batch head seq coord"], pull: Pull, start: int, chunk: int
) -> Int[Tensor, " kept"]:
    """Which keys may lie within the radius of a query from `start` on, in order.

    A block of keys is judged by a ball around it: it is left out when, in every batch
    and head, the balls of keys and queries are further apart than R √C. The block of
    the queries themselves always stays.
    """
    z = z.to(torch.promote_types(z.dtype, torch.float32))

    def ball(points):
        centre = points.mean(-2, keepdim=True)
        return centre, (points - centre).norm(dim=-1).amax(-1)

    centre, size = ball(z[..., start:, :])
    reach = pull.radius[..., 0, 0] * math.sqrt(z.shape[-1]) * (1 + 1e-5)
    kept = []
    for first in range(0, start, chunk):
        other, own = ball(z[..., first : first + chunk, :])
        gap = (other - centre).norm(dim=-1)[..., 0] - size - own
        if (gap < reach).any():
            kept.append(torch.arange(first, first + chunk))
    kept.append(torch.arange(start, z.shape[-2]))
    return torch.cat(kept).to(z.device)
