r"""Learn little, cheaply: some rows of the tables, and thin additions to the matrices.

The matrices of the model stand still. Each of those inside its layers is given an
addition of low rank (LoRA, Hu et al. 2021, section 4.1),

$$ y = x W + s\, x A B , \qquad A \in \mathbb R^{d \times r},
   B \in \mathbb R^{r \times d'}, \quad B = 0 \text{ at first,} $$

so that no gradient of a matrix is made, no average of one is kept, and the model
cannot go far from what it was. `peft` does it, and the rows beside.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn

__all__ = ["ROWS", "light"]

#: What the names of the parameters hold that are rows of a table.
ROWS = "trainable_tokens_delta"
#: $s$, how much an addition counts.
SCALE = 2


@contextmanager
def light(
    model: nn.Module, ids: Sequence[int], *, rank: int = 0, seed: int = 0
) -> Iterator[Any]:
    """The model with rows and additions that learn, for the block; then they are in it.

    ids: the rows of the input table, and of an output table of its own, that learn.
    rank: $r$ of the additions; 0: rows alone. seed: of $A$, whose numbers are normal
    with variance 1/d.

    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=9, hidden_size=8, intermediate_size=8,
    ...                      num_hidden_layers=1, num_attention_heads=2)
    >>> with light(LlamaForCausalLM(config), [3, 5], rank=2) as learner:
    ...     sorted({(*p.shape,) for p in learner.parameters() if p.requires_grad})
    [(2, 8), (8, 2)]
    """
    import peft  # slow to import
    from transformers.pytorch_utils import Conv1D

    theirs = cast(Any, model)
    names = {module: name for name, module in model.named_modules()}
    tables = {names[module]: list(ids) for module in
              (theirs.get_input_embeddings(), theirs.get_output_embeddings())}
    if theirs.config.tie_word_embeddings:
        tables.popitem()  # the head, which follows
    before = {p: p.requires_grad for p in model.parameters()}
    if rank:
        config: Any = peft.LoraConfig(
            r=rank, lora_alpha=SCALE * rank, target_modules="all-linear",
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in names),
            trainable_token_indices=tables, task_type="CAUSAL_LM")
    else:
        config = peft.TrainableTokensConfig(
            target_modules=list(tables), token_indices=list(ids), task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5 by an old name, and the head does follow
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing", FutureWarning)
        warnings.filterwarnings("ignore", "Model has .tie_word_embeddings", UserWarning)
        learner = peft.get_peft_model(cast(Any, model), config)
    draw = torch.Generator().manual_seed(seed)
    for name, A in learner.named_parameters():
        if "lora_A" in name:
            wide = torch.randn(*A.shape[::-1], generator=draw) / A.shape[1] ** 0.5
            A.data.copy_(wide.T)
    try:
        yield learner
    finally:
        learner.merge_and_unload()
        for parameter, learned in before.items():
            parameter.requires_grad_(learned)
