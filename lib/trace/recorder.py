"""Record what a model computes inside, under a name for each tensor.

Works for the models of `transformers` and of `lib` that `lib.trace.families` names; it
says how to add a family. The names follow TransformerLens without its `hook_`. For
block 3:

| name | shape | what |
|---|---|---|
| `blocks.3.resid_pre` | batch, seq, d_model | what enters the block |
| `blocks.3.ln1` | batch, seq, d_model | after the norm of the attention |
| `blocks.3.attn.q` | batch, head, query, d_head | queries, as projected |
| `blocks.3.attn.k`, `.v` | batch, kv_head, key, d_head | keys, values |
| `blocks.3.attn.q_norm`, `.k_norm` | as `q`, `k` | normed, where the model norms them |
| `blocks.3.attn.rot_q`, `.rot_k` | as `q`, `k` | rotated, where the model rotates |
| `blocks.3.attn.position_bias` | 1, head, query, key | added to the logits (T5) |
| `blocks.3.attn.scores` | batch, head, query, key | logits, capped and masked |
| `blocks.3.attn.pattern` | batch, head, query, key | weights |
| `blocks.3.attn.dropped` | batch, head, query, key | weights after dropout (training) |
| `blocks.3.attn.z` | batch, head, query, d_head | weights times values |
| `blocks.3.attn_out` | batch, seq, d_model | after the output projection |
| `blocks.3.resid_mid` | batch, seq, d_model | the stream plus `attn_out` |
| `blocks.3.ln2` | batch, seq, d_model | after the norm of the feed-forward |
| `blocks.3.mlp.pre`, `.post` | batch, seq, d_ff | before, after the activation |
| `blocks.3.mlp.pre_linear` | batch, seq, d_ff | the other factor, where gated |
| `blocks.3.mlp_out` | batch, seq, d_model | after the down projection |
| `blocks.3.resid_post` | batch, seq, d_model | the stream plus `mlp_out` |

A model with two stacks writes `encoder.blocks.3…` and `decoder.blocks.3…`; the
decoder has besides `cross.q`, `cross.k`, … `cross_out`, `ln_cross` and `resid_cross`
(the stream plus `cross_out`). A layer alone has no `blocks.3.` in front.

Outside the blocks: `embed`, `pos_embed` (where a module makes it), `ln_final`,
`rotary.cos`, `rotary.sin` (Gemma 3 has `rotary.sliding_attention.cos` and
`rotary.full_attention.cos`).

Where the norm stands after the sum (BERT, Marian, BART, the paper), `resid_mid` goes
into `ln1`, `resid_post` into `ln2`, and `ln2` is what leaves the block. Gemma norms
each part once more before it is added: `ln1_post` takes the place of `attn_out` in the
sum, `ln2_post` that of `mlp_out`. Where attention and feed-forward stand side by side
(GPT-NeoX), both read `resid_pre`, and `resid_post` is the sum of three. Sums hold
without dropout; in training each part is dropped out on its way into the stream.

With a cache of keys and values a record is of the last call: queries are the new
tokens, `v`, `pattern` and unrotated `k` are of all keys; of rotated keys `k` holds
the new ones and `rot_k` all. A layer with a sliding window caches what is in sight.

Modules give their inputs and outputs to forward hooks. What happens between two
modules (the rotation, the logits, the softmax) is seen by a `TorchFunctionMode`,
which looks at the calls of `matmul` and `softmax` and changes none of their values.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lib.attention.dot_product import MultiHeadAttention
from lib.attention.heads import merge_heads
from lib.trace.layout import Block, heads_of, join, layout, unwrap
from lib.trace.record import Trace


class trace:
    """Record, by name, what a model computes while the block is open.

    >>> layer = MultiHeadAttention(8, n_heads=2)
    >>> with trace(layer) as traced:
    ...     output = layer(torch.zeros(1, 3, 8))
    >>> traced["attn.pattern"].shape
    torch.Size([1, 2, 3, 3])

    Inside the block the model computes its weights in the open (`eager` attention of
    `transformers`, `form="reference"` of ours); on leaving, its own form is back and
    no hook remains. A second call of the model replaces what the first recorded.

    names: what to keep, patterns such as `("*.attn.pattern", "embed")`; memory goes
    with it. detach=False leaves the tensors in the autograd graph, so that
    `torch.autograd.grad` can ask for gradients with respect to them. With gradients,
    `traced.grad[name]` holds them after `backward()`, called inside the block or after.
    Raises TypeError for a family whose parts have no names here, and on leaving
    ValueError if the model ran and nothing fitted `names`.
    """

    def __init__(
        self, model: nn.Module, names: str | Sequence[str] | None = None,
        detach: bool = True, gradients: bool = False,
    ) -> None:
        self.model = unwrap(model)
        self.layout = layout(model)
        self.names = (names,) if isinstance(names, str) else names
        self.detach, self.gradients = detach, gradients
        self._handles: list = []
        self._own_forms: list = []
        self._embedded: dict[str, Tensor] = {}

    def __enter__(self) -> Trace:
        self.trace = Trace(self.layout)
        self._between = _BetweenModules(self._keep, self._linked)
        try:
            self._open_forms()
            self._attach()
            self._between.__enter__()
        except BaseException:
            self._detach_all()
            raise
        return self.trace

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        record = self.trace
        self._between.__exit__(kind, *error)
        self._detach_all()
        if kind is None and record.computed and not record:
            near = record.near(*self.names or ())
            raise ValueError(f"no tensor fits names={self.names!r}; {near}.")

    @property
    def _linked(self) -> bool:
        """Whether the graph must go through what is kept."""
        return self.gradients or not self.detach

    def _open_forms(self) -> None:
        """Let the model compute its weights in the open; remember its own form."""
        for module in self.model.modules():
            if isinstance(module, MultiHeadAttention):
                self._own_forms.append((module, module.form))
                module.form = "reference"
        if not hasattr(self.model, "set_attn_implementation"):
            return
        model = cast(Any, self.model)  # of transformers
        form = model.config._attn_implementation
        if form != "eager":
            self._own_forms.append((model, form))
            model.set_attn_implementation("eager")

    def _detach_all(self) -> None:
        for handle in self._handles:
            handle.remove()
        for module, form in self._own_forms:
            if isinstance(module, MultiHeadAttention):
                module.form = form
            else:
                module.set_attn_implementation(form)
        self._handles.clear()
        self._own_forms.clear()
        self._embedded.clear()
        del self.trace, self._between

    def _keep(self, name: str, tensor: Tensor) -> None:
        # checkpointing runs blocks a second time, inside backward
        if torch._C._current_graph_task_id() != -1:
            return
        self.trace.computed.add(name)
        if self.names is None or any(fnmatchcase(name, p) for p in self.names):
            self.trace.keep(name, tensor, self.detach, self.gradients)

    def _attach(self) -> None:
        for name, module in self.layout.embeddings:
            self._handles.append(module.register_forward_hook(self._embeds(name)))
        for stack, blocks in self.layout.stacks.items():
            if self.layout.embeddings:
                first = blocks[0].module.register_forward_pre_hook(self._begins(stack))
                self._handles.append(first)
            for block in blocks:
                self._attach_block(block)
        for name, module in self.layout.last.items():
            self._on_output("", module, name)

    def _attach_block(self, block: Block) -> None:
        parts = block.parts
        on_input = partial(self._on_input, block.name)
        on_output = partial(self._on_output, block.name)
        for kind in block.attentions:
            self._watch(block, kind, join(block.name, kind))
            on_output(parts[f"{kind}.output"], f"{kind}_out")
        if "mlp.down" not in parts:  # attention alone
            return
        on_input(block.module, "resid_pre")
        norms = [norm for norm in ("ln1", "ln_cross", "ln2") if norm in parts]
        sums = {"ln1": "resid_mid", "ln_cross": "resid_cross", "ln2": "resid_post"}
        if block.norm_first:  # a norm reads the sum before it
            on_output(block.module, "resid_post")
            sums = {after: sums[norm] for norm, after in pairwise(norms)}
        if block.parallel:  # every norm reads resid_pre
            sums = {}
        for norm in (*norms, "ln1_post", "ln2_post"):
            if norm in sums:
                on_input(parts[norm], sums[norm])
            if norm in parts:
                on_output(parts[norm], norm)
        gated = "mlp.gate" in parts
        if gated:
            on_output(parts["mlp.gate"], "mlp.pre")
        on_output(parts["mlp.up"], "mlp.pre_linear" if gated else "mlp.pre")
        on_input(parts["mlp.down"], "mlp.post")
        on_output(parts["mlp.down"], "mlp_out")

    def _on_input(self, block: str, module: nn.Module, part: str) -> None:
        def hook(_: nn.Module, args: tuple, kwargs: dict) -> None:
            x = args[0] if args else kwargs.get("hidden_states", kwargs.get("x"))
            self._keep(join(block, part), cast(Tensor, x))

        self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def _on_output(self, block: str, module: nn.Module, part: str) -> None:
        def hook(_: nn.Module, args: tuple, output: Tensor | tuple) -> None:
            output = output[0] if isinstance(output, tuple) else output
            self._keep(join(block, part), output)

        self._handles.append(module.register_forward_hook(hook))

    def _embeds(self, name: str):
        """An embedding may be shared: its name is known when a stack begins."""
        def hook(_: nn.Module, args: tuple, output: Tensor) -> None:
            self._embedded[name] = output

        return hook

    def _begins(self, stack: str):
        def hook(_: nn.Module, args: tuple) -> None:
            while self._embedded:
                name, tensor = self._embedded.popitem()
                self._keep(join(stack, name), tensor)

        return hook

    def _watch(self, block: Block, kind: str, name: str) -> None:
        """Tell the function mode when this attention module begins and ends."""
        attention = block.parts[kind]
        d_head, groups = heads_of(attention)

        def begin(_: nn.Module, args: tuple, kwargs: dict) -> None:
            angles = kwargs.get("position_embeddings", kwargs.get("rotary"))
            if angles is None and isinstance(attention, MultiHeadAttention):
                angles = args[3] if len(args) > 3 else None
            if angles is not None:
                self._keep(f"{block.rotary}.cos", angles[0])
                self._keep(f"{block.rotary}.sin", angles[1])
            self._between.open(name, groups, rotated=angles is not None)

        def end(_: nn.Module, args: tuple, output: Any) -> None:
            self._between.close()
            if block.position_bias and kind == "attn" and output is not None:
                self._keep(f"{name}.position_bias", output[1])

        def project(part: str):
            def hook(_: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
                if not self._between.rotated:
                    return None
                batch, seq, width = output.shape
                kept = output.view(batch, seq, width // d_head, d_head).transpose(1, 2)
                self._keep(f"{name}.{part}", kept)
                # the graph goes through what is kept only if the model uses just that
                return merge_heads(kept) if self._linked else None

            return hook

        def project_by_head(_: nn.Module, args: tuple, output: Tensor):
            """GPT-NeoX: one head after the other, each with its q, k and v."""
            heads = output.unflatten(-1, (-1, 3 * d_head)).transpose(1, 2)
            kept = heads.chunk(3, dim=-1)
            self._keep(f"{name}.q", kept[0])
            self._keep(f"{name}.k", kept[1])
            return merge_heads(torch.cat(kept, dim=-1)) if self._linked else None

        def normed(part: str):
            def hook(_: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
                kept = output if block.heads_first else output.transpose(1, 2)
                self._keep(f"{name}.{part}_norm", kept)
                if not self._linked or block.heads_first:
                    return None
                return kept.transpose(1, 2)

            return hook

        add = self._handles.append
        add(attention.register_forward_pre_hook(begin, with_kwargs=True))
        add(attention.register_forward_hook(end, always_call=True))
        if (module := block.parts.get(f"{kind}.qkv_by_head")) is not None:
            add(module.register_forward_hook(project_by_head))
        for part, path in (("q", "query"), ("k", "key")):
            if (module := block.parts.get(f"{kind}.{path}")) is not None:
                add(module.register_forward_hook(project(part)))
            if (module := block.parts.get(f"{kind}.{path}_norm")) is not None:
                add(module.register_forward_hook(normed(part)))


MATMUL = {torch.matmul, Tensor.matmul, Tensor.__matmul__}
SOFTMAX = {torch.softmax, Tensor.softmax, nn.functional.softmax}


class _BetweenModules(TorchFunctionMode):
    """See logits, weights and mixed values of the attention that is running.

    The product before the softmax is that of queries and keys, the one after it that
    of weights and values.
    """

    def __init__(self, keep, linked: bool) -> None:
        super().__init__()
        self.keep = keep
        self.linked = linked
        self.close()

    def open(self, name: str, groups: int, rotated: bool) -> None:
        self.name, self.groups, self.rotated = name, groups, rotated
        self.step = "logits"

    def close(self) -> None:
        self.name = self.weights = None
        self.rotated = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.name is None:
            return func(*args, **kwargs)
        if func in MATMUL and self.step == "logits":
            return self._logits(func, *args)
        if func in MATMUL and self.step == "weights":
            return self._mix(func, *args)
        output = func(*args, **kwargs)
        if func in SOFTMAX:
            self.step, self.weights = "weights", output
            self.keep(f"{self.name}.scores", args[0])
            self.keep(f"{self.name}.pattern", output)
        elif func is Tensor.masked_fill and args[0] is self.weights:
            self.weights = output
            self.keep(f"{self.name}.pattern", output)
        elif func is nn.functional.dropout and self.step == "weights":
            given = dict(zip(("p", "training"), args[1:], strict=False)) | kwargs
            if given.get("p", 0.5) and given.get("training", True):
                self.keep(f"{self.name}.dropped", output)
        return output

    def _logits(self, func, query: Tensor, key: Tensor) -> Tensor:
        key, used = self._ungroup(key.mT)
        turned = "rot_" if self.rotated else ""
        self.keep(f"{self.name}.{turned}q", query)
        self.keep(f"{self.name}.{turned}k", key)
        self.step = "softmax"
        return func(query, used.mT)

    def _mix(self, func, weights: Tensor, value: Tensor) -> Tensor:
        value, used = self._ungroup(value)
        self.keep(f"{self.name}.v", value)
        output = func(weights, used)
        self.keep(f"{self.name}.z", output)
        self.step, self.weights = "done", None
        return output

    def _ungroup(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Each key/value head once; and the same repeated, through the first if the
        graph must go through what is kept."""
        once = x[:, :: self.groups] if self.groups > 1 else x
        if not self.linked or self.groups == 1:
            return once, x
        return once, once.repeat_interleave(self.groups, dim=1)
