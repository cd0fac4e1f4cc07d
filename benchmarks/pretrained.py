"""Our decoder-only model with the weights of a GPT-2 or a Llama of `transformers`.

    from_gpt2(model), from_llama(model)    a DecoderLM that computes what the model does

What a configuration asks for and a `DecoderLM` does not compute is refused by name.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

from lib.attention.decoder import DecoderConfig, DecoderLM

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
