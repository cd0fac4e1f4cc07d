"""What a trace holds: tensors, and their gradients, by name."""

import re
import weakref
from collections.abc import Hashable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from lib.trace.layout import Layout, join


class Record(Mapping[str, Tensor]):
    """Tensors by name: `record["blocks.3.attn.pattern"]`.

    A pair is short for a name inside a block, `record[3, "attn.pattern"]`, and with
    two stacks a triple is, `record["decoder", 3, "cross.pattern"]`. `blocks` has the
    names of the blocks of each stack, `{"": ["blocks.0", …]}` or with the keys
    `encoder` and `decoder`; `leaves` that of what leaves a block; `computed` those of
    all that the model computed.
    """

    def __init__(
        self, blocks: Mapping[str, list[str]], leaves: str, computed: set[str],
        tensors: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.blocks, self.leaves, self.computed = blocks, leaves, computed
        self._tensors: dict[str, Tensor] = dict(tensors or {})

    def __getitem__(self, name: Hashable) -> Tensor:
        if isinstance(name, tuple) and len(name) in (2, 3):
            *stack, layer, part = name
            if hasattr(layer, "__index__"):  # also the numbers of numpy and torch
                name = join(self._block(layer.__index__(), *stack), part)
        if not isinstance(name, str):
            raise KeyError(
                f"{name!r} is no name; use a text such as 'blocks.3.attn.q', or layer "
                "and part, as in traced[3, 'attn.q']."
            )
        if name not in self._tensors:
            raise KeyError(self._missing(name))
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        count = sum(map(len, self.blocks.values()))
        return f"{type(self).__name__}({len(self)} tensors of {count} blocks)"

    @property
    def n_layers(self) -> int:
        """Number of blocks of a model with one stack."""
        return len(self._stack())

    def stack(self, part: str, stack: str | None = None) -> Tensor:
        """Stack one tensor over all blocks: `(layer, …)`."""
        names = [join(block, part) for block in self._stack(stack)]
        return torch.stack([self[name] for name in names])

    def stream(self, stack: str | None = None) -> Tensor:
        """What enters each block and what leaves the last: `(layer + 1, …)`."""
        blocks = self._stack(stack)
        names = [join(block, "resid_pre") for block in blocks]
        names.append(join(blocks[-1], self.leaves))
        return torch.stack([self[name] for name in names])

    @property
    def attentions(self) -> list[str]:
        """Names of the attention layers of which weights were recorded."""
        names = [join(block, kind) for blocks in self.blocks.values()
                 for block in blocks for kind in ("attn", "cross")]
        return [name for name in names if f"{name}.pattern" in self._tensors]

    def only(self, *patterns: str) -> "Record":
        """A record of the tensors whose names fit one of the patterns."""
        return Record(self.blocks, self.leaves, self.computed, {
            name: tensor for name, tensor in self._tensors.items()
            if any(fnmatchcase(name, pattern) for pattern in patterns)
        })

    def near(self, *wanted: str) -> str:
        """Say which names are like these; else name some, as examples."""
        known = sorted(self.computed)
        like = [name for each in wanted for name in get_close_matches(each, known, 3)]
        if not like:
            last = {each.rsplit(".", 1)[-1] for each in wanted}
            like = [name for name in known if name.rsplit(".", 1)[-1] in last]
        if like:
            return f"names like it are {', '.join(dict.fromkeys(like[:3]))}"
        return f"names are, for example, {', '.join(known[:3])}"

    def _stack(self, stack: str | None = None) -> list[str]:
        known = list(self.blocks)
        if stack is None and len(known) > 1:
            raise ValueError(
                f"the model has the stacks {' and '.join(known)}; name one, as in "
                f"traced[{known[-1]!r}, 0, 'attn.pattern']."
            )
        stack = known[0] if stack is None else stack
        if stack not in known:
            advice = f"; use one of {', '.join(map(repr, known))}."
            if known == [""]:
                advice = (": the model has one; leave the stack out, as in "
                          "traced[0, 'attn.pattern'].")
            raise ValueError(f"stack {stack!r} is not there{advice}")
        return self.blocks[stack]

    def _block(self, layer: int, stack: str | None = None) -> str:
        blocks = self._stack(stack)
        if not -len(blocks) <= layer < len(blocks):
            raise IndexError(
                f"layer {layer} is not there; use a layer from 0 to {len(blocks) - 1}."
            )
        return blocks[layer]

    def _missing(self, name: str) -> str:
        if not self.computed:
            return f"{name!r} was not recorded; run the model inside the trace first."
        if name in self.computed:
            return (f"{name!r} was not recorded: the model computed it and it was not "
                    "asked for; let one of the names of the trace fit it.")
        if any(mark in name for mark in "*?["):
            return (f"{name!r} is a pattern, not a name; traced.only({name!r}) gives "
                    f"what fits it, and {self.near(name)}.")
        place = re.fullmatch(r"(?:(\w+)\.)?blocks\.(\d+)\..*", name)
        blocks = self.blocks.get(place[1] or "") if place else None
        if place and blocks and int(place[2]) >= len(blocks):
            return (f"{name!r} was not recorded: layer {place[2]} is not there; use a "
                    f"layer from 0 to {len(blocks) - 1}.")
        return (f"{name!r} was not recorded: the model computed nothing of this name; "
                f"{self.near(name)}.")


class _Gradients(Record):
    def _missing(self, name: str) -> str:
        if name in self.computed or not self.computed:
            return (f"{name!r} has no gradient; open trace(model, gradients=True), run "
                    "the model in it and call backward() on the loss.")
        return super()._missing(name)


class Trace(Record):
    """The recorded tensors by name; in `grad` their gradients after `backward()`, if
    the trace was opened with `gradients=True`."""

    def __init__(self, parts: Layout) -> None:
        blocks = {stack: [block.name for block in own]
                  for stack, own in parts.stacks.items()}
        leaves = "resid_post" if parts.blocks[-1].norm_first else "ln2"
        super().__init__(blocks, leaves, set())
        self.grad: Record = _Gradients(blocks, leaves, self.computed)
        self._latest: dict[str, int] = {}  # which call recorded a name last

    def keep(self, name: str, tensor: Tensor, detach: bool, gradient: bool) -> None:
        self._tensors[name] = tensor.detach() if detach else tensor
        if not (gradient and tensor.requires_grad):
            return
        call = self._latest[name] = self._latest.get(name, 0) + 1
        held = weakref.ref(self)  # the graph must not keep the record alive

        def arrive(gradient: Tensor) -> None:
            trace = held()
            if trace is not None and trace._latest[name] == call:
                trace.grad._tensors[name] = gradient.detach()

        tensor.register_hook(arrive)
