"""Which submodule of a model is what: one small description a family.

`trace` attaches its hooks by these descriptions, the analyses find weights by them;
`lib.trace.layout` applies them to a model.

Add a model family
------------------
1. `print(model)` shows the paths of its parts, `config.model_type` its name. Read the
   `forward` of its attention and of its block in `transformers`: the logits must be
   the last `matmul` before a `softmax`, the mixed values the first one after it.
2. Add an entry to `FAMILIES`: with `replace` where a family is another one with a
   difference, as Gemma 2 is Llama with two more norms. What changes the logits (a soft
   cap, a bias by distance, norms of queries and keys) or the residual stream (parts
   side by side, norms after the sum) has a field of `Family`.
3. Add a small random model of the family to `MAKERS` of `tests/zoo.py`, with padding
   and every setting that the family has. `tests/trace/test_families.py` then computes
   every part again and compares, in float32, float64 and bfloat16, in training and
   with gradients: what the description lacks shows there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Family:
    """Paths of the parts of a model; a path that is not there is left out.

    stacks: the lists of blocks, by the name in front of `blocks.3` (`""`: none).
    embeddings: pairs of a name and a path. last: what stands after the blocks.
    block: the parts inside a block; of `a|b` the first that is there.
    norm_first: whether a norm stands before its part (else after the sum); `None`
    asks the block itself.

    parallel: the attribute of a block that says whether attention and feed-forward
    both read what enters it. softcap: the attribute of an attention with the cap of
    its logits. position_bias: whether self-attention adds a bias by distance, and
    returns it. rotary_by_type: whether each kind of layer has its own angles.
    heads_first: whether the norms of queries and keys see heads before places.
    """

    stacks: Mapping[str, str]
    block: Mapping[str, str]
    embeddings: tuple[tuple[str, str], ...] = ()
    last: Mapping[str, str] | None = None
    norm_first: bool | None = True
    parallel: str = ""
    softcap: str = ""
    position_bias: bool = False
    rotary_by_type: bool = False
    heads_first: bool = False


def _attention(kind: str, begin: str, *paths: str) -> dict[str, str]:
    """Where an attention is, its query, key, value and output; all begin alike."""
    names = (kind, *(f"{kind}.{part}" for part in ("query", "key", "value", "output")))
    return {name: begin + path for name, path in zip(names, paths, strict=True)}


_BART = Family(
    stacks={"encoder": "encoder.layers", "decoder": "decoder.layers"},
    embeddings=(
        ("embed", "encoder.embed_tokens"), ("embed", "decoder.embed_tokens"),
        ("pos_embed", "encoder.embed_positions"),
        ("pos_embed", "decoder.embed_positions"),
    ),
    block={
        **_attention("attn", "self_attn", "", ".q_proj", ".k_proj", ".v_proj",
                     ".out_proj"),
        "ln1": "self_attn_layer_norm",
        **_attention("cross", "encoder_attn", "", ".q_proj", ".k_proj", ".v_proj",
                     ".out_proj"),
        "ln_cross": "encoder_attn_layer_norm",
        "mlp.up": "fc1", "mlp.activation": "activation_fn", "mlp.down": "fc2",
        "ln2": "final_layer_norm",
    },
    norm_first=False,
)

_LLAMA = Family(
    stacks={"": "layers"},
    embeddings=(("embed", "embed_tokens"),),
    last={"ln_final": "norm"},
    block={
        "ln1": "input_layernorm",
        **_attention("attn", "self_attn", "", ".q_proj", ".k_proj", ".v_proj",
                     ".o_proj"),
        "ln2": "post_attention_layernorm", "mlp.gate": "mlp.gate_proj",
        "mlp.up": "mlp.up_proj", "mlp.activation": "mlp.act_fn",
        "mlp.down": "mlp.down_proj",
    },
)
_QK_NORMS = {
    "attn.query_norm": "self_attn.q_norm", "attn.key_norm": "self_attn.k_norm",
}
_GEMMA = {
    **_LLAMA.block,
    "ln1_post": "post_attention_layernorm", "ln2": "pre_feedforward_layernorm",
    "ln2_post": "post_feedforward_layernorm",
}
_GEMMA3 = replace(
    _LLAMA, block={**_GEMMA, **_QK_NORMS}, rotary_by_type=True, heads_first=True
)

_BERT = Family(
    stacks={"": "encoder.layer"},
    embeddings=(("embed", "embeddings.word_embeddings"),
                ("pos_embed", "embeddings.position_embeddings")),
    block={
        **_attention("attn", "attention.", "self", "self.query", "self.key",
                     "self.value", "output.dense"),
        "ln1": "attention.output.LayerNorm",
        **_attention("cross", "crossattention.", "self", "self.query", "self.key",
                     "self.value", "output.dense"),
        "ln_cross": "crossattention.output.LayerNorm",
        "mlp.up": "intermediate.dense",
        "mlp.activation": "intermediate.intermediate_act_fn",
        "mlp.down": "output.dense", "ln2": "output.LayerNorm",
    },
    norm_first=False,
)

#: Families of `transformers`, by `config.model_type`.
FAMILIES = {
    "gpt2": Family(
        stacks={"": "h"},
        embeddings=(("embed", "wte"), ("pos_embed", "wpe")),
        last={"ln_final": "ln_f"},
        block={
            "ln1": "ln_1", "attn": "attn", "attn.qkv": "attn.c_attn",
            "attn.output": "attn.c_proj",
            "ln_cross": "ln_cross_attn", "cross": "crossattention",
            "cross.query": "crossattention.q_attn",
            "cross.kv": "crossattention.c_attn",
            "cross.output": "crossattention.c_proj",
            "ln2": "ln_2", "mlp.up": "mlp.c_fc", "mlp.activation": "mlp.act",
            "mlp.down": "mlp.c_proj",
        },
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": replace(_LLAMA, block={**_LLAMA.block, **_QK_NORMS}),
    "gemma": _LLAMA,
    "gemma2": replace(_LLAMA, block=_GEMMA, softcap="attn_logit_softcapping"),
    "gemma3_text": _GEMMA3,
    "gemma3": replace(  # with images: the language model inside
        _GEMMA3, stacks={"": "language_model.layers"},
        embeddings=(("embed", "language_model.embed_tokens"),),
        last={"ln_final": "language_model.norm"},
    ),
    "gpt_neox": Family(
        stacks={"": "layers"},
        embeddings=(("embed", "embed_in"),),
        last={"ln_final": "final_layer_norm"},
        block={
            "ln1": "input_layernorm", "attn": "attention",
            "attn.qkv_by_head": "attention.query_key_value",
            "attn.output": "attention.dense",
            "ln2": "post_attention_layernorm", "mlp.up": "mlp.dense_h_to_4h",
            "mlp.activation": "mlp.act", "mlp.down": "mlp.dense_4h_to_h",
        },
        parallel="use_parallel_residual",
    ),
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "marian": _BART,
    "bart": _BART,
    "pegasus": replace(_BART, norm_first=True, last={
        "encoder.ln_final": "encoder.layer_norm",
        "decoder.ln_final": "decoder.layer_norm",
    }),
    "t5": Family(
        stacks={"encoder": "encoder.block", "decoder": "decoder.block"},
        embeddings=(("embed", "encoder.embed_tokens"),
                    ("embed", "decoder.embed_tokens")),
        last={"encoder.ln_final": "encoder.final_layer_norm",
              "decoder.ln_final": "decoder.final_layer_norm"},
        block={
            "ln1": "layer.0.layer_norm",
            **_attention("attn", "layer.0.SelfAttention", "", ".q", ".k", ".v", ".o"),
            "attn.distance": "layer.0.SelfAttention.relative_attention_bias",
            "ln_cross": "layer.1.layer_norm",
            **_attention("cross", "layer.1.EncDecAttention", "", ".q", ".k", ".v",
                         ".o"),
            "ln2": "layer.-1.layer_norm",
            "mlp.gate": "layer.-1.DenseReluDense.wi_0",
            "mlp.up": "layer.-1.DenseReluDense.wi|wi_1",
            "mlp.activation": "layer.-1.DenseReluDense.act",
            "mlp.down": "layer.-1.DenseReluDense.wo",
        },
        position_bias=True,
    ),
}

_OWN = (".query", ".key", ".value", ".output")
_LAYER = {
    "ln1": "attention_norm", "ln_cross": "cross_norm", "ln2": "feed_forward_norm",
    **_attention("attn", "attention", "", *_OWN),
    **_attention("cross", "cross_attention", "", *_OWN),
    **{f"mlp.{part}": f"feed_forward.{part}"
       for part in ("gate", "up", "activation", "down")},
}
_ALONE = Family(stacks={"": ""}, block=_LAYER, norm_first=None)

#: Models of `lib`, by module and class.
OURS = {
    "lib.attention.dot_product.MultiHeadAttention": Family(
        stacks={"": ""},
        block=_attention("attn", "", "", "query", "key", "value", "output"),
    ),
    "lib.attention.layers.EncoderLayer": _ALONE,
    "lib.attention.layers.DecoderLayer": _ALONE,
    "lib.attention.transformer.Transformer": Family(
        stacks={"encoder": "encoder", "decoder": "decoder"},
        embeddings=(("embed", "token"),),
        last={"encoder.ln_final": "encoder_norm", "decoder.ln_final": "decoder_norm"},
        block=_LAYER,
        norm_first=None,
    ),
    "lib.attention.decoder.DecoderLM": Family(
        stacks={"": "blocks"},
        embeddings=(("embed", "token"), ("pos_embed", "position")),
        last={"ln_final": "norm"},
        block=_LAYER,
    ),
}
