"""The parts of a Transformer around attention, and the two layers they make.

Widths are `(batch, seq, d_model)` throughout; a mask is `True` where a query may
look. The layers keep the order of the paper (`norm_first=False`: add, then
normalise) or the one that newer models use (`norm_first=True`).
"""

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lib.attention.cache import KVCache
from lib.attention.dot_product import MultiHeadAttention
from lib.options import one_of

#: The nonlinearity of each name; `swiglu` applies its own to a gate, `gelu_tanh` is
#: GPT-2's approximation.
ACTIVATIONS = {
    "relu": F.relu, "gelu": F.gelu, "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "swiglu": F.silu,
}


def sinusoidal_positions(
    seq: int, d_model: int, base: float = 10_000.0
) -> Float[Tensor, "seq d_model"]:
    """Write each position as sines and cosines of falling frequency, in radians.

        P[t, 2i] = sin(t b^(−2i / d_model)),  P[t, 2i + 1] = cos(t b^(−2i / d_model))

    Raises ValueError for an odd `d_model` (Vaswani et al. 2017, section 3.5).

    >>> sinusoidal_positions(2, 4)
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0100, 0.9999]])
    """
    if d_model % 2:
        raise ValueError(
            f"sinusoidal positions pair a sine with a cosine and d_model is {d_model}; "
            "use an even d_model."
        )
    # angles in float64: in float32 they lose four digits at position 10,000
    frequency = base ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    angle = torch.arange(seq, dtype=torch.float64)[:, None] * frequency
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1).float()


def layer_norm(
    x: Float[Tensor, "*batch d_model"], weight: Float[Tensor, " d_model"],
    bias: Float[Tensor, " d_model"], eps: float = 1e-5,
) -> Float[Tensor, "*batch d_model"]:
    """Bring each vector to mean 0 and variance 1: y = g (x − μ) / √(σ² + ε) + b.

    The formula in the open; the layers run `nn.LayerNorm`, which is the same (Ba et al.
    2016, equations 3 and 4).

    >>> layer_norm(torch.tensor([1.0, 3.0]), torch.ones(2), torch.zeros(2), eps=0.0)
    tensor([-1.,  1.])
    """
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.pow(2).mean(-1, keepdim=True)
    return centred * torch.rsqrt(variance + eps) * weight + bias


def rms_norm(
    x: Float[Tensor, "*batch d_model"], weight: Float[Tensor, " d_model"],
    eps: float = 1e-5,
) -> Float[Tensor, "*batch d_model"]:
    """Divide each vector by its root mean square: y = g x / √(Σ_i x_i² / d + ε).

    The formula in the open; the layers run `nn.RMSNorm`, which is the same (Zhang and
    Sennrich 2019, equation 4).

    >>> rms_norm(torch.tensor([3.0, -3.0]), torch.ones(2), eps=0.0)
    tensor([ 1., -1.])
    """
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


class FeedForward(nn.Module):
    """Two linear maps around a nonlinearity, the same for every token.

        W_down f(W_up x);  with swiglu  W_down (silu(W_gate x) · W_up x)

    `activation` is `relu`, `gelu`, `gelu_tanh` or `swiglu` (ValueError elsewhere);
    training sets a share `dropout` of the inner units to zero (Vaswani et al. 2017,
    equation 2; Shazeer 2020, equation 6, for SwiGLU).
    """

    def __init__(
        self, d_model: int, d_ff: int, activation: str = "relu", bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation = one_of("activation", activation, ACTIVATIONS)
        self.up = nn.Linear(d_model, d_ff, bias)
        self.gate = nn.Linear(d_model, d_ff, bias) if activation == "swiglu" else None
        self.down = nn.Linear(d_ff, d_model, bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch seq d_model"]
    ) -> Float[Tensor, "batch seq d_model"]:
        activation = ACTIVATIONS[self.activation]
        if self.gate is None:
            hidden = activation(self.up(x))  # batch seq d_ff
        else:
            hidden = activation(self.gate(x)) * self.up(x)
        return self.down(self.dropout(hidden))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each added to its input and normalised.

        x ← LN(x + f(x)) (the paper),  x ← x + f(LN(x)) (norm first)

    Vaswani et al. 2017, section 3.1; Xiong et al. 2020 for norm first.
    """

    def __init__(
        self, d_model: int, n_heads: int, d_ff: int, activation: str = "relu",
        norm_first: bool = False, dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        self.attention_norm = nn.LayerNorm(d_model)
        self.feed_forward = FeedForward(d_model, d_ff, activation, dropout=dropout)
        self.feed_forward_norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch seq d_model"],
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        x = self._add(x, self.attention_norm, lambda y: self.attention(y, mask=mask))
        return self._add(x, self.feed_forward_norm, self.feed_forward)

    def _add(self, x, norm, part):
        """One part with its residual, in the order that `norm_first` asks for."""
        if self.norm_first:
            return x + self.dropout(part(norm(x)))
        return norm(x + self.dropout(part(x)))


class DecoderLayer(EncoderLayer):
    """An encoder layer with cross-attention to a memory between its two parts.

    >>> layer = DecoderLayer(8, 2, 32)
    >>> layer(torch.zeros(1, 3, 8), memory=torch.zeros(1, 5, 8)).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self, d_model: int, n_heads: int, d_ff: int, activation: str = "relu",
        norm_first: bool = False, dropout: float = 0.0,
    ) -> None:
        super().__init__(d_model, n_heads, d_ff, activation, norm_first, dropout)
        self.cross_attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        self.cross_norm = nn.LayerNorm(d_model)

    # a decoder layer also takes what it looks at
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        x: Float[Tensor, "batch seq d_model"],
        memory: Float[Tensor, "batch memory d_model"],
        mask: Bool[Tensor, "..."] | None = None,
        memory_mask: Bool[Tensor, "..."] | None = None,
        cache: tuple[KVCache, KVCache] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """Apply the layer; cache holds self-attention's and cross-attention's keys."""
        own, cross = cache or (None, None)
        x = self._add(x, self.attention_norm,
                      lambda y: self.attention(y, mask=mask, cache=own))
        x = self._add(x, self.cross_norm, lambda y: self.cross_attention(
            y, memory, mask=memory_mask, cache=cross))
        return self._add(x, self.feed_forward_norm, self.feed_forward)
