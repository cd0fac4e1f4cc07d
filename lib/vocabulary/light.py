r"""Learn little, cheaply: some rows at a rate of their own, and thin additions.

The matrices of the model stand still. Each of those inside its layers is given an
addition of low rank (LoRA, Hu et al. 2021, section 4.1),

$$ y = x W + s\, x A B , \qquad A \in \mathbb R^{d \times r},
   B \in \mathbb R^{r \times d'}, \quad B = 0 \text{ at first,} $$

so that no gradient of a matrix is made, no average of one is kept, and the model
cannot go far from what it was. Some rows of the tables learn beside, faster: Adam moves
each number by about its rate, so rows written as $e + f z$ move $f$ times as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["Light", "matrices"]


def matrices(model: nn.Module) -> dict[str, nn.Module]:
    """The modules of a `transformers` model that multiply by a matrix, but the head.

    Both kinds: `nn.Linear`, and the one of GPT-2 that keeps its matrix transposed.
    """
    from transformers.pytorch_utils import Conv1D

    return {name: module for name, module in cast(Any, model).base_model.named_modules()
            if isinstance(module, nn.Linear | Conv1D)}


class Light(nn.Module):
    """A model of which only rows and thin additions learn; called as the model is.

    Parameters
    ----------
    model
        A causal model of `transformers`. Its parameters are frozen till `close`.
    ids
        The rows of the input table, and of an output table of its own, that learn.
    faster
        $f$: how many times the rate of the additions.
    rank
        $r$ of the additions; 0: rows alone.
    scale
        $s$.
    seed
        Of $A$, whose numbers are normal with variance 1/d.

    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=9, hidden_size=8, intermediate_size=8,
    ...                      num_hidden_layers=1, num_attention_heads=2)
    >>> light = Light(LlamaForCausalLM(config), [3, 5], rank=2)
    >>> sorted({tuple(p.shape) for p in light.parameters() if p.requires_grad})
    [(2, 8), (8, 2)]
    """

    def __init__(self, model: nn.Module, ids: Sequence[int], *, faster: float = 1.0,
                 rank: int = 0, scale: float = 2.0, seed: int = 0):
        super().__init__()
        self.model, self.faster, self.scale = model, faster, scale
        self._before = {p: p.requires_grad for p in model.parameters()}
        model.requires_grad_(False)
        theirs = cast(Any, model)
        tables = [theirs.get_input_embeddings().weight,
                  theirs.get_output_embeddings().weight]
        names = {id(p): name for name, p in model.named_parameters()}
        self.tables = {names[id(weight)]: weight for weight in tables}
        device = tables[0].device
        self.register_buffer("ids", torch.tensor(list(ids), device=device),
                             persistent=False)
        self.first = [weight[self.ids].float() for weight in self.tables.values()]
        self.rows = nn.ParameterList(torch.zeros_like(rows) for rows in self.first)
        self.down, self.up = nn.ParameterList(), nn.ParameterList()
        self._hooks: list[Any] = []
        self._modules_added = list(matrices(model).values()) if rank else []
        generator = torch.Generator().manual_seed(seed)
        for module in self._modules_added:
            into, out = _shape(module)
            down = torch.randn(into, rank, generator=generator) / into ** 0.5
            self.down.append(down.to(device))
            self.up.append(torch.zeros(rank, out, device=device))
            self._hooks.append(module.register_forward_hook(
                _Addition(self.down[-1], self.up[-1], scale)))

    def forward(self, **given: Any) -> Any:
        """What the model returns, with the rows as they are now."""
        tables = {
            name: weight.index_copy(0, self.ids, rows.to(weight))
            for (name, weight), rows in zip(self.tables.items(), self.now(),
                                            strict=True)
        }
        return functional_call(self.model, tables, (), given, tie_weights=True)

    def now(self) -> list[Tensor]:
        """The rows as they are, one tensor (ids, width) for each table."""
        return [first + self.faster * rows
                for first, rows in zip(self.first, self.rows, strict=True)]

    @torch.no_grad()
    def write(self) -> None:
        """Put the rows into the model, so that it can be measured on the way."""
        for weight, rows in zip(self.tables.values(), self.now(), strict=True):
            weight[self.ids] = rows.to(weight)

    @torch.no_grad()
    def close(self) -> None:
        """Make all of it part of the model: rows, and the additions to the matrices."""
        self.write()
        for module, down, up in zip(self._modules_added, self.down, self.up,
                                    strict=True):
            added = self.scale * down @ up
            flip = isinstance(module, nn.Linear)
            module.weight += (added.T if flip else added).to(module.weight)
        for hook in self._hooks:
            hook.remove()
        for parameter, learned in self._before.items():
            parameter.requires_grad_(learned)


class _Addition:
    """What a forward hook adds: s x A B."""

    def __init__(self, down: Tensor, up: Tensor, scale: float):
        self.down, self.up, self.scale = down, up, scale

    def __call__(self, module: nn.Module, given: tuple, out: Tensor) -> Tensor:
        thin = F.linear(given[0], self.down.T.to(given[0]))
        return out + self.scale * F.linear(thin, self.up.T.to(thin))


def _shape(module: nn.Module) -> tuple[int, int]:
    """Width that goes in, and out."""
    into, out = cast(Tensor, module.weight).shape
    return (out, into) if isinstance(module, nn.Linear) else (into, out)
