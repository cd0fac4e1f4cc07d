"""Which submodule of a model is what: one small description a family.

`trace` attaches its hooks by these descriptions, `recompute` and the analyses find
weights by them. A further family is one more entry of `FAMILIES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from lib.layers import ACTIVATIONS


@dataclass(frozen=True)
class Family:
    """Paths of the parts of a model; a path that is not there is left out.

    stacks: the lists of blocks, by the name in front of `blocks.3` (`""`: none).
    embeddings: pairs of a name and a path. last: what stands after the blocks.
    block: the parts inside a block. norm_first: whether a norm stands before its
    part (else after the sum); `None` asks the block itself.
    """

    stacks: Mapping[str, str]
    block: Mapping[str, str]
    embeddings: tuple[tuple[str, str], ...] = ()
    last: Mapping[str, str] | None = None
    norm_first: bool | None = True


_BART = Family(
    stacks={"encoder": "encoder.layers", "decoder": "decoder.layers"},
    embeddings=(
        ("embed", "encoder.embed_tokens"), ("embed", "decoder.embed_tokens"),
        ("pos_embed", "encoder.embed_positions"),
        ("pos_embed", "decoder.embed_positions"),
    ),
    block={
        "attn": "self_attn", "attn.query": "self_attn.q_proj",
        "attn.key": "self_attn.k_proj", "attn.value": "self_attn.v_proj",
        "attn.output": "self_attn.out_proj", "ln1": "self_attn_layer_norm",
        "cross": "encoder_attn", "cross.query": "encoder_attn.q_proj",
        "cross.key": "encoder_attn.k_proj", "cross.value": "encoder_attn.v_proj",
        "cross.output": "encoder_attn.out_proj",
        "ln_cross": "encoder_attn_layer_norm",
        "mlp.up": "fc1", "mlp.activation": "activation_fn", "mlp.down": "fc2",
        "ln2": "final_layer_norm",
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
    "llama": Family(
        stacks={"": "layers"},
        embeddings=(("embed", "embed_tokens"),),
        last={"ln_final": "norm"},
        block={
            "ln1": "input_layernorm", "attn": "self_attn",
            "attn.query": "self_attn.q_proj", "attn.key": "self_attn.k_proj",
            "attn.value": "self_attn.v_proj", "attn.output": "self_attn.o_proj",
            "ln2": "post_attention_layernorm", "mlp.gate": "mlp.gate_proj",
            "mlp.up": "mlp.up_proj", "mlp.activation": "mlp.act_fn",
            "mlp.down": "mlp.down_proj",
        },
    ),
    "bert": Family(
        stacks={"": "encoder.layer"},
        embeddings=(
            ("embed", "embeddings.word_embeddings"),
            ("pos_embed", "embeddings.position_embeddings"),
        ),
        block={
            "attn": "attention.self", "attn.query": "attention.self.query",
            "attn.key": "attention.self.key", "attn.value": "attention.self.value",
            "attn.output": "attention.output.dense",
            "ln1": "attention.output.LayerNorm",
            "cross": "crossattention.self",
            "cross.query": "crossattention.self.query",
            "cross.key": "crossattention.self.key",
            "cross.value": "crossattention.self.value",
            "cross.output": "crossattention.output.dense",
            "ln_cross": "crossattention.output.LayerNorm",
            "mlp.up": "intermediate.dense",
            "mlp.activation": "intermediate.intermediate_act_fn",
            "mlp.down": "output.dense", "ln2": "output.LayerNorm",
        },
        norm_first=False,
    ),
    "marian": _BART,
    "bart": _BART,
    "pegasus": replace(_BART, norm_first=True, last={
        "encoder.ln_final": "encoder.layer_norm",
        "decoder.ln_final": "decoder.layer_norm",
    }),
}

_ATTENTION = {part: part for part in ("query", "key", "value", "output")}
_LAYER = {
    "ln1": "attention_norm", "ln_cross": "cross_norm", "ln2": "feed_forward_norm",
    "attn": "attention", "cross": "cross_attention",
    **{f"attn.{part}": f"attention.{part}" for part in _ATTENTION},
    **{f"cross.{part}": f"cross_attention.{part}" for part in _ATTENTION},
    "mlp.gate": "feed_forward.gate", "mlp.up": "feed_forward.up",
    "mlp.activation": "feed_forward.activation", "mlp.down": "feed_forward.down",
}
_ALONE = Family(stacks={"": ""}, block=_LAYER, norm_first=None)

#: Models of `lib`, by module and class.
OURS = {
    "lib.attention.MultiHeadAttention": Family(
        stacks={"": ""},
        block={"attn": "", **{f"attn.{part}": part for part in _ATTENTION}},
    ),
    "lib.layers.EncoderLayer": _ALONE,
    "lib.layers.DecoderLayer": _ALONE,
    "lib.transformer.Transformer": Family(
        stacks={"encoder": "encoder", "decoder": "decoder"},
        embeddings=(("embed", "token"),),
        last={"encoder.ln_final": "encoder_norm", "decoder.ln_final": "decoder_norm"},
        block=_LAYER,
        norm_first=None,
    ),
    "lib.decoder.DecoderLM": Family(
        stacks={"": "blocks"},
        embeddings=(("embed", "token"), ("pos_embed", "position")),
        last={"ln_final": "norm"},
        block=_LAYER,
    ),
}


@dataclass(frozen=True)
class Block:
    """One block: the name in front of its tensors, itself, and its parts by name."""

    name: str
    module: nn.Module
    parts: Mapping[str, nn.Module]
    norm_first: bool

    @property
    def attentions(self) -> list[str]:
        """`attn`, and `cross` where there is one."""
        return [kind for kind in ("attn", "cross") if kind in self.parts]


@dataclass(frozen=True)
class Layout:
    """A model taken apart: blocks by stack, embeddings, and what comes last."""

    stacks: Mapping[str, list[Block]]
    embeddings: list[tuple[str, nn.Module]]
    last: Mapping[str, nn.Module]

    @property
    def blocks(self) -> list[Block]:
        """All blocks, encoder before decoder."""
        return [block for stack in self.stacks.values() for block in stack]


def unwrap(model: nn.Module) -> nn.Module:
    """Take off what data parallelism wraps around a model.

    >>> inner = nn.Linear(1, 1)
    >>> unwrap(nn.DataParallel(inner)) is inner
    True
    """
    while isinstance(getattr(model, "module", None), nn.Module):
        model = model.module
    return model


def layout(model: nn.Module) -> Layout:
    """Find the parts of a model by the description of its family.

    Raises
    ------
    TypeError
        If the family is not described here, or the model lacks its blocks.
    """
    model = unwrap(model)
    family, root = _family(model)
    stacks = {}
    for stack, path in family.stacks.items():
        found = _at(root, path)
        if isinstance(found, nn.ModuleList):
            stacks[stack] = [_block(family, join(stack, f"blocks.{i}"), block)
                             for i, block in enumerate(found)]
        elif found is not None:  # a layer alone
            stacks[stack] = [_block(family, "", found)]
    if not stacks:
        raise TypeError(
            f"a {type(model).__name__} has no blocks to trace; pass the whole model "
            "that it is a part of."
        )
    embeddings = {}  # by module: encoder and decoder often share one
    for name, path in family.embeddings:
        if (module := _at(root, path)) is not None:
            embeddings[id(module)] = name, module
    last = {name: _at(root, path) for name, path in (family.last or {}).items()}
    last = {name: module for name, module in last.items()
            if module is not None and not isinstance(module, nn.Identity)}
    return Layout(stacks, list(embeddings.values()), last)


def _family(model: nn.Module) -> tuple[Family, nn.Module]:
    """The description of a model and the module in which its paths begin."""
    for kind in type(model).__mro__:
        if own := OURS.get(f"{kind.__module__}.{kind.__qualname__}"):
            return own, model
    name = getattr(getattr(model, "config", None), "model_type", None)
    if name not in FAMILIES:
        raise TypeError(
            f"a {type(model).__name__} of family {name!r} cannot be traced; pass a "
            f"transformers model of the family {', '.join(FAMILIES)}, or of lib "
            f"{', '.join(own.rsplit('.', 1)[1] for own in OURS)}."
        )
    if getattr(model.config, "reorder_and_upcast_attn", False):
        raise TypeError(
            "a GPT-2 with reorder_and_upcast_attn computes its attention in another "
            "order and cannot be traced; set config.reorder_and_upcast_attn = False."
        )
    return FAMILIES[name], getattr(model, model.base_model_prefix, model)


def _block(family: Family, name: str, module: nn.Module) -> Block:
    parts = {part: _at(module, path) for part, path in family.block.items()}
    parts = {part: found for part, found in parts.items() if found is not None}
    if parts.get("mlp.activation") in ACTIVATIONS:  # ours go by name
        parts["mlp.activation"] = ACTIVATIONS[parts["mlp.activation"]]
    first = family.norm_first
    return Block(name, module, parts, module.norm_first if first is None else first)


def _at(module: nn.Module | None, path: str):
    for part in path.split(".") if path else ():
        module = getattr(module, part, None)
    return module


def join(*parts: str) -> str:
    """Put the parts of a name together, leaving out empty ones.

    >>> join("", "blocks.3", "attn.q"), join("", "", "attn.q")
    ('blocks.3.attn.q', 'attn.q')
    """
    return ".".join(part for part in parts if part)


def heads_of(attention: nn.Module) -> tuple[int, int]:
    """Size of a head, and how many query heads share one key/value head."""
    for name in ("head_dim", "attention_head_size", "d_head"):
        if (d_head := getattr(attention, name, None)) is not None:
            break
    groups = getattr(attention, "num_key_value_groups", None)
    if groups is None and hasattr(attention, "n_kv_heads"):
        groups = attention.n_heads // attention.n_kv_heads
    return d_head, groups or 1
