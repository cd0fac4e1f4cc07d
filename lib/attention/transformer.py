"""The Transformer of "Attention Is All You Need": encoder, decoder, one vocabulary.

A batch is two tensors of token ids, `source` and `target`, filled up with `pad`.
A target begins with `bos` and ends with `eos`; `model(source, target)` gives for
each target position the logits of the token after it.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lib.attention.cache import KVCache
from lib.attention.layers import DecoderLayer, EncoderLayer, sinusoidal_positions
from lib.attention.masks import causal_mask, padding_mask

Caches = list[tuple[KVCache, KVCache]]


@dataclass(frozen=True)
class TransformerConfig:
    """Everything that defines a model; the defaults are the tutorial's sizes."""

    vocab: int
    d_model: int = 256
    n_heads: int = 8
    n_layers: int = 4  # of the encoder and of the decoder
    d_ff: int | None = None  # None: 4 · d_model
    max_length: int = 64
    dropout: float = 0.1
    norm_first: bool = False  # the paper normalises after adding
    activation: str = "relu"
    pad: int = 0
    bos: int = 1
    eos: int = 2


class Transformer(nn.Module):
    """Read a source, write a target: logits = decode(E t, encode(E s)) Eᵀ.

    One matrix E serves source, target and logits, times √d_model on the way in. With
    `norm_first` a last LayerNorm stands behind each stack. Raises ValueError if heads
    do not divide the width, or a sequence is longer than `max_length` (Vaswani et al.
    2017, section 3).

    >>> model = Transformer(TransformerConfig(vocab=9, d_model=8, n_heads=2))
    >>> ids = torch.tensor([[1, 5, 6, 2, 0]])
    >>> model(ids, ids).shape
    torch.Size([1, 5, 9])
    """

    positions: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        d_ff = 4 * config.d_model if config.d_ff is None else config.d_ff
        shape = (config.d_model, config.n_heads, d_ff, config.activation,
                 config.norm_first, config.dropout)
        layers = range(config.n_layers)
        self.token = nn.Embedding(config.vocab, config.d_model)
        self.encoder = nn.ModuleList(EncoderLayer(*shape) for _ in layers)
        self.decoder = nn.ModuleList(DecoderLayer(*shape) for _ in layers)
        last = nn.LayerNorm if config.norm_first else nn.Identity
        self.encoder_norm, self.decoder_norm = (last(config.d_model) for _ in range(2))
        self.dropout = nn.Dropout(config.dropout)
        positions = sinusoidal_positions(config.max_length, config.d_model)
        self.register_buffer("positions", positions, persistent=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.token.weight, std=config.d_model**-0.5)  # length about 1

    def embed(
        self, ids: Int[Tensor, "batch seq"], start: int = 0
    ) -> Float[Tensor, "batch seq d_model"]:
        """Token embeddings times `sqrt(d_model)` plus positions from `start` on."""
        end = start + ids.shape[1]
        if end > self.config.max_length:
            raise ValueError(
                f"a sequence of {end} tokens came and the model takes "
                f"{self.config.max_length}; shorten it or build the model with a "
                "larger max_length."
            )
        x = self.token(ids) * math.sqrt(self.config.d_model)
        return self.dropout(x + self.positions[start:end])

    def encode(
        self, source: Int[Tensor, "batch source"]
    ) -> Float[Tensor, "batch source d_model"]:
        """Turn a source into the memory that the decoder looks at. Outside training,
        padding before a token is refused: positions count it."""
        pad, mask = self.config.pad, padding_mask(source, self.config.pad)
        if not (self.training or source.is_meta):  # without numbers none is wrong
            wrong = ((source[:, :-1] == pad) & (source[:, 1:] != pad)).any(1)
            if wrong.any():
                raise ValueError(
                    f"row {wrong.nonzero()[0].item()} of the source has padding ({pad})"
                    " in front of a token, which would move its position; fill up at "
                    "the end."
                )
        x = self.embed(source)
        for layer in self.encoder:
            x = layer(x, mask)
        return self.encoder_norm(x)

    def decode(
        self, target: Int[Tensor, "batch target"],
        memory: Float[Tensor, "batch source d_model"],
        source: Int[Tensor, "batch source"], caches: Caches | None = None,
    ) -> Float[Tensor, "batch target d_model"]:
        """Hidden states of the target; with caches, of the tokens that are new."""
        before = caches[0][0].length if caches else 0
        length = target.shape[1]
        mask = causal_mask(length, before + length, device=target.device)
        if not caches:
            mask = mask & padding_mask(target, self.config.pad)
        memory_mask = padding_mask(source, self.config.pad)
        x = self.embed(target, start=before)
        for i, layer in enumerate(self.decoder):
            x = layer(x, memory, mask, memory_mask, caches[i] if caches else None)
        return self.decoder_norm(x)

    def forward(
        self, source: Int[Tensor, "batch source"], target: Int[Tensor, "batch target"]
    ) -> Float[Tensor, "batch target vocab"]:
        """Logits of the token after each target token, all positions at once."""
        hidden = self.decode(target, self.encode(source), source)
        return hidden @ self.token.weight.T

    @torch.no_grad()
    def generate(
        self, source: Int[Tensor, "batch source"], max_length: int | None = None
    ) -> Int[Tensor, "batch target"]:
        """Write the likeliest token again and again until every row has its `eos`.

        The ids begin with `bos`, and `pad` follows `eos`. The model is in evaluation
        mode meanwhile.
        """
        config, training = self.config, self.training
        limit = config.max_length if max_length is None else max_length
        limit = min(limit, config.max_length)
        self.eval()
        memory = self.encode(source)
        caches = [(KVCache(), KVCache()) for _ in self.decoder]
        ids = source.new_full((len(source), 1), config.bos)
        done = torch.zeros(len(source), dtype=torch.bool, device=source.device)
        while ids.shape[1] < limit and not done.all():
            hidden = self.decode(ids[:, -1:], memory, source, caches)
            following = (hidden[:, -1] @ self.token.weight.T).argmax(-1)
            following = following.masked_fill(done, config.pad)
            ids = torch.cat((ids, following[:, None]), dim=1)
            done = done | (following == config.eos)
        self.train(training)
        return ids
