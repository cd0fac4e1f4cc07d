"""Our Transformer and a model of transformers: one model under two sets of names.

Marian is ours as the paper has it, Pegasus is ours with `norm_first`.

One thing is arranged differently. Our positions have sine and cosine in turn,
`sin cos sin cos …`; theirs have all sines, then all cosines. So channel `j` of their
hidden states is our channel `order[j]`, and each matrix that reads or writes hidden
states has its rows or columns in that order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from lib.attention.huggingface import ACTIVATIONS, FAMILIES, build_model
from lib.attention.transformer import Transformer, TransformerConfig

#: Families that are ours under other names.
TWINS = ("marian", "pegasus")
#: Our name of a part of a layer, theirs, and the axis of its weight along `d_model`.
_ATTENTION = (("query", "q_proj", 1), ("key", "k_proj", 1), ("value", "v_proj", 1),
              ("output", "out_proj", 0))
_PARTS = (
    *((f"attention.{ours}", f"self_attn.{theirs}", axis)
      for ours, theirs, axis in _ATTENTION),
    ("attention_norm", "self_attn_layer_norm", 0),
    ("feed_forward.up", "fc1", 1), ("feed_forward.down", "fc2", 0),
    ("feed_forward_norm", "final_layer_norm", 0),
)
_CROSS = (
    *((f"cross_attention.{ours}", f"encoder_attn.{theirs}", axis)
      for ours, theirs, axis in _ATTENTION),
    ("cross_norm", "encoder_attn_layer_norm", 0),
)


@dataclass(frozen=True)
class Name:
    """One parameter under both names, and its axis along the hidden states."""

    ours: str
    theirs: str
    axis: int | None  # None: a bias that the order does not touch


def names(config: TransformerConfig) -> list[Name]:
    """Give every parameter of our model its name in theirs.

    >>> small = TransformerConfig(vocab=9, d_model=8, n_heads=2, n_layers=1)
    >>> name = names(small)[1]
    >>> name.ours, name.theirs
    ('encoder.0.attention.query.weight',
     'model.encoder.layers.0.self_attn.q_proj.weight')
    """
    pairs = [Name("token.weight", "model.shared.weight", 1)]
    for side, parts in (("encoder", _PARTS), ("decoder", _PARTS + _CROSS)):
        for layer in range(config.n_layers):
            for ours, theirs, axis in parts:
                here, there = f"{side}.{layer}.{ours}", f"model.{side}.layers.{layer}"
                # a bias lies along what the matrix writes: d_model only for axis 0
                pairs += [
                    Name(f"{here}.weight", f"{there}.{theirs}.weight", axis),
                    Name(f"{here}.bias", f"{there}.{theirs}.bias",
                         0 if axis == 0 else None),
                ]
        if config.norm_first:
            pairs += [Name(f"{side}_norm.{kind}", f"model.{side}.layer_norm.{kind}", 0)
                      for kind in ("weight", "bias")]
    return pairs


def order(d_model: int) -> Int[Tensor, " d_model"]:
    """Our channel for each of theirs: the even ones, then the odd ones.

    >>> order(6).tolist()
    [0, 2, 4, 1, 3, 5]
    """
    return torch.cat((torch.arange(0, d_model, 2), torch.arange(1, d_model, 2)))


@torch.no_grad()
def to_transformers(ours: Transformer) -> PreTrainedModel:
    """Make the model of transformers that computes what `ours` computes."""
    theirs = build_model(ours.config)
    cast(nn.Module, theirs).to(ours.token.weight)  # its own `to` is typed wrongly
    places = {name.ours: (name.theirs, name.axis) for name in names(ours.config)}
    _copy(ours, theirs, places, order(ours.config.d_model))
    return theirs.train(ours.training)


@torch.no_grad()
def from_transformers(theirs: PreTrainedModel) -> Transformer:
    """Make the Transformer that computes what `theirs` computes: chapter 04's code.

    Raises ValueError, with the setting, if `theirs` has what ours has not, or is of
    another family or class.
    """
    config: Any = getattr(theirs, "config", None)
    family = getattr(config, "model_type", None)
    if family not in TWINS or not isinstance(theirs, FAMILIES[family][1]):
        raise ValueError(
            f"a {type(theirs).__name__} of the family {family} is not ours under other "
            f"names; use a {' or '.join(FAMILIES[twin][1].__name__ for twin in TWINS)}."
        )
    known = {name: ours for ours, name in ACTIVATIONS.items()}
    bias = theirs.get_buffer("final_logits_bias")
    wanted = {
        "scale_embedding": True, "tie_word_embeddings": True,
        "share_encoder_decoder_embeddings": True,
        "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0,
        # one of each for all places
        "attention_dropout": config.dropout, "activation_dropout": config.dropout,
        **{f"decoder_{size}": getattr(config, f"encoder_{size}")
           for size in ("layers", "ffn_dim", "attention_heads")},
    }
    for setting, value in wanted.items():
        if (own := getattr(config, setting, value)) != value:
            raise ValueError(
                f"the model has {setting} = {own!r}, where ours has {value!r}; build "
                "one with lib.attention.huggingface.build_model."
            )
    if config.activation_function not in known or bias.any():
        raise ValueError(
            f"the model has activation_function = {config.activation_function!r} and "
            f"our Transformer {', '.join(known)}, and no bias on the logits; build one "
            "with lib.attention.huggingface.build_model."
        )
    d_ff = config.encoder_ffn_dim
    ours = Transformer(TransformerConfig(
        vocab=config.vocab_size, d_model=config.d_model,
        n_heads=config.encoder_attention_heads, n_layers=config.encoder_layers,
        max_length=config.max_position_embeddings,
        d_ff=None if d_ff == 4 * config.d_model else d_ff,
        norm_first=family == "pegasus",
        dropout=config.dropout, activation=known[config.activation_function],
        pad=config.pad_token_id, bos=config.decoder_start_token_id,
        eos=config.eos_token_id,
    )).to(theirs.lm_head.weight)
    places = {name.theirs: (name.ours, name.axis) for name in names(ours.config)}
    _copy(theirs, ours, places, order(config.d_model).argsort())
    return ours.train(theirs.training)


def _copy(
    source: nn.Module, target: nn.Module, places: Mapping[str, tuple[str, int | None]],
    channels: Int[Tensor, " d_model"],
) -> None:
    """Copy weights to their names in `places`, channels along the axis in order."""
    parameters = dict(target.named_parameters())
    for name, weight in source.named_parameters():
        if name in places:
            place, axis = places[name]
            if axis is not None:
                weight = weight.index_select(axis, channels.to(weight.device))
            parameters[place].copy_(weight)
