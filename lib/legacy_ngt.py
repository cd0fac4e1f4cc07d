"""Checkpoints of the original Newton Gravity Transformer, read and computed.

With ⟨m⟩ = softplus(mass_emb), d² the squared distance of two tokens on the axes of a
head, γ = softplus(gamma) and R = softplus(radius), its attention is

    logit_ij = m_i m_j (−γ / (d²_ij + 10⁻⁶) + β)      softmax over j ≤ i

so that near tokens score lowest. A hard cutoff leaves out d² > R²; a soft one
multiplies the logit by relu(1 − d²/R²), which lifts far tokens to 0, above all others.
With mass in the value, the logit has no masses and v_j is multiplied by m_j.
Coordinates start as an embedding of the position and move, z ← LN(z + W a), where a is
the output of the attention; in older files `W` acts on z itself.

The modules have the names that the files have, and the interface of `lib.gravity_lm`.

Source of the format: leetae9yu/newton-gravity-transformer (MIT).
"""

import pickle
import re
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lib.gravity import causal, squared_distances
from lib.gravity_layers import UNIT_MASS
from lib.text_tokenizers import BpeTokens, CharTokens, TiktokenTokens, Tokens
from lib.tokenizer_files import parse_tokenizer

EPS = 1e-6  # beside d²
FIRST_RADIUS = 4.0  # what a file without a radius stands for


class LegacyError(ValueError):
    """A file that is no checkpoint of the original; the message says what is wrong."""


@dataclass(frozen=True)
class LegacyConfig:
    """Sizes and switches of a model of the original."""

    vocab: int
    context: int
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    d_coord: int | None = None  # None: vanilla
    place: int = 16  # axes of the coordinates of a head
    cutoff: str = "none"  # none, hard or soft
    mass_in_value: bool = False
    moved_by: str = "output"  # of the attention; coordinates, in older files

    @property
    def attention(self) -> str:
        """The kind of attention: `dot`, or `potential` for the gravity of the file."""
        return "dot" if self.d_coord is None else "potential"


class LegacyAttention(nn.Module):
    """Attention of the original; forward(x, z, mass) → the output, the next z."""

    def __init__(self, config: LegacyConfig):
        super().__init__()
        self.config, d_model = config, config.d_model
        self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(2))
        if config.d_coord is None:
            self.q_proj, self.k_proj = (nn.Linear(d_model, d_model) for _ in range(2))
            return
        heads = (1, config.n_heads, 1, 1)
        self.gamma = nn.Parameter(torch.zeros(heads))
        self.gravity_bias = nn.Parameter(torch.zeros(heads))
        self.radius_param = nn.Parameter(torch.tensor(FIRST_RADIUS))
        axes = config.n_heads * config.place
        self.coord_proj_attn = nn.Linear(config.d_coord, axes)
        moving = config.d_coord if config.moved_by == "coordinates" else d_model
        self.coord_proj_next = nn.Linear(moving, config.d_coord)

    def _heads(self, x: Float[Tensor, "batch seq wide"]) -> Float[Tensor, "..."]:
        return x.unflatten(-1, (self.config.n_heads, -1)).transpose(1, 2)

    def logits(
        self,
        z: Float[Tensor, "batch seq d_coord"],
        mass: Float[Tensor, "batch seq"],
    ) -> Float[Tensor, "batch head seq seq"]:
        """What the softmax is taken of, beside the future."""
        place = self._heads(self.coord_proj_attn(z))
        d2 = squared_distances(place) * place.shape[-1]
        force = -F.softplus(self.gamma) / (d2 + EPS) + self.gravity_bias
        if not self.config.mass_in_value:
            force = force * (mass[:, None, :, None] * mass[:, None, None, :])
        reach = F.softplus(self.radius_param).square()
        if self.config.cutoff == "soft":
            force = force * F.relu(1 - d2 / reach)
        elif self.config.cutoff == "hard":
            force = force.masked_fill(d2 > reach, -torch.inf)
        return force

    def forward(
        self,
        x: Float[Tensor, "batch seq d_model"],
        z: Float[Tensor, "batch seq d_coord"] | None,
        mass: Float[Tensor, "batch seq"] | None,
    ) -> tuple[Float[Tensor, "batch seq d_model"], Float[Tensor, "..."] | None]:
        value = self._heads(self.v_proj(x))
        if z is None:
            q, k = self._heads(self.q_proj(x)), self._heads(self.k_proj(x))
            pulled = F.scaled_dot_product_attention(q, k, value, is_causal=True)
        else:
            if self.config.mass_in_value:
                value = value * mass[:, None, :, None]
            seen = causal(x.shape[1], x.device)
            weights = self.logits(z, mass).masked_fill(~seen, -torch.inf).softmax(-1)
            pulled = weights @ value
        output = self.out_proj(pulled.transpose(1, 2).flatten(2))
        if z is None:
            return output, None
        mover = z if self.config.moved_by == "coordinates" else output
        return output, self.coord_proj_next(mover)


class LegacyFeedForward(nn.Module):
    """Two linear maps around a GELU, at the places that they have in the files."""

    def __init__(self, d_model: int, d_ff: int):
        super().__init__()
        wide, narrow = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.net = nn.Sequential(wide, nn.GELU(), nn.Identity(), narrow)

    def forward(
        self, x: Float[Tensor, "batch seq d_model"]
    ) -> Float[Tensor, "batch seq d_model"]:
        return self.net(x)


class LegacyBlock(nn.Module):
    """h ← h + attention(LN h), h ← h + feed-forward(LN h), z ← LN(z + W a)."""

    def __init__(self, config: LegacyConfig):
        super().__init__()
        self.attn = LegacyAttention(config)
        self.ffn = LegacyFeedForward(config.d_model, config.d_ff)
        self.norm1, self.norm2 = (nn.LayerNorm(config.d_model) for _ in range(2))
        if config.d_coord is not None:
            self.coord_norm = nn.LayerNorm(config.d_coord)

    def forward(
        self, x: Float[Tensor, "batch seq d_model"], z, mass
    ) -> tuple[Float[Tensor, "batch seq d_model"], Float[Tensor, "..."] | None]:
        pulled, moved = self.attn(self.norm1(x), z, mass)
        x = x + pulled
        x = x + self.ffn(self.norm2(x))
        return x, None if z is None else self.coord_norm(z + moved)


class LegacyModel(nn.Module):
    """A model of the original, for reading: without dropout.

    model(ids) takes (batch, seq) and returns logits (batch, seq, vocab);
    model.trace(ids) returns the logits and, for each layer, the coordinates `z` that it
    reads and the `mass` of each token (both None for vanilla).

    >>> tiny = LegacyConfig(7, 8, d_model=8, n_layers=2, n_heads=2, d_ff=16, d_coord=4)
    >>> LegacyModel(tiny)(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 7])
    """

    def __init__(self, config: LegacyConfig):
        super().__init__()
        self.config = config
        self.token_emb = nn.Embedding(config.vocab, config.d_model)
        if config.d_coord is None:
            self.pos_emb = nn.Embedding(config.context, config.d_model)
        else:
            self.mass_emb = nn.Embedding(config.vocab, 1)
            self.coord_emb = nn.Embedding(config.context, config.d_coord)
        self.layers = nn.ModuleList(
            LegacyBlock(config) for _ in range(config.n_layers)
        )
        self.norm = nn.LayerNorm(config.d_model)
        self.head = nn.Linear(config.d_model, config.vocab)

    def trace(
        self, ids: Int[Tensor, "batch seq"]
    ) -> tuple[Float[Tensor, "batch seq vocab"], list[dict[str, Tensor | None]]]:
        length, config = ids.shape[1], self.config
        if length > config.context:
            raise ValueError(
                f"{length} tokens came, the model was built for {config.context}; "
                "pass fewer"
            )
        x, z, mass = self.token_emb(ids), None, None
        if config.d_coord is None:
            x = x + self.pos_emb.weight[:length]
        else:
            mass = F.softplus(self.mass_emb(ids)[..., 0])
            z = self.coord_emb.weight[:length].expand(len(ids), -1, -1)
        layers = []
        for layer in self.layers:
            layers.append({"z": z, "mass": mass})
            x, z = layer(x, z, mass)
        return self.head(self.norm(x)), layers

    def forward(
        self, ids: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch seq vocab"]:
        return self.trace(ids)[0]


def config_of(options: dict[str, Any], state: dict[str, Tensor]) -> LegacyConfig:
    """What the configuration of a file and the shapes of its weights say together."""
    names = {
        "vocab": "vocab_size", "context": "max_seq_len", "d_model": "hidden_dim",
        "n_layers": "num_layers", "n_heads": "num_heads", "d_ff": "mlp_dim",
    }
    kind = options.get("model_type", "ngt" if "coord_dim" in options else "vanilla")
    if kind not in ("ngt", "vanilla"):
        raise LegacyError(f"its model_type is {kind!r} and should be ngt or vanilla")
    if kind == "ngt":
        names["d_coord"] = "coord_dim"
    sizes: dict[str, Any] = {}
    for ours, theirs in names.items():
        size = options.get(theirs)
        if not isinstance(size, int) or size < 1:
            raise LegacyError(f"its {theirs} is {size!r} and should be a size")
        sizes[ours] = size
    if sizes["d_model"] % sizes["n_heads"]:
        raise LegacyError("its hidden_dim is not a multiple of num_heads")
    layers = {name.split(".")[1] for name in state if name.startswith("layers.")}
    if len(layers) != sizes["n_layers"]:
        raise LegacyError(
            f"it holds {len(layers)} layers and its num_layers is {sizes['n_layers']}"
        )
    if kind == "vanilla":
        return LegacyConfig(**sizes)
    soft = options.get("use_soft_cutoff", False)
    cutoff = "soft" if soft else "hard"
    cut = options.get("use_radius_cutoff", True)
    moves = _shape(state, "layers.0.attn.coord_proj_next.weight")
    older = moves[1] == sizes["d_coord"] != sizes["d_model"]
    return LegacyConfig(
        **sizes,
        place=_shape(state, "layers.0.attn.coord_proj_attn.weight")[0]
        // sizes["n_heads"],
        cutoff=cutoff if cut else "none",
        mass_in_value=bool(options.get("mass_in_value", False)),
        moved_by="coordinates" if older else "output",
    )


def model_of(options: dict[str, Any], state: dict[str, Any]) -> LegacyModel:
    """The model of a file, in float32, ready to be read.

    options: its `config`; state: its `model_state`. Weights that older files lack take
    the values that make no difference: mass 1, β 0; a radius the one it begins with.

    Raises
    ------
    LegacyError
        If sizes, names or shapes do not fit each other.
    """
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise LegacyError(f"its {name} holds no decimal numbers")
    config = config_of(options, state)
    with torch.device("meta"):  # no memory until the sizes are known to be the file's
        model = LegacyModel(config)
    wanted = model.state_dict()
    missing = {
        "mass_emb.weight": UNIT_MASS, "gravity_bias": 0.0, "radius_param": FIRST_RADIUS
    }
    weights = {}
    for name, blank in wanted.items():
        if name in state:
            weights[name] = state[name].detach().float()
            if weights[name].shape != blank.shape:
                raise LegacyError(
                    f"its {name} is {tuple(state[name].shape)} and its configuration "
                    f"asks for {tuple(blank.shape)}"
                )
            continue
        value = [missing[end] for end in missing if name.endswith(end)]
        if not value:
            raise LegacyError(f"it has no {name}")
        weights[name] = torch.full(blank.shape, value[0])
    if more := [name for name in state if name not in wanted]:
        raise LegacyError(f"it holds {more[0]}, which no such model has")
    model.load_state_dict(weights, assign=True)
    if torch.equal(model.head.weight, model.token_emb.weight):
        model.head.weight = model.token_emb.weight  # tied, as they were
    return model.eval()


def characters_of(vocab: dict[str, Any]) -> str:
    """The characters of a file's `vocab`, in the order of their ids.

    >>> characters_of({"type": "char", "stoi": {"b": 1, "a": 0}})
    'ab'
    """
    ids = vocab.get("stoi")
    if (not isinstance(ids, dict) or not ids
            or any(not isinstance(c, str) or len(c) != 1 for c in ids)
            or set(ids.values()) != set(range(len(ids)))):
        raise LegacyError("its vocabulary does not number characters from 0")
    return "".join(sorted(ids, key=ids.get))


def _shape(state: dict[str, Tensor], name: str) -> torch.Size:
    if name not in state or state[name].dim() != 2:
        raise LegacyError(f"it has no matrix {name}")
    return state[name].shape


def read(file: Path | str) -> tuple[LegacyModel, Tokens, dict[str, Any]]:
    """The model of a file, its tokenizer, and its configuration; runs nothing in it.

    Raises
    ------
    LegacyError
        If it is damaged, no such file, or wants code run; the text begins with "it".
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual pickles; the error says enough
            held = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if wanted := re.search(r"(?:GLOBAL|function|class) (\w+\.[\w.]+)", str(error)):
            raise LegacyError(
                f"it asks for {wanted[1]}, which is code and no tensor or plain value; "
                "it is refused and nothing in it was run"
            ) from None
        raise LegacyError("it is damaged, or no file of torch.save") from None
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError,
            AttributeError, AssertionError) as error:
        what = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}" \
            if str(error) else type(error).__name__
        raise LegacyError(f"it is damaged, or no file of torch.save ({what})") from None
    for name in ("model_state", "config", "vocab"):
        if not isinstance(held, dict) or not isinstance(held.get(name), dict):
            raise LegacyError(f"it has no {name}, as the original's files have")
    model = model_of(held["config"], held["model_state"])
    tokens = tokens_of(held["vocab"])
    if tokens.vocab > model.config.vocab:
        raise LegacyError(
            f"its tokenizer has {tokens.vocab} tokens and its model "
            f"{model.config.vocab}"
        )
    return model, tokens, {
        "kind": "legacy_ngt",
        "model": asdict(model.config),
        "tokenizer": tokens.to_json(),
        "options": held["config"],
        "step": held.get("iter"),
        "best_valid": held.get("best_val"),
    }


def tokens_of(vocab: dict[str, Any]) -> Tokens:
    """The tokenizer of a file, from its `vocab`."""
    kind = vocab.get("type", "char")
    if kind == "char":
        return CharTokens(characters_of(vocab))
    if kind == "bpe":
        try:
            return BpeTokens(parse_tokenizer(vocab["tokenizer_json"]))
        except (KeyError, TypeError, ValueError):
            raise LegacyError("its BPE tokenizer is damaged") from None
    if kind == "tiktoken":
        return TiktokenTokens()
    raise LegacyError(f"its tokenizer {kind!r} is none of char, bpe, tiktoken")
