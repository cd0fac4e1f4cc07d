"""A decoder-only language model that can be a GPT-2 or a Llama.

What the two differ in is in `DecoderConfig`: where positions enter, which norm,
which feed-forward, biases, grouped heads. `from_gpt2` and `from_llama` take the
weights of `transformers` models.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lib.attention import (
    KVCache,
    MultiHeadAttention,
    causal_mask,
    rotary_angles,
)
from lib.layers import FeedForward

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

    def __post_init__(self) -> None:
        for name, known in (("positions", POSITIONS), ("norm", tuple(NORMS))):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} {getattr(self, name)!r} is not known; use one of "
                    f"{', '.join(known)}."
                )


class Block(nn.Module):
    """x ← x + attention(norm x), then x ← x + feed-forward(norm x)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        d, norm = config.d_model, NORMS[config.norm]
        d_ff = 4 * d if config.d_ff is None else config.d_ff
        self.attention_norm = norm(d, eps=config.norm_eps)
        self.attention = MultiHeadAttention(
            d, config.n_heads, config.n_kv_heads,
            bias=config.bias, dropout=config.dropout,
        )
        self.feed_forward_norm = norm(d, eps=config.norm_eps)
        self.feed_forward = FeedForward(d, d_ff, config.activation, config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "batch seq d_model"],
        mask: Tensor | None = None,
        rotary: tuple[Tensor, Tensor] | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """Apply the block."""
        seen = self.attention(
            self.attention_norm(x), mask=mask, rotary=rotary, cache=cache
        )
        x = x + self.dropout(seen)
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class DecoderLM(nn.Module):
    r"""Predict every next token of a text from the tokens before it.

    .. math:: \operatorname{logits} = \operatorname{norm}\big(B_L(\cdots
              B_1(E\,\text{ids} + P))\big)\, U^\top

    `U` is `E` where the model is tied; `P` is nothing where positions are rotary.

    Attributes
    ----------
    token, position, blocks, norm, head
        `position` is there with learned positions, `head` is `None` where tied.

    Raises
    ------
    ValueError
        If heads do not divide the width, or a text is longer than `max_length`.

    Source: Radford et al. 2019, section 2.3; Touvron et al. 2023, section 2.2.

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
        self,
        ids: Int[Tensor, "batch seq"],
        caches: list[KVCache] | None = None,
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
        rotary = None
        if config.positions == "rotary":
            d_head = self.blocks[0].attention.d_head
            rotary = rotary_angles(places, d_head, config.rope_theta)
        # one new token may look everywhere: no mask to build
        mask = causal_mask(seq, before + seq, ids.device) if seq > 1 else None
        x = self.dropout(x)
        for i, block in enumerate(self.blocks):
            x = block(x, mask, rotary, caches[i] if caches else None)
        x = self.norm(x)
        return x @ self.token.weight.T if self.head is None else self.head(x)


def gpt2_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a `GPT2LMHeadModel` the names of a `DecoderLM`.

    GPT-2 keeps its matrices transposed and Q, K, V as one. The map is linear, so
    gradients go through it as well as weights. `lm_head` is the embedding again
    and is left out.
    """
    plain = {
        "ln_1": "attention_norm", "attn.c_proj": "attention.output",
        "ln_2": "feed_forward_norm",
        "mlp.c_fc": "feed_forward.up", "mlp.c_proj": "feed_forward.down",
    }
    whole = {"transformer.wte.weight": "token.weight",
             "transformer.wpe.weight": "position.weight",
             "transformer.ln_f.weight": "norm.weight",
             "transformer.ln_f.bias": "norm.bias"}
    found = {}
    for name, tensor in state.items():
        if name in whole:
            found[whole[name]] = tensor
        elif name.startswith("transformer.h."):
            _, _, i, *middle, kind = name.split(".")
            part = ".".join(middle)
            tensor = tensor.mT if tensor.dim() == 2 else tensor
            if part == "attn.c_attn":
                thirds = zip(("query", "key", "value"), tensor.chunk(3), strict=True)
                for ours, third in thirds:
                    found[f"blocks.{i}.attention.{ours}.{kind}"] = third
            elif part in plain:
                found[f"blocks.{i}.{plain[part]}.{kind}"] = tensor
    return found


def from_gpt2(model: nn.Module) -> DecoderLM:
    """Make a `DecoderLM` with the weights of a `transformers` GPT-2.

    Raises
    ------
    TypeError
        If the model is none.
    """
    config = _config_of(model, "gpt2")
    ours = DecoderLM(DecoderConfig(
        vocab=config.vocab_size, d_model=config.n_embd, n_heads=config.n_head,
        n_layers=config.n_layer, d_ff=config.n_inner, max_length=config.n_positions,
        norm_eps=config.layer_norm_epsilon,
    ))
    ours.load_state_dict(gpt2_names(model.state_dict()))
    return ours.to(model.dtype).train(model.training)


def llama_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a `LlamaForCausalLM` the names of a `DecoderLM`."""
    plain = {
        "input_layernorm": "attention_norm", "self_attn.q_proj": "attention.query",
        "self_attn.k_proj": "attention.key", "self_attn.v_proj": "attention.value",
        "self_attn.o_proj": "attention.output",
        "post_attention_layernorm": "feed_forward_norm",
        "mlp.gate_proj": "feed_forward.gate", "mlp.up_proj": "feed_forward.up",
        "mlp.down_proj": "feed_forward.down",
    }
    whole = {"model.embed_tokens.weight": "token.weight",
             "model.norm.weight": "norm.weight", "lm_head.weight": "head.weight"}
    found = {}
    for name, tensor in state.items():
        if name in whole:
            found[whole[name]] = tensor
        else:
            _, _, i, *middle, kind = name.split(".")
            found[f"blocks.{i}.{plain['.'.join(middle)]}.{kind}"] = tensor
    return found


def from_llama(model: nn.Module) -> DecoderLM:
    """Make a `DecoderLM` with the weights of a `transformers` Llama (SmolLM2 is one).

    Raises
    ------
    TypeError
        If the model is none.
    """
    config = _config_of(model, "llama")
    ours = DecoderLM(DecoderConfig(
        vocab=config.vocab_size, d_model=config.hidden_size,
        n_heads=config.num_attention_heads, n_kv_heads=config.num_key_value_heads,
        n_layers=config.num_hidden_layers, d_ff=config.intermediate_size,
        max_length=config.max_position_embeddings, positions="rotary",
        norm="rmsnorm", activation="swiglu", bias=False,
        tied=config.tie_word_embeddings, norm_eps=config.rms_norm_eps,
        rope_theta=config.rope_parameters["rope_theta"],
    ))
    names = llama_names(model.state_dict())
    if ours.head is None:
        names.pop("head.weight", None)
    ours.load_state_dict(names)
    return ours.to(model.dtype).train(model.training)


def _config_of(model: nn.Module, family: str):
    found = getattr(getattr(model, "config", None), "model_type", None)
    if found != family:
        raise TypeError(
            f"a {type(model).__name__} of family {found!r} came; pass a transformers "
            f"model of the family {family}."
        )
    return model.config
