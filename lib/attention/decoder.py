"""A decoder-only language model that can be a GPT-2 or a Llama.

What the two differ in is in `DecoderConfig`: where positions enter, which norm,
which feed-forward, biases, grouped heads. `from_gpt2` and `from_llama` take the
weights of `transformers` models; what a configuration asks for and this model does
not compute, they refuse by name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

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
    r"""Predict every next token of a text from the tokens before it.

    .. math:: \operatorname{logits} = \operatorname{norm}\big(B_L(\cdots
              B_1(E\,\text{ids} + P))\big)\, U^\top

    `U` is `E` where the model is tied (`head` is `None`); `P` is nothing where
    positions are rotary. Raises ValueError if heads do not divide the width, or a text
    is longer than `max_length`.

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


# ---- weights of transformers --------------------------------------------------------

#: Settings of `transformers` that a `DecoderLM` has at this value only.
FIXED = {
    "gpt2": {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
             "add_cross_attention": False, "is_causal": True},
    "llama": {"attention_dropout": 0.0, "is_causal": True, "sliding_window": None},
}
#: Their activations that are one of ours: alone, and on a gate.
PLAIN = {"relu": "relu", "gelu": "gelu", "gelu_python": "gelu",
         "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
         "gelu_pytorch_tanh": "gelu_tanh"}
GATED = {"silu": "swiglu", "swish": "swiglu"}
#: Our name of each of their modules; what begins with a point is in a block.
GPT2 = {
    "transformer.wte": "token", "transformer.wpe": "position",
    "transformer.ln_f": "norm", "lm_head": "head",
    ".ln_1": ".attention_norm", ".attn.c_attn": ".attention.qkv",
    ".attn.c_proj": ".attention.output", ".ln_2": ".feed_forward_norm",
    ".mlp.c_fc": ".feed_forward.up", ".mlp.c_proj": ".feed_forward.down",
}
LLAMA = {
    "model.embed_tokens": "token", "model.norm": "norm", "lm_head": "head",
    ".input_layernorm": ".attention_norm", ".self_attn.q_proj": ".attention.query",
    ".self_attn.k_proj": ".attention.key", ".self_attn.v_proj": ".attention.value",
    ".self_attn.o_proj": ".attention.output",
    ".post_attention_layernorm": ".feed_forward_norm",
    ".mlp.gate_proj": ".feed_forward.gate", ".mlp.up_proj": ".feed_forward.up",
    ".mlp.down_proj": ".feed_forward.down",
}


def gpt2_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a `GPT2LMHeadModel` the names of a `DecoderLM`.

    GPT-2 keeps its matrices transposed and Q, K, V as one. The map is linear, so
    gradients go through it as well as weights. Raises TypeError for a tensor that
    GPT-2 does not have.
    """
    named = {}
    for name, tensor in _renamed(state, "transformer.h.", GPT2):
        if name.startswith("blocks.") and tensor.dim() == 2:
            tensor = tensor.mT
        if ".qkv." not in name:
            named[name] = tensor
            continue
        for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
            named[name.replace("qkv", part)] = third
    return named


def from_gpt2(model: nn.Module) -> DecoderLM:
    """Make a `DecoderLM` that computes what a `transformers` GPT-2 computes.

    Raises TypeError if the model is none, or has a setting that ours has not.
    """
    config = _config_of(model, "gpt2", "GPT2LMHeadModel")
    dropouts = {name: getattr(config, name)
                for name in ("embd_pdrop", "attn_pdrop", "resid_pdrop")}
    if len(set(dropouts.values())) > 1:
        raise _unlike(", ".join(dropouts), dropouts, "one value for all three")
    return _filled(model, gpt2_names, DecoderConfig(
        vocab=config.vocab_size, d_model=config.n_embd, n_heads=config.n_head,
        n_layers=config.n_layer, d_ff=config.n_inner, max_length=config.n_positions,
        activation=_ours("activation_function", config.activation_function, PLAIN),
        tied=_tied(model), dropout=config.resid_pdrop,
        norm_eps=config.layer_norm_epsilon,
    ))


def llama_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a `LlamaForCausalLM` the names of a `DecoderLM`.

    Raises TypeError for a tensor that Llama does not have.
    """
    return dict(_renamed(state, "model.layers.", LLAMA))


def from_llama(model: nn.Module) -> DecoderLM:
    """Make a `DecoderLM` that computes what a `transformers` Llama (SmolLM2 is one)
    computes. The frequencies of its rotation may be stretched (linear, llama3, yarn).

    Raises TypeError if the model is none, or has a setting that ours has not.
    """
    config = _config_of(model, "llama", "LlamaForCausalLM")
    rotary = cast(Any, model).model.rotary_emb
    if rotary.rope_type in ("dynamic", "longrope"):  # other angles for longer texts
        raise _unlike("rope_type", rotary.rope_type, "frequencies that stay the same")
    if 2 * len(rotary.inv_freq) != config.head_dim:
        raise _unlike("partial_rotary_factor",
                      config.rope_parameters.get("partial_rotary_factor"), 1.0)
    return _filled(model, llama_names, DecoderConfig(
        vocab=config.vocab_size, d_model=config.hidden_size,
        n_heads=config.num_attention_heads, n_kv_heads=config.num_key_value_heads,
        n_layers=config.num_hidden_layers, d_ff=config.intermediate_size,
        max_length=config.max_position_embeddings, positions="rotary",
        norm="rmsnorm", activation=_ours("hidden_act", config.hidden_act, GATED),
        bias=config.attention_bias, feed_forward_bias=config.mlp_bias,
        tied=_tied(model), norm_eps=config.rms_norm_eps, d_head=config.head_dim,
        rope_theta=config.rope_parameters["rope_theta"],
        rope_frequencies=tuple(rotary.inv_freq.tolist()),
        rope_scale=rotary.attention_scaling,
    ))


def _renamed(
    state: Mapping[str, Tensor], stack: str, ours: Mapping[str, str]
) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in state.items():
        module, _, kind = name.rpartition(".")
        block = ""
        if module.startswith(stack):
            number, *path = module.removeprefix(stack).split(".")
            block, module = f"blocks.{number}", "." + ".".join(path)
        if module not in ours:
            raise TypeError(
                f"the model holds a tensor {name!r} that its family does not have; "
                "merge adapters and undo quantization first."
            )
        yield f"{block}{ours[module]}.{kind}", tensor


def _config_of(model: nn.Module, family: str, kind: str) -> Any:
    """The configuration of a model of this class, if ours can be like it."""
    config = getattr(model, "config", None)
    name = getattr(config, "model_type", None)
    if name != family or kind not in [base.__name__ for base in type(model).__mro__]:
        raise TypeError(
            f"a {type(model).__name__} of family {name!r} came; pass a {kind} of "
            f"transformers, family {family}."
        )
    for setting, only in FIXED[family].items():
        if (value := getattr(config, setting, only)) != only:
            raise _unlike(setting, value, only)
    return config


def _tied(model: Any) -> bool:
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


def _ours(setting: str, name: str, known: Mapping[str, str]) -> str:
    if name not in known:
        raise _unlike(setting, name, " or ".join(known))
    return known[name]


def _unlike(setting: str, value: object, only: object) -> TypeError:
    return TypeError(
        f"the model has {setting} = {value!r}, and a DecoderLM has {only} only: its "
        "logits would be others; use the model of transformers itself."
    )


def _filled(model: Any, names: Callable, config: DecoderConfig) -> DecoderLM:
    """A model of ours with the weights of theirs, in its precision and mode."""
    named, ours = names(model.state_dict()), DecoderLM(config)
    if config.tied:
        del named["head.weight"]
    ours.load_state_dict(named)
    return ours.to(model.device, model.dtype).train(model.training)
