"""Dot-product attention beside which gravity is judged: the twins, and the ablations.

A logit is a plain scaled dot product; what differs is where it is taken and what
positions do to it:

    stream       queries and keys are projections of the hidden state (content), of
                 the coordinates that gravity would measure distances between
                 (coordinates), or of both, side by side: logits are added
    positions    rotary turns queries and keys; alibi lowers a logit by s_h (i − j)
    qk_norm      queries and keys of each head get length √d before they are turned
    key_bias     each key has a logit of its own: u_h · x_j (content), or the
                 β_h log m_j of a gravity model (mass)
    tied         queries and keys share one projection

With `stream="coordinates"` a layer has the projections `place` and `look` of
`lib.gravity.layers.GravityAttention`, so that the two start from equal weights: the
kernel alone differs, ‖y_i − z_j‖² there and y_i · z_j / √C here.
"""

import copy
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lib.gravity.attention import causal, gated_softmax, log_mass
from lib.gravity.layers import UNIT_MASS, Stream, in_heads, turned
from lib.options import one_of

STREAMS = ("content", "coordinates", "content+coordinates")
KEY_BIASES = ("none", "content", "mass")
Heads = Float[Tensor, "batch head seq _"]  # parts have widths of their own


def alibi_slopes(n_heads: int) -> Float[Tensor, " head"]:
    """s_h = 2^(−8 h / H) for heads 1 … H (Press et al. 2022).

    >>> alibi_slopes(4).tolist()
    [0.25, 0.0625, 0.015625, 0.00390625]
    """
    return 2.0 ** (-8 / n_heads * torch.arange(1, n_heads + 1))


class DotAttention(nn.Module):
    """Causal scaled dot-product attention with the interface of GravityAttention.

        w_ij = softmax_j≤i( Σ q_i·k_j / √width + b_ij )

    The sum runs over the parts of `stream`, each as wide as its heads; the options are
    those of the module's text. axes: how wide a head's place in the coordinates is;
    looking: whether queries have a projection of the coordinates of their own.
    """

    def __init__(
        self, d_model: int, n_heads: int, d_coord: int = 0, axes: int = 0,
        stream: str = "content", looking: bool = False, positions: str = "learned",
        qk_norm: bool = False, key_bias: str = "none", tied: bool = False,
    ):
        super().__init__()
        one_of("stream", stream, STREAMS)
        one_of("key_bias", key_bias, KEY_BIASES)
        self.n_heads, self.alibi = n_heads, positions == "alibi"
        self.rotary = "rotary" in positions
        content, coordinates = "content" in stream, "coordinates" in stream

        def linear(wide: int, out: int) -> nn.Linear:
            return nn.Linear(wide, out, bias=False)

        self.query = linear(d_model, d_model) if content else None
        self.key = linear(d_model, d_model) if content and not tied else None
        self.value, self.output = (linear(d_model, d_model) for _ in range(2))
        self.place = linear(d_coord, n_heads * axes) if coordinates else None
        self.look = copy.deepcopy(self.place) if looking else None
        widths = [d_model // n_heads] * content + [axes] * coordinates
        self.norms = nn.ModuleList(
            nn.RMSNorm(width) for width in widths for _ in range(2) if qk_norm)
        self.key_bias = linear(d_model, n_heads) if key_bias == "content" else None
        self.beta = (nn.Parameter(torch.full((n_heads,), UNIT_MASS))
                     if key_bias == "mass" else None)

    def forward(
        self, x: Stream, z: Tensor | None = None, mass: Tensor | None = None,
        traced: bool = True,
    ) -> tuple[Stream, dict[str, Tensor]]:
        parts, bias = self._parts(x, z), self._key_bias(x, mass)
        value, seen = in_heads(self.value(x), self.n_heads), {}
        if traced:
            q, k = parts[0]
            logits = q @ k.mT / math.sqrt(q.shape[-1])  # batch head query key
            for q, k in parts[1:]:
                logits = logits + q @ k.mT / math.sqrt(q.shape[-1])
            if bias is not None:
                logits = logits + bias[..., None, :]
            if self.alibi:
                logits = logits + self._distance_bias(logits)
            weights = gated_softmax(logits, None, causal(x.shape[1], x.device))
            mixed, seen = weights @ value, {"logits": logits, "weights": weights}
        else:
            mixed = self._fused(parts, bias, value)
        return self.output(mixed.transpose(1, 2).flatten(2)), seen

    def _parts(self, x: Stream, z: Tensor | None) -> list[tuple[Heads, Heads]]:
        """Queries and keys of content, of coordinates: normed, then turned."""
        parts = []
        if self.query is not None:
            parts.append((self.query(x), (self.key or self.query)(x)))
        if self.place is not None:
            parts.append(((self.look or self.place)(z), self.place(z)))
        parts = [(in_heads(q, self.n_heads), in_heads(k, self.n_heads))
                 for q, k in parts]
        if self.norms:
            norms = iter(self.norms)
            parts = [(next(norms)(q), next(norms)(k)) for q, k in parts]
        return [(turned(q), turned(k)) for q, k in parts] if self.rotary else parts

    def _key_bias(self, x: Stream, mass: Tensor | None) -> Tensor | None:
        """b_j of each head, (batch, head, seq); None where keys have none."""
        if self.key_bias is not None:
            return self.key_bias(x).mT
        if self.beta is not None and mass is not None:
            return F.softplus(self.beta)[:, None] * log_mass(mass)[:, None]
        return None

    def _distance_bias(self, like: Tensor) -> Float[Tensor, "head query key"]:
        """−s_h (i − j)."""
        place = torch.arange(like.shape[-2], device=like.device)
        slopes = alibi_slopes(self.n_heads).to(like)[:, None, None]
        return slopes * (place - place[:, None])

    def _fused(
        self, parts: list[tuple[Heads, Heads]], bias: Tensor | None, value: Heads
    ) -> Heads:
        """The same by PyTorch's own kernel: parts, and the bias, side by side in one
        query and one key; widths are padded to one, which a CPU needs to be fast."""
        (query, key), scale = parts[0], 1 / math.sqrt(parts[0][0].shape[-1])
        if len(parts) > 1 or bias is not None:
            query = torch.cat([q / math.sqrt(q.shape[-1]) for q, _ in parts], -1)
            key, scale = torch.cat([k for _, k in parts], -1), 1.0
        if bias is not None:
            query = F.pad(query, (0, 1), value=1.0)
            key = torch.cat((key, bias[..., None].to(key)), -1)
        d_value, mask = value.shape[-1], None
        width = max(query.shape[-1], d_value)
        query, key, value = (x if x.shape[-1] == width else
                             F.pad(x, (0, width - x.shape[-1]))
                             for x in (query, key, value))
        if self.alibi:
            visible = causal(query.shape[-2], query.device)
            mask = self._distance_bias(query).masked_fill(~visible, -math.inf)
        mixed = F.scaled_dot_product_attention(
            query, key, value, mask, is_causal=mask is None, scale=scale)
        return mixed[..., :d_value]
