"""Record what a Hugging Face model computes inside, under a name for each tensor.

The names follow TransformerLens without its `hook_`. For block 3 of a Llama:

| name | shape | what |
|---|---|---|
| `blocks.3.resid_pre` | batch, seq, d_model | what enters the block |
| `blocks.3.ln1` | batch, seq, d_model | the same after RMSNorm |
| `blocks.3.attn.q` | batch, head, seq, d_head | queries, before rotary |
| `blocks.3.attn.k`, `.v` | batch, kv_head, seq, d_head | keys, values |
| `blocks.3.attn.rot_q`, `.rot_k` | as `q`, `k` | turned by their positions |
| `blocks.3.attn.scores` | batch, head, query, key | logits, masked |
| `blocks.3.attn.pattern` | batch, head, query, key | weights |
| `blocks.3.attn.z` | batch, head, query, d_head | weights times values |
| `blocks.3.attn_out` | batch, seq, d_model | after the output projection |
| `blocks.3.resid_mid` | batch, seq, d_model | after adding `attn_out` |
| `blocks.3.ln2`, `.mlp_out` | batch, seq, d_model | feed-forward, in and out |
| `blocks.3.mlp.pre`, `.post` | batch, seq, d_ff | gate before, product after SiLU |
| `blocks.3.resid_post` | batch, seq, d_model | what leaves the block |

Besides these: `embed`, `ln_final`, `rotary.cos`, `rotary.sin` (batch, seq, d_head).

Modules give their inputs and outputs to forward hooks. What happens between two
modules (the rotation, the logits, the softmax) is seen by a `TorchFunctionMode`,
which looks at the calls of `matmul` and `softmax` and changes none of them.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lib.attention import (
    apply_rotary,
    attention_logits,
    causal_mask,
    masked_softmax,
    merge_heads,
    repeat_kv,
    rotary_angles,
    split_heads,
)

FAMILIES = ("llama",)


class Trace(Mapping[str, Tensor]):
    """The recorded tensors, by name: `trace["blocks.3.attn.pattern"]`.

    A pair is short for a name inside a block: `trace[3, "attn.pattern"]`.
    `trace.stack("attn.pattern")` puts all blocks in front.
    """

    def __init__(self, n_layers: int) -> None:
        self.n_layers = n_layers
        self._tensors: dict[str, Tensor] = {}

    def __getitem__(self, name: str | tuple[int, str]) -> Tensor:
        if isinstance(name, tuple):
            layer, part = name
            if not -self.n_layers <= layer < self.n_layers:
                raise IndexError(
                    f"layer {layer} is not there; use a layer from 0 to "
                    f"{self.n_layers - 1}."
                )
            name = f"blocks.{layer % self.n_layers}.{part}"
        if name not in self._tensors:
            raise KeyError(self._missing(name))
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"Trace({len(self)} tensors of {self.n_layers} blocks)"

    def stack(self, part: str) -> Tensor:
        """Stack one tensor over all blocks: `(layer, …)`."""
        return torch.stack([self[layer, part] for layer in range(self.n_layers)])

    def _missing(self, name: str) -> str:
        if not self._tensors:
            return f"{name!r} was not recorded; run the model inside the trace first."
        last = name.rsplit(".", 1)[-1]
        near = [known for known in self if known.rsplit(".", 1)[-1] == last]
        some = ", ".join((near or list(self))[:3])
        return f"{name!r} was not recorded; the trace holds, for example, {some}."


class trace:
    """Record, by name, what a model computes while the block is open.

    >>> with trace(model) as traced:                          # doctest: +SKIP
    ...     model(**inputs)
    >>> traced[3, "attn.pattern"].shape                       # doctest: +SKIP
    torch.Size([1, 9, 24, 24])

    Inside the block the model runs with `eager` attention, the form that computes
    the weights; on leaving, its own form is back and no hook remains. A second
    call of the model replaces what the first recorded.

    Parameters
    ----------
    model
        A causal language model of the Llama family from `transformers`.
    names
        What to keep, as patterns: `("blocks.*.attn.pattern", "embed")`. `None`
        keeps everything. Memory goes with what is kept.
    detach
        Whether the tensors leave the autograd graph; `False` keeps them in it, so
        that `torch.autograd.grad` can ask for gradients with respect to them (all
        but `rot_k`, which the model uses repeated for each query head).

    Raises
    ------
    TypeError
        If the model is of a family whose parts have no names here.

    Source: the names are those of TransformerLens (Nanda and Bloom 2022).
    """

    def __init__(
        self,
        model: nn.Module,
        names: tuple[str, ...] | None = None,
        detach: bool = True,
    ) -> None:
        family = getattr(getattr(model, "config", None), "model_type", None)
        if family not in FAMILIES:
            raise TypeError(
                f"a {type(model).__name__} of family {family!r} cannot be traced; "
                f"pass a transformers model of the family {' or '.join(FAMILIES)}."
            )
        self.model = model
        self.names = names
        self.detach = detach
        self._handles: list = []

    def __enter__(self) -> Trace:
        body = getattr(self.model, "model", self.model)
        self.trace = Trace(len(body.layers))
        self._own_form = self.model.config._attn_implementation
        self._between = _BetweenModules(self._keep, self.model.config)
        try:
            if self._own_form != "eager":
                self.model.set_attn_implementation("eager")
            self._attach(body)
            self._between.__enter__()
        except BaseException:
            self._detach_all()
            raise
        return self.trace

    def __exit__(self, *error: object) -> None:
        self._between.__exit__(*error)
        self._detach_all()

    def _detach_all(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self.model.config._attn_implementation != self._own_form:
            self.model.set_attn_implementation(self._own_form)

    def _keep(self, name: str, tensor: Tensor) -> None:
        wanted = self.names is None or any(
            fnmatchcase(name, pattern) for pattern in self.names
        )
        if wanted:
            self.trace._tensors[name] = tensor.detach() if self.detach else tensor

    def _attach(self, body: nn.Module) -> None:
        self._on_output(body.embed_tokens, "embed")
        self._on_output(body.norm, "ln_final")
        self._handles.append(body.rotary_emb.register_forward_hook(self._rotary))
        heads = body.config.num_attention_heads
        kv_heads = body.config.num_key_value_heads
        for layer, block in enumerate(body.layers):
            name, attn, mlp = f"blocks.{layer}", block.self_attn, block.mlp
            self._on_input(block, f"{name}.resid_pre")
            self._on_output(block.input_layernorm, f"{name}.ln1")
            self._on_output(attn.q_proj, f"{name}.attn.q", heads)
            self._on_output(attn.k_proj, f"{name}.attn.k", kv_heads)
            self._on_output(attn.v_proj, f"{name}.attn.v", kv_heads)
            self._on_input(attn.o_proj, f"{name}.attn.z", heads)
            self._on_output(attn, f"{name}.attn_out")
            self._on_input(block.post_attention_layernorm, f"{name}.resid_mid")
            self._on_output(block.post_attention_layernorm, f"{name}.ln2")
            self._on_output(mlp.gate_proj, f"{name}.mlp.pre")
            self._on_input(mlp.down_proj, f"{name}.mlp.post")
            self._on_output(mlp, f"{name}.mlp_out")
            self._on_output(block, f"{name}.resid_post")
            self._watch(attn, f"{name}.attn")

    def _on_input(self, module: nn.Module, name: str, heads: int | None = None) -> None:
        def hook(_: nn.Module, args: tuple, kwargs: dict) -> tuple | None:
            x = args[0] if args else kwargs["hidden_states"]
            kept = x if heads is None else split_heads(x, heads)
            self._keep(name, kept)
            if heads is None or self.detach:
                return None
            return (merge_heads(kept), *args[1:]), kwargs

        self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def _on_output(
        self, module: nn.Module, name: str, heads: int | None = None
    ) -> None:
        def hook(_: nn.Module, args: tuple, output: Tensor | tuple) -> Tensor | None:
            x = output[0] if isinstance(output, tuple) else output
            kept = x if heads is None else split_heads(x, heads)
            self._keep(name, kept)
            # the graph goes through what is kept only if the model uses just that
            return None if heads is None or self.detach else merge_heads(kept)

        self._handles.append(module.register_forward_hook(hook))

    def _rotary(self, _: nn.Module, args: tuple, output: tuple) -> None:
        self._keep("rotary.cos", output[0])
        self._keep("rotary.sin", output[1])

    def _watch(self, attn: nn.Module, name: str) -> None:
        """Tell the function mode when this attention module begins and ends."""

        def begin(_: nn.Module, args: tuple) -> None:
            self._between.open(name)

        def end(_: nn.Module, args: tuple, output: object) -> None:
            self._between.close()

        self._handles.append(attn.register_forward_pre_hook(begin))
        self._handles.append(attn.register_forward_hook(end, always_call=True))


class _BetweenModules(TorchFunctionMode):
    """See the matmul and the softmax of the attention module that is running."""

    def __init__(self, keep, config) -> None:
        super().__init__()
        self.keep = keep
        self.groups = config.num_attention_heads // config.num_key_value_heads
        self.close()

    def open(self, name: str) -> None:
        self.name, self.scored = name, False

    def close(self) -> None:
        self.name, self.scored = None, False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if self.name is None:
            return output
        if func is torch.matmul and not self.scored:  # the first one is Q Kᵀ
            query, key = args
            self.scored = True
            self.keep(f"{self.name}.rot_q", query)
            self.keep(f"{self.name}.rot_k", key.mT[:, :: self.groups])
        elif func is nn.functional.softmax:
            self.keep(f"{self.name}.scores", args[0])
            self.keep(f"{self.name}.pattern", output)
        return output


def recompute_attention(
    model: nn.Module,
    layer: int,
    resid_pre: Float[Tensor, "batch seq d_model"],
    single: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    r"""Compute one attention layer again, from what enters it and its weights.

    Parameters
    ----------
    model
        A model that `trace` knows.
    layer
        Which block.
    resid_pre
        What enters the block, `(batch, seq, d_model)`, in the model's precision.
    single
        The precision of RMSNorm and softmax. `transformers` computes these two in
        float32 whatever the precision of the model is.

    Returns
    -------
    dict
        The tensors of the block under the names of `trace`, from `ln1` to
        `attn_out`; logits are `-inf` where the mask is closed. `head_sum` is
        `attn_out` once more, as the sum of what each head writes.
    """
    body = getattr(model, "model", model)
    block, config = body.layers[layer], body.config
    attn, n_heads = block.self_attn, config.num_attention_heads
    x = resid_pre.to(single)
    size = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps)
    ln1 = block.input_layernorm.weight * (x * size).to(resid_pre.dtype)
    q = split_heads(attn.q_proj(ln1), n_heads)
    k = split_heads(attn.k_proj(ln1), config.num_key_value_heads)
    v = split_heads(attn.v_proj(ln1), config.num_key_value_heads)
    places = torch.arange(x.shape[1], device=x.device)
    angles = rotary_angles(places, q.shape[-1], config.rope_parameters["rope_theta"])
    rot_q, rot_k = apply_rotary(q, *angles), apply_rotary(k, *angles)
    mask = causal_mask(x.shape[1], device=x.device)
    logits = attention_logits(rot_q, repeat_kv(rot_k, n_heads))
    weights = masked_softmax(logits.to(single), mask).to(logits.dtype)
    z = weights @ repeat_kv(v, n_heads)
    by_head = attn.o_proj.weight.view(-1, n_heads, q.shape[-1])
    return {
        "ln1": ln1, "attn.q": q, "attn.k": k, "attn.v": v,
        "attn.rot_q": rot_q, "attn.rot_k": rot_k,
        "attn.scores": logits.masked_fill(~mask, -torch.inf),
        "attn.pattern": weights, "attn.z": z,
        "attn_out": attn.o_proj(merge_heads(z)),
        "head_sum": sum(z[:, h] @ by_head[:, h].T for h in range(n_heads)),
    }
