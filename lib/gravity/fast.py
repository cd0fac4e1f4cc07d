"""The same gravity attention without its (seq, seq) tables.

Each form equals `lib.gravity.attention.attend`, outputs and gradients, and needs memory
that grows with the length of the text and not with its square (`listed`: with the pairs
that are near; its radius has the gradient that `lib.gravity.near` tells of):

    gaussian_sdpa   the Gaussian kernel as scaled dot-product attention, exactly
    newton_fused    newton, a block at a time, with its own backward (lib.gravity.fused)
    listed          newton and gaussian within a radius, near pairs only (`near`)
    chunked         any kernel and cutoff, a block of queries at a time
    newton_flex     newton for FlexAttention (a CUDA GPU)

All are causal, to the last bit: what comes later changes no result before it, not even
by a mean that centres the points, or by the choice of a way to compute.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from lib.gravity.attention import Points, Pull, Values, attend
from lib.gravity.cores import share_out
from lib.gravity.forms import FORMS, automatic, expect_form
from lib.gravity.fused import augmented, in_full, newton_fused, parts
from lib.gravity.near import listed
from lib.options import one_of

#: What `scaled_dot_product_attention` calls on a CPU, and its backward.
_FLASH = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_FLASH_BACK = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def fast_attend(
    z: Points, mass: Float[Tensor, "batch seq"], value: Values, pull: Pull,
    form: str = "auto", looking: Points | None = None,
) -> Values:
    """Gravity attention by the form that fits, or by the one named.

    What `auto` takes, and which form can compute what: `lib.gravity.forms`. looking:
    from where tokens look, None: z. ValueError: a form that is unknown or cannot
    compute this kernel.
    """
    one_of("form", form, FORMS)
    expect_form(form, pull.kernel, pull.cutoff)
    if form == "auto":
        radius = pull.radius
        form = automatic(
            pull.kernel, pull.cutoff, z.device.type, z.dtype == torch.float64,
            torch.are_deterministic_algorithms_enabled(),
            torch.is_grad_enabled() and radius is not None and radius.requires_grad)
    if form == "reference":
        return attend(z, mass, value, pull, looking=looking)[0]
    if form == "chunked":
        return chunked(z, mass, value, pull, looking=looking)
    if pull.mass_in_value:
        value = value * mass[:, None, :, None].to(value.dtype)
        bias = torch.zeros_like(z[..., 0], dtype=torch.float32)
    else:
        bias = pull.bias(mass[:, None, :]).expand(z.shape[:-1])
    strength = pull.strength.expand(*z.shape[:2], 1, 1)
    if form == "sdpa":
        return gaussian_sdpa(z, bias, strength, value, looking=looking)
    if form == "near":
        return listed(z, bias, pull, value, looking)
    if form == "flex":
        return newton_flex(z, bias, strength, value, pull.eps, looking)
    return newton_fused(z, bias, strength, value, pull.eps, looking)


def gaussian_sdpa(
    z: Points, bias: Float[Tensor, "batch head seq"],
    strength: Float[Tensor, "batch head 1 1"], value: Values,
    half: bool | None = None, looking: Points | None = None,
) -> Values:
    """Softmax of b_j − γ‖z_i − z_j‖²/C through `scaled_dot_product_attention`.

    −γ‖z_i − z_j‖²/C = 2γ z_i·z_j/C − γ‖z_j‖²/C − γ‖z_i‖²/C, and the softmax does not
    see the last term, the same for every key of a query. What is left is a dot product
    of q_i = [2γ z_i/C, 1] and k_j = [z_j, b_j − γ‖z_j‖²/C]; a token that is `looking`
    from elsewhere has that place in its q_i.

    bias: b_j = β log m_j; strength: γ; half: whether values of 16 bits are computed in
    16 bits (None: on a GPU; a CPU takes 32, whose gradients are closer). There the last
    number of k_j would be rounded by its own size, so it is split: a part of 16 bits,
    and what that left. Widths are padded to one, which PyTorch's kernels for a CPU need
    to be fast. In 32 bits points are counted from the first token; in 16 bits that
    would round them, and the parts hold as much.
    """
    d_value, coord = value.shape[-1], z.shape[-1]
    kind = value.dtype
    narrow = kind in (torch.float16, torch.bfloat16)
    if narrow and not (z.is_cuda if half is None else half):
        with torch.autocast(z.device.type, enabled=False):
            looking = None if looking is None else looking.float()
            return gaussian_sdpa(
                z.float(), bias, strength, value.float(), looking=looking
            ).to(kind)
    wide = (2 / coord) * strength
    if not narrow:
        g, y = wide.to(kind), None if looking is None else looking.to(kind)
        given = z.to(kind), y, bias.to(kind), g, value
        if z.is_cpu:
            return _Lifted.apply(*(x if x is None else x.flatten(0, 1) for x in given)
                                  ).unflatten(0, z.shape[:2])
        return _dot_product(*_lifted(*given[:4], max(coord + 1, d_value)), value)
    key = z.to(kind)
    exact = key.float()
    norm = wide[..., 0] / 2 * exact.square().sum(-1)
    here = exact if looking is None else looking.to(kind).float()
    query, limit = wide * here, 0.5 * torch.finfo(kind).max
    beyond = norm.detach().cummax(-1).values > limit  # what 16 bits do not hold
    beyond |= query.detach().abs().amax(-1) > limit
    ones = torch.ones_like(key[..., :3])
    pad = key.new_zeros(*key.shape[:-1], max(0, d_value - 2 * coord - 3))
    query = torch.cat((*split(query.clamp(-limit, limit), kind, 2), ones, pad), -1)
    last = (bias - norm).clamp(-limit, limit)[..., None]
    key = torch.cat((key, key, *split(last, kind, 3), pad), -1)
    mixed = _dot_product(query, key, value)
    if not beyond.any():
        return mixed
    wider = gaussian_sdpa(exact, bias, strength, value.float(),
                          looking=None if looking is None else here)
    return torch.where(beyond[..., None], wider.to(kind), mixed)


def _dot_product(query: Tensor, key: Tensor, value: Values) -> Values:
    """Causal softmax of q·k over values, which get the width of the keys."""
    mixed = F.scaled_dot_product_attention(
        query, key, _wide(value, key.shape[-1]), is_causal=True, scale=1.0)
    return mixed[..., : value.shape[-1]]


def _lifted(z, y, bias, g, width: int, into: tuple[Tensor, Tensor] | None = None
            ) -> tuple[Tensor, Tensor]:
    """q_i = [g y_i, 1, 0…], k_j = [z_j, b_j − g‖z_j‖²/2, 0…], from the first token."""
    origin, coord = z[..., :1, :], z.shape[-1]
    query, key = into or (z.new_empty(*z.shape[:-1], width) for _ in range(2))
    z, y = z - origin, None if y is None else y - origin
    query[..., :coord] = g * (z if y is None else y)
    query[..., coord:], query[..., coord] = 0, 1
    key[..., :coord], key[..., coord + 1 :] = z, 0
    key[..., coord] = bias - g[..., 0] * z.square().sum(-1) / 2
    return query, key


def _wide(x: Tensor, width: int) -> Tensor:
    """`x` with zeros up to a width."""
    return x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))


class _Lifted(torch.autograd.Function):
    """Attention with the q_i and k_j of `_lifted`, which cores make a few heads each.

    With dq and dk their gradients and h_j that of k_j's last number: dy = g dq,
    dz = dk − g h z, db = h and dg = Σ y·dq − Σ h‖z‖²/2.
    """

    @staticmethod
    def forward(ctx, z, y, bias, g, value):
        ctx.d_value, coord = value.shape[-1], z.shape[-1]
        ctx.pieces = parts(len(z), -(-len(z) // torch.get_num_threads()))  # heads
        width = max(coord + 1, ctx.d_value)
        query, key = (z.new_empty(*z.shape[:-1], width) for _ in range(2))

        def lift(own: slice) -> None:
            looking = None if y is None else y[own]
            _lifted(z[own], looking, bias[own], g[own], width, (query[own], key[own]))

        share_out(lift, ctx.pieces, halved=True)
        given = query[None], key[None], _wide(value, width)[None]
        with torch.autocast("cpu", enabled=False):  # else the product is of 16 bits
            mixed, norm = _FLASH(*given, 0.0, True, attn_mask=None, scale=1.0)
        ctx.save_for_backward(z, y, g, *given, mixed, norm)
        return mixed[0, ..., : ctx.d_value]

    # the backward of torch takes any number of gradients
    @staticmethod
    @once_differentiable
    @in_full
    def backward(ctx, grad):  # pyright: ignore[reportIncompatibleMethodOverride]
        z, y, g, *kept = ctx.saved_tensors
        asked, key = _wide(grad, kept[2].shape[-1])[None], kept[1][0]
        dq, dk, dv = (x[0] for x in _FLASH_BACK(
            asked, *kept, 0.0, True, attn_mask=None, scale=1.0))
        dz, dy = torch.empty_like(z), None if y is None else torch.empty_like(y)
        coord, db, dg = z.shape[-1], z.new_empty(z.shape[:-1]), g.clone()

        def back(own: slice) -> None:
            place, h, h_ = key[own, :, :coord], dk[own, :, coord], g[own]
            seat = place if y is None else y[own] - z[own, :1]
            ask = dq[own, :, :coord]
            dz[own] = torch.addcmul(dk[own, :, :coord], place, h[..., None] * h_,
                                    value=-1)
            if dy is None:
                dz[own] += ask * h_
            else:
                dy[own] = ask * h_
            norm = torch.linalg.vecdot(place, place)
            dg[own] = (torch.linalg.vecdot(seat, ask) - h * norm / 2).sum(-1)[
                :, None, None]
            db[own] = h

        share_out(back, ctx.pieces, halved=True)
        return dz, dy, db, dg, dv[..., : ctx.d_value]


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


def newton_flex(
    z: Points, bias: Float[Tensor, "batch head seq"],
    strength: Float[Tensor, "batch head 1 1"], value: Values,
    eps: float, looking: Points | None = None,
) -> Values:
    """Softmax of b_j − p log(r²_ij + ε) by FlexAttention, compiled on CUDA.

    The score that FlexAttention hands over is u_ij = q_i·k_j of `augmented`, and the
    score that is put in its place is b_j − p log u_ij. The gradients of b and p are
    added up in no fixed order on a GPU. Widths are padded to a multiple of 16.
    """
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    z = z.to(torch.promote_types(z.dtype, torch.float32))
    query, key = augmented(z, eps, None if looking is None else looking.to(z))
    pad = -query.shape[-1] % 16
    query, key = F.pad(query, (0, pad)), F.pad(key, (0, pad))
    p, seq = strength[..., 0, 0], z.shape[-2]
    mask = create_block_mask(
        lambda batch, head, i, j: j <= i, None, None, seq, seq, device=z.device)
    mixed = (_compiled_flex() if z.is_cuda else flex_attention)(
        query, key, value.to(query.dtype), block_mask=mask, scale=1.0,
        score_mod=lambda u, batch, head, i, j: (
            bias[batch, head, j] - p[batch, head] * torch.log(u.clamp_min(1.0))))
    return mixed.to(value.dtype)


@cache
def _compiled_flex() -> Callable[..., Tensor]:
    """FlexAttention for a GPU, made when it is first called for."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)


def chunked(
    z: Points, mass: Float[Tensor, "batch seq"], value: Values, pull: Pull,
    chunk: int = 128, looking: Points | None = None,
) -> Values:
    """Any kernel and cutoff, `chunk` queries at a time, made again for gradients."""
    out, kind = [], value.dtype  # gradients of the blocks are added up in 32 bits
    z, mass, value = (x.to(torch.promote_types(x.dtype, torch.float32))
                      for x in (z, mass, value))
    looking = None if looking is None else looking.to(z)
    learning = torch.is_grad_enabled()
    for start in range(0, z.shape[-2], chunk):
        stop = min(start + chunk, z.shape[-2])
        given = (z[..., :stop, :], mass[:, :stop], value[..., :stop, :], pull,
                 stop - start, None if looking is None else looking[..., :stop, :])
        out.append(checkpoint(_last_rows, *given, use_reentrant=False) if learning
                   else _last_rows(*given))
    return torch.cat(out, -2).to(kind)


def _last_rows(*given: Any) -> Tensor:
    return attend(*given)[0]
