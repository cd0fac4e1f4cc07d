"""A model taken apart by the description of its family: blocks, parts, embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from lib.attention.dot_product import MultiHeadAttention
from lib.attention.layers import ACTIVATIONS
from lib.trace.families import FAMILIES, OURS, Family


@dataclass(frozen=True)
class Block:
    """One block: the name in front of its tensors, itself, and its parts by name.

    A part is a module, or a function where the activation is one. The flags are those
    of `Family`; `softcap` is the cap, `rotary` the name in front of `cos` and `sin`.
    """

    name: str
    module: nn.Module
    parts: Mapping[str, Any]
    norm_first: bool
    parallel: bool = False
    softcap: float | None = None
    position_bias: bool = False
    rotary: str = "rotary"
    heads_first: bool = False

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
    """Take off what data parallelism wraps around a model."""
    while isinstance(inner := getattr(model, "module", None), nn.Module):
        model = inner
    return model


def layout(model: nn.Module) -> Layout:
    """Find the parts of a model by the description of its family. Raises TypeError if
    the family is not described, or the model lacks its blocks."""
    model = unwrap(model)
    family, root = _family(model)
    stacks = {}
    for stack, path in family.stacks.items():
        blocks = _at(root, path)
        if isinstance(blocks, nn.ModuleList):
            stacks[stack] = [_block(family, join(stack, f"blocks.{i}"), block)
                             for i, block in enumerate(blocks)]
        elif blocks is not None:  # a layer alone
            stacks[stack] = [_block(family, "", blocks)]
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
            f"{', '.join(own.rsplit('.', 1)[1] for own in OURS)}, or describe the "
            "family: see 'Add a model family' at the top of lib/trace/families.py."
        )
    if any(getattr(part, "reorder_and_upcast_attn", False) for part in model.modules()):
        raise TypeError(
            "a GPT-2 with reorder_and_upcast_attn computes its attention in another "
            "order and cannot be traced; load it with reorder_and_upcast_attn=False."
        )
    return FAMILIES[name], getattr(model, cast(str, model.base_model_prefix), model)


def _block(family: Family, name: str, module: nn.Module) -> Block:
    parts = {part: there for part, path in family.block.items()
             if (there := _at(module, path)) is not None}
    if "cross" not in parts:  # a block of T5 counts its parts: no ln2 for ln_cross
        parts.pop("ln_cross", None)
    if parts.get("mlp.activation") in ACTIVATIONS:  # ours go by name
        parts["mlp.activation"] = ACTIVATIONS[parts["mlp.activation"]]
    first, attention = family.norm_first, parts["attn"]
    kind = f".{attention.layer_type}" if family.rotary_by_type else ""
    return Block(
        name, module, parts,
        norm_first=cast(bool, module.norm_first) if first is None else first,
        parallel=bool(family.parallel) and getattr(module, family.parallel),
        softcap=getattr(attention, family.softcap) if family.softcap else None,
        position_bias=family.position_bias, rotary=f"rotary{kind}",
        heads_first=family.heads_first,
    )


def _at(module: Any, path: str) -> Any:
    """The part at a path: `-1` is the last of a list, `a|b` the first that is there."""
    for step in path.split(".") if path else ():
        names = [str(len(module) - 1)] if step == "-1" else step.split("|")
        module = next((getattr(module, name) for name in names
                       if hasattr(module, name)), None)
    return module


def join(*parts: str) -> str:
    """Put the parts of a name together, leaving out empty ones.

    >>> join("", "blocks.3", "attn.q"), join("", "", "attn.q")
    ('blocks.3.attn.q', 'attn.q')
    """
    return ".".join(part for part in parts if part)


def heads_of(attention: nn.Module) -> tuple[int, int]:
    """Size of a head, and how many query heads share one key/value head. Raises
    TypeError if the attention tells no size under a name that is known."""
    if isinstance(attention, MultiHeadAttention):
        return attention.d_head, attention.n_heads // attention.n_kv_heads
    names = ("head_dim", "attention_head_size", "head_size", "key_value_proj_dim")
    d_head = next((size for name in names
                   if (size := getattr(attention, name, None)) is not None), None)
    if d_head is None:
        raise TypeError(
            f"a {type(attention).__name__} tells no size of its heads; it wants one of "
            f"{', '.join(names)}: see 'Add a model family' in lib/trace/families.py."
        )
    return d_head, getattr(attention, "num_key_value_groups", None) or 1
