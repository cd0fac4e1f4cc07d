"""The translator of chapter 05 as data: what a program in another language needs.

The page computes with it (`book/live/translator`): the sizes, the tokenizer as a list
and its merges, values set aside, and for each checkpoint every parameter in half
precision. The model that those halves make is an exact one of its own: `rounded` loads
it back, for whoever compares.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from lib.attention.transformer import Transformer, TransformerConfig
from lib.attention.translation import SPECIAL, Pair


def reader(config: TransformerConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """Sizes and tokenizer: the token of each id, the merges in order, special ids.

    >>> from lib.attention.translation import build_tokenizer
    >>> tokenizer = build_tokenizer()
    >>> parts = reader(TransformerConfig(tokenizer.get_vocab_size()), tokenizer)
    >>> parts["special"]["<eos>"], parts["vocabulary"][2], parts["merges"][0]
    (2, '<eos>', ['b', 'e'])
    """
    if config.activation != "relu":
        raise ValueError(f"activation {config.activation!r} cannot be exported; the "
                         "page computes relu.")
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = sorted(model["vocab"], key=model["vocab"].__getitem__)
    merges = [pair.split(" ") if isinstance(pair, str) else pair
              for pair in model["merges"]]
    return {"config": asdict(config), "vocabulary": vocabulary, "merges": merges,
            "special": {token: i for i, token in enumerate(SPECIAL)}}


def halves(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of a checkpoint in 16 bits, under their own names."""
    return {name: weight.detach().half() for name, weight in state.items()}


def rounded(config: TransformerConfig, state: Mapping[str, Tensor]) -> Transformer:
    """The model that the halves make, in 32 bits: what the page computes with."""
    model = Transformer(config)
    model.load_state_dict({name: w.float() for name, w in halves(state).items()})
    return model.eval()


def samples(pairs: Sequence[Pair]) -> list[list[str]]:
    """Source, target and direction of each pair."""
    return [[pair.source, pair.target, pair.direction] for pair in pairs]
