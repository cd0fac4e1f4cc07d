"""A decoder-only language model that can be a GPT-2 or a Llama.

What the two differ in is in `DecoderConfig`: where positions enter, which norm,
which feed-forward, biases, grouped heads. `benchmarks.pretrained` takes their weights.
"""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lib.attention.cache import KVCache
from lib.attention.dot_product import MultiHeadAttention
from lib.attention.layers import FeedForward
from lib.attention.masks import causal_mask
from lib.attention.rotary import rotary_angles
from lib.options import one_of

POSITIONS = ("learned", "rotary", "none")
NORMS = {"layernorm": nn.LayerNorm, "rmsnorm": nn.RMSNorm}


@dataclass(frozen=True)
class DecoderConfig:
    """Everything that defines a model; the defaults are a small GPT-2."""

    vocab: int
    d_model: int = 256
    n_heads: int = 8
    n_layers: int = 4
    n_kv_heads: int | None = None  # None: as many as n_heads
    d_ff: int | None = None  # None: 4 · d_model
    max_length: int = 1024
    positions: str = "learned"  # learned, rotary or none
    norm: str = "layernorm"  # layernorm or rmsnorm
    activation: str = "gelu_tanh"
    bias: bool = True
    tied: bool = True  # the logits use the embedding matrix
    dropout: float = 0.0
    norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    rope_frequencies: tuple[float, ...] | None = None  # None: the series of rope_theta
    rope_scale: float = 1.0  # before cosine and sine; yarn has another
    d_head: int | None = None  # None: d_model / n_heads
    feed_forward_bias: bool | None = None  # None: as bias

    def __post_init__(self) -> None:
        one_of("positions", self.positions, POSITIONS)
        one_of("norm", self.norm, NORMS)


class Block(nn.Module):
    """x ← x + attention(norm x), then x ← x + feed-forward(norm x)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        d, norm, bias = config.d_model, NORMS[config.norm], config.feed_forward_bias
        d_ff = 4 * d if config.d_ff is None else config.d_ff
        self.attention_norm = norm(d, eps=config.norm_eps)
        self.attention = MultiHeadAttention(
            d, config.n_heads, config.n_kv_heads, config.d_head,
            bias=config.bias, dropout=config.dropout,
        )
        self.feed_forward_norm = norm(d, eps=config.norm_eps)
        self.feed_forward = FeedForward(
            d, d_ff, config.activation, config.bias if bias is None else bias
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "batch seq d_model"], mask: Tensor | None = None,
        rotary: tuple[Tensor, Tensor] | None = None, cache: KVCache | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        y = self.attention_norm(x)
        x = x + self.dropout(self.attention(y, mask=mask, rotary=rotary, cache=cache))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class DecoderLM(nn.Module):
    """Predict every next token of a text: logits = norm(B_L(… B_1(E ids + P))) Uᵀ.

    U is E where the model is tied (`head` is `None`); P is nothing where positions are
    rotary. Raises ValueError if heads do not divide the width, or a text is longer than
    `max_length`.

    >>> model = DecoderLM(DecoderConfig(vocab=9, d_model=8, n_heads=2, n_layers=1))
    >>> model(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 9])
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        d = config.d_model
        self.token = nn.Embedding(config.vocab, d)
        learned = config.positions == "learned"
        self.position = nn.Embedding(config.max_length, d) if learned else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = NORMS[config.norm](d, eps=config.norm_eps)
        self.head = None if config.tied else nn.Linear(d, config.vocab, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                last = name.endswith(("attention.output.weight", "down.weight"))
                scale = (2 * config.n_layers) ** -0.5 if last else 1.0
                nn.init.normal_(parameter, std=0.02 * scale)

    def new_caches(self) -> list[KVCache]:
        """Empty caches, one a block, to be passed to every call of one text."""
        return [KVCache() for _ in self.blocks]

    def forward(
        self, ids: Int[Tensor, "batch seq"], caches: list[KVCache] | None = None
    ) -> Float[Tensor, "batch seq vocab"]:
        """Logits after each token; with caches, `ids` are the tokens that are new."""
        config, seq = self.config, ids.shape[1]
        before = caches[0].length if caches else 0
        if before + seq > config.max_length:
            raise ValueError(
                f"a text of {before + seq} tokens came and the model takes "
                f"{config.max_length}; shorten it."
            )
        places = torch.arange(before, before + seq, device=ids.device)
        x = self.token(ids)
        if self.position is not None:
            x = x + self.position(places)
        rotary = self._rotary(places) if config.positions == "rotary" else None
        # one new token may look everywhere: no mask to build
        mask = causal_mask(seq, before + seq, ids.device) if seq > 1 else None
        x = self.dropout(x)
        for i, block in enumerate(self.blocks):
            x = block(x, mask, rotary, caches[i] if caches else None)
        x = self.norm(x)
        return x @ self.token.weight.T if self.head is None else self.head(x)

    def _rotary(self, places: Int[Tensor, " seq"]) -> tuple[Tensor, Tensor]:
        config, frequencies = self.config, None
        if config.rope_frequencies is not None:
            frequencies = torch.tensor(config.rope_frequencies, device=places.device)
        d_head = cast(Block, self.blocks[0]).attention.d_head
        cos, sin = rotary_angles(places, d_head, config.rope_theta, frequencies)
        return config.rope_scale * cos, config.rope_scale * sin
