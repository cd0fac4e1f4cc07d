"""Small causal language models that share everything but their attention.

`attention="dot"` is the vanilla Transformer; a kernel of `lib.gravity.attention` makes
the same model with masses and coordinates in place of queries and keys.
"""

import math
import zlib
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lib.gravity.attention import CUTOFFS, KERNELS, causal, gated_softmax
from lib.gravity.layers import (
    COORDINATES,
    Coordinates,
    GravityAttention,
    Ids,
    Masses,
    Stream,
    in_heads,
    width_of_head,
)
from lib.options import one_of

Logits = Float[Tensor, "batch seq vocab"]
Layers = list[dict[str, Tensor | None]]  # what `trace` tells of each
ATTENTIONS = ("dot", *KERNELS)


@dataclass(frozen=True)
class LMConfig:
    """Everything that defines a model; `d_coord`, `kernel` options: gravity only."""

    vocab: int
    context: int = 64
    d_model: int = 128
    n_layers: int = 4
    n_heads: int = 4
    d_ff: int | None = None  # None: 4 · d_model
    attention: str = "newton"  # dot, newton, gaussian or potential
    d_coord: int = 64
    coordinates: str = "token+position"  # or position
    sign: int = 1  # potential only: 1 attracts, −1 repels
    strength: float = 0.5  # first p or γ of every head
    eps: float = 0.1  # softening, in the unit of r²
    cutoff: str = "none"  # none, hard, soft or compact
    radius: float = 2.0  # first radius, in the unit of r
    place: int | None = None  # axes of a head's coordinates; None: d_head/2 − 2
    looking: bool = False  # whether tokens look from a place of their own
    mass_in_value: bool = False  # mass multiplies the value and leaves the logit
    dropout: float = 0.0  # of embeddings, attention outputs and feed-forward outputs
    form: str = "auto"  # of `lib.gravity.fast`, where nothing is traced

    def __post_init__(self):
        one_of("attention", self.attention, ATTENTIONS)
        one_of("cutoff", self.cutoff, CUTOFFS)
        one_of("coordinates", self.coordinates, COORDINATES)
        width_of_head(self.d_model, self.n_heads)


class DotAttention(nn.Module):
    """Causal scaled dot-product attention with the interface of GravityAttention."""

    def __init__(self, d_model: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key, self.value, self.output = (
            nn.Linear(d_model, d_model, bias=False) for _ in range(4)
        )

    def forward(
        self, x: Stream, z=None, mass=None, traced: bool = True
    ) -> tuple[Stream, dict[str, Tensor]]:
        q, k, v = (in_heads(part(x), self.n_heads)
                   for part in (self.query, self.key, self.value))
        seen = {}
        if traced:
            logits = q @ k.mT / math.sqrt(q.shape[-1])
            weights = gated_softmax(logits, None, causal(x.shape[1], x.device))
            mixed, seen = weights @ v, {"logits": logits, "weights": weights}
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(mixed.transpose(1, 2).flatten(2)), seen


class Block(nn.Module):
    """x ← x + attention(LN x), then x ← x + feed-forward(LN x)."""

    def __init__(self, config: LMConfig, attention: nn.Module):
        super().__init__()
        d_ff = config.d_ff or 4 * config.d_model
        self.before_attention = nn.LayerNorm(config.d_model)
        self.attention = attention
        self.before_feed_forward = nn.LayerNorm(config.d_model)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.d_model, d_ff), nn.GELU(), nn.Linear(d_ff, config.d_model)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Stream, z, mass, traced: bool = True
    ) -> tuple[Stream, Tensor, dict[str, Tensor]]:
        pulled, seen = self.attention(self.before_attention(x), z, mass, traced)
        x = x + self.dropout(pulled)
        fed = self.feed_forward(self.before_feed_forward(x))
        return x + self.dropout(fed), pulled, seen


class LanguageModel(nn.Module):
    """Token and position embeddings, blocks, norm, logits over the vocabulary.

    With gravity, coordinates start at z⁰ = LN(token + position) and move between
    layers, z ← LN(z + W a), where a is the layer's attention output.

    model.trace(ids) returns the logits with what every layer did: `z` (its input
    coordinates), `mass`, `r2`, `logits`, `gate`, `weights`; model.places(ids) returns
    them with the last layer's coordinates and the masses, for a loss that keeps points
    apart.

    >>> tiny = LMConfig(vocab=7, context=8, d_model=8, n_layers=2, n_heads=2, d_coord=4)
    >>> model = build(tiny, seed=1)
    >>> model(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 7])
    """

    def __init__(self, config: LMConfig):
        super().__init__()
        self.config = config
        self.token = nn.Embedding(config.vocab, config.d_model)
        self.position = nn.Embedding(config.context, config.d_model)
        self.blocks = nn.ModuleList(
            Block(config, attention_of(config)) for _ in range(config.n_layers)
        )
        self.norm = nn.LayerNorm(config.d_model)
        self.head = nn.Linear(config.d_model, config.vocab, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.masses = self.coordinates = None
        self.move, self.move_norm = nn.ModuleList(), nn.ModuleList()
        if config.attention != "dot":
            self.masses = Masses(config.vocab)
            self.coordinates = Coordinates(
                config.vocab, config.context, config.d_coord, config.coordinates
            )
            for _ in range(config.n_layers - 1):
                self.move.append(nn.Linear(config.d_model, config.d_coord, bias=False))
                self.move_norm.append(nn.LayerNorm(config.d_coord))

    def _run(self, ids: Ids, traced: bool) -> tuple[Logits, Layers]:
        if ids.shape[1] > self.config.context:
            raise ValueError(
                f"{ids.shape[1]} tokens came, the model was built for "
                f"{self.config.context}; pass fewer or build it with a larger context"
            )
        x = self.dropout(self.token(ids) + self.position.weight[: ids.shape[1]])
        mass = self.masses(ids) if self.masses is not None else None
        z = self.coordinates(ids) if self.coordinates is not None else None
        layers = []
        for i, block in enumerate(self.blocks):
            x, pulled, seen = block(x, z, mass, traced)
            layers.append({"z": z, "mass": mass, **seen})
            if i < len(self.move):
                z = self.move_norm[i](z + self.move[i](pulled))
        return self.head(self.norm(x)), layers

    def trace(self, ids: Ids) -> tuple[Logits, Layers]:
        return self._run(ids, traced=True)

    def places(self, ids: Ids) -> tuple[Logits, Tensor | None, Tensor | None]:
        logits, layers = self._run(ids, traced=False)
        return logits, layers[-1]["z"], layers[-1]["mass"]

    def forward(self, ids: Ids) -> Logits:
        return self._run(ids, traced=False)[0]

    def loss(self, ids: Ids, targets: Ids) -> Float[Tensor, ""]:
        """Mean cross-entropy of the next token, in nats."""
        return F.cross_entropy(self(ids).flatten(0, 1), targets.flatten())


def attention_of(config: LMConfig) -> nn.Module:
    """The attention layer that a configuration asks for."""
    if config.attention == "dot":
        return DotAttention(config.d_model, config.n_heads)
    options = ("cutoff", "radius", "strength", "eps", "sign", "place", "mass_in_value",
               "looking", "form")
    return GravityAttention(
        config.d_model, config.n_heads, config.d_coord, config.attention,
        **{name: getattr(config, name) for name in options},
    )


@torch.no_grad()
def build(config: LMConfig, seed: int) -> LanguageModel:
    """A model whose first weights depend on the seed and on each weight's own name.

    Two models of one seed agree in every weight they share, whatever their
    attention: matrices N(0, 1/√fan_in)/√3, embeddings N(0, 0.02),
    output projections smaller by √(2 n_layers). Tokens look from where they lie.
    """
    model = LanguageModel(config)
    for name, weight in model.named_parameters():
        if weight.dim() < 2:
            continue
        generator = torch.Generator().manual_seed(seed ^ zlib.crc32(name.encode()))
        std = 1 / math.sqrt(3 * weight.shape[1])
        if name.endswith(("token.weight", "position.weight")):
            std = 0.02
        elif name.endswith(("attention.output.weight", "feed_forward.2.weight")):
            std /= math.sqrt(2 * config.n_layers)
        weight.copy_(torch.randn(weight.shape, generator=generator) * std)
    for block in model.blocks:
        attention = cast(Block, block).attention
        if isinstance(attention, GravityAttention) and attention.look is not None:
            attention.look.weight.copy_(attention.place.weight)
    for name, bias in model.named_parameters():
        if name.endswith(("feed_forward.0.bias", "feed_forward.2.bias")):
            bias.zero_()
    return model


def parameters(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
