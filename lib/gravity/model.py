"""Small causal language models that share everything but their attention.

`attention="dot"` is the vanilla Transformer; a kernel of `lib.gravity.attention` makes
the same model with masses and coordinates in place of queries and keys.
"""

import math
import zlib
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lib.gravity.attention import CUTOFFS, KERNELS
from lib.gravity.dot import KEY_BIASES, STREAMS, DotAttention
from lib.gravity.layers import (
    COORDINATES,
    Coordinates,
    GravityAttention,
    Ids,
    Masses,
    Stream,
    width_of_head,
)
from lib.options import one_of

Logits = Float[Tensor, "batch seq vocab"]
Layers = list[dict[str, Tensor | None]]  # what `trace` tells of each
ATTENTIONS = ("dot", *KERNELS)
POSITIONS = ("learned", "rotary", "learned+rotary", "alibi", "none")


@dataclass(frozen=True)
class LMConfig:
    """Everything that defines a model.

    `d_coord`, `coordinates`, `place`, `looking` and `moves` belong to gravity, and to
    the dot product where its `stream` has coordinates; `sign`, `strength`, `eps`,
    `cutoff`, `radius`, `mass`, `mass_in_value` and `form` to gravity alone; `stream`,
    `qk_norm`, `key_bias`, `tied` and ALiBi to the dot product alone.
    """

    vocab: int
    context: int = 64
    d_model: int = 128
    n_layers: int = 4
    n_heads: int = 4
    d_ff: int | None = None  # None: 4 · d_model
    attention: str = "newton"  # dot, newton, gaussian or potential
    d_coord: int = 64
    coordinates: str = "token+position"  # position or token
    sign: int = 1  # potential only: 1 attracts, −1 repels
    strength: float = 0.5  # first p or γ of every head
    eps: float = 0.1  # softening, in the unit of r²
    cutoff: str = "none"  # none, hard, soft or compact
    radius: float = 2.0  # first radius, in the unit of r
    place: int | None = None  # axes of a head's coordinates; None: d_head/2 − 2, even
    looking: bool = False  # whether tokens look from a place of their own
    mass_in_value: bool = False  # mass multiplies the value and leaves the logit
    dropout: float = 0.0  # of embeddings, attention outputs and feed-forward outputs
    form: str = "auto"  # of `lib.gravity.fast`, where nothing is traced
    positions: str = "learned"  # of hidden states, or turned queries and keys (places)
    moves: bool = True  # whether coordinates move between layers
    mass: bool = True  # whether tokens have masses
    stream: str = "content"  # of queries and keys: content, coordinates or both with +
    qk_norm: bool = False  # queries and keys of each head are normalised
    key_bias: str = "none"  # none, content or mass: a logit of the key's own
    tied: bool = False  # queries and keys from content share one projection

    def __post_init__(self):
        one_of("attention", self.attention, ATTENTIONS)
        one_of("cutoff", self.cutoff, CUTOFFS)
        one_of("coordinates", self.coordinates, COORDINATES)
        one_of("positions", self.positions, POSITIONS)
        one_of("stream", self.stream, STREAMS)
        one_of("key_bias", self.key_bias, KEY_BIASES)
        d_head = width_of_head(self.d_model, self.n_heads)
        only_dot = {"stream": "content", "qk_norm": False, "key_bias": "none",
                    "tied": False}
        if self.attention != "dot":
            for name, value in only_dot.items():
                if getattr(self, name) != value:
                    raise ValueError(
                        f"{name} {getattr(self, name)!r} is for attention 'dot' and "
                        f"attention is {self.attention!r}; leave {name} at {value!r}")
            if self.positions == "alibi":
                raise ValueError(
                    f"positions 'alibi' is for attention 'dot' and attention is "
                    f"{self.attention!r}; use learned, rotary or learned+rotary")
        if self.tied and "content" not in self.stream:
            raise ValueError(
                "tied is for queries and keys from content and stream is "
                f"{self.stream!r}; there, looking=False has them share a projection")
        widths = [d_head] * (self.attention == "dot" and "content" in self.stream)
        widths += [self.axes] * self.has_coordinates
        if "rotary" in self.positions and any(width % 2 for width in widths):
            raise ValueError(
                f"rotary positions turn pairs of numbers and a head has "
                f"{' and '.join(map(str, widths))}; use an even "
                "d_model / n_heads, and an even place")

    @property
    def has_coordinates(self) -> bool:
        """Whether tokens have coordinates."""
        return self.attention != "dot" or "coordinates" in self.stream

    @property
    def axes(self) -> int:
        """How wide the coordinates of a head are; even where they are turned."""
        axes = max(2, self.d_model // self.n_heads // 2 - 2)
        return self.place or (axes - axes % 2 if "rotary" in self.positions else axes)

    @property
    def any_length(self) -> bool:
        """Whether no table of positions ends the texts that a model can read."""
        return not ("learned" in self.positions
                    or (self.has_coordinates and "position" in self.coordinates))


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
    layers, z ← LN(z + W a), where a is the layer's attention output. A model without a
    table of positions (`LMConfig.any_length`) reads texts longer than its context.

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
        self.position = (nn.Embedding(config.context, config.d_model)
                         if "learned" in config.positions else None)
        self.blocks = nn.ModuleList(
            Block(config, attention_of(config)) for _ in range(config.n_layers)
        )
        self.norm = nn.LayerNorm(config.d_model)
        self.head = nn.Linear(config.d_model, config.vocab, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.masses = self.coordinates = None
        self.move, self.move_norm = nn.ModuleList(), nn.ModuleList()
        gravity = config.attention != "dot"
        if config.mass if gravity else config.key_bias == "mass":
            self.masses = Masses(config.vocab)
        if config.has_coordinates:
            self.coordinates = Coordinates(
                config.vocab, config.context, config.d_coord, config.coordinates
            )
            for _ in range(config.n_layers - 1 if config.moves else 0):
                self.move.append(nn.Linear(config.d_model, config.d_coord, bias=False))
                self.move_norm.append(nn.LayerNorm(config.d_coord))

    def _run(self, ids: Ids, traced: bool) -> tuple[Logits, Layers]:
        if ids.shape[1] > self.config.context and not self.config.any_length:
            raise ValueError(
                f"{ids.shape[1]} tokens came, the model was built for "
                f"{self.config.context}; pass fewer or build it with a larger context"
            )
        x = self.token(ids)
        if self.position is not None:
            x = x + self.position.weight[: ids.shape[1]]
        x = self.dropout(x)
        mass = self.masses(ids) if self.masses is not None else None
        if mass is None and self.config.attention != "dot":
            mass = x.new_ones(ids.shape)
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
        options = ("axes", "stream", "positions", "qk_norm", "key_bias", "tied")
        return DotAttention(
            config.d_model, config.n_heads, config.d_coord,
            looking=config.looking and config.has_coordinates,
            **{name: getattr(config, name) for name in options},
        )
    options = ("cutoff", "radius", "strength", "eps", "sign", "mass_in_value",
               "looking", "form")
    return GravityAttention(
        config.d_model, config.n_heads, config.d_coord, config.attention,
        place=config.axes, rotary="rotary" in config.positions, massive=config.mass,
        **{name: getattr(config, name) for name in options},
    )


@torch.no_grad()
def build(config: LMConfig, seed: int) -> LanguageModel:
    """A model whose first weights depend on the seed and on each weight's own name.

    Two models of one seed agree in every weight they share, whatever their
    attention: matrices N(0, 1/√fan_in)/√3, embeddings N(0, 0.02),
    output projections smaller by √(2 n_layers). Tokens look from where they lie, and
    keys have no bias of their own.
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
        attention = cast(Any, block).attention
        if attention.look is not None:
            attention.look.weight.copy_(attention.place.weight)
        if isinstance(attention, DotAttention) and attention.key_bias is not None:
            attention.key_bias.weight.zero_()
    for name, bias in model.named_parameters():
        if name.endswith(("feed_forward.0.bias", "feed_forward.2.bias")):
            bias.zero_()
    return model


def matched_width(config: LMConfig) -> int:
    """The `d_coord` with which a model has as many parameters as the plain twin.

    The twin: the dot product with learned positions, its options at their defaults. A
    model grows by the same number with each axis of its coordinates, so that two widths
    tell all.

    >>> matched_width(LMConfig(vocab=65, d_model=128, looking=True))
    135
    """
    shared = ("vocab", "context", "d_model", "n_layers", "n_heads", "d_ff")
    twin = LMConfig(**{name: getattr(config, name) for name in shared}, attention="dot")
    with torch.device("meta"):
        target, two, three = (parameters(LanguageModel(c)) for c in (
            twin, replace(config, d_coord=2), replace(config, d_coord=3)))
    return max(2, 2 + round((target - two) / (three - two)))


def parameters(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
