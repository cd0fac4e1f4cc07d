"""Files of the original Newton Gravity Transformer: which version wrote them, and what.

A file of torch.save holds `model_state`, `config`, `vocab`, `iter` and `best_val`. It
is read without running anything in it. Where it may be of a version that is not known
here, it is refused by the name that is strange.

Source of the format: leetae9yu/newton-gravity-transformer (MIT).
"""

import pickle
import re
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib.data.tokenizer_files import parse_tokenizer
from lib.gravity.layers import UNIT_MASS
from lib.gravity.original_model import FIRST_RADIUS, LegacyConfig, LegacyModel
from lib.gravity.tokenizers import BpeTokens, CharTokens, TiktokenTokens, Tokens

#: What in a configuration says what is computed, and the switches among it …
SIZES = {"vocab": "vocab_size", "context": "max_seq_len", "d_model": "hidden_dim",
         "n_layers": "num_layers", "n_heads": "num_heads", "d_ff": "mlp_dim"}
SWITCHES = ("use_radius_cutoff", "use_soft_cutoff", "use_sparse_pattern",
            "mass_in_value", "use_rsqrt")  # the last changes the arithmetic alone
#: … and what says how the model was trained.
TRAINING = (
    "batch_size", "bpe_vocab_size", "checkpoint_path", "data_path", "dataset", "device",
    "dropout", "eval_interval", "eval_iters", "grad_clip",
    "gradient_accumulation_steps", "lambda_repulsion", "learning_rate", "log_interval",
    "max_iters", "max_steps", "no_repulsion", "repulsion_interval", "resume",
    "run_name", "save_interval", "seed", "tokenizer", "tokenizer_path", "use_amp",
    "use_cosine_schedule", "vis_interval", "warmup_steps", "weight_decay",
)
WRAPPERS = ("_orig_mod", "module")  # of torch.compile and DataParallel, in names


class LegacyError(ValueError):
    """A file that is no checkpoint of the original; the message says what is wrong."""


def config_of(options: dict[str, Any], state: dict[str, Tensor]) -> LegacyConfig:
    """What the configuration of a file and the shapes of its weights say together."""
    kind = options.get("model_type", "ngt" if "coord_dim" in options else "vanilla")
    if kind not in ("ngt", "vanilla"):
        raise LegacyError(f"its model_type is {kind!r} and should be ngt or vanilla")
    names = {*SIZES.values(), "coord_dim", "model_type", *SWITCHES, *TRAINING}
    if strange := [name for name in options if name not in names]:
        raise LegacyError(
            f"its configuration has {strange[0]}, from a version of the original that "
            "is not known here, and would be read wrongly"
        )
    switch = {name: options.get(name, name == "use_radius_cutoff") for name in SWITCHES}
    for name, value in switch.items():
        if not isinstance(value, bool):
            raise LegacyError(f"its {name} is {value!r} and should be True or False")
    wanted = SIZES | ({"d_coord": "coord_dim"} if kind == "ngt" else {})
    sizes: dict[str, Any] = {}
    for ours, theirs in wanted.items():
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
        if switch["use_sparse_pattern"]:
            raise LegacyError(
                "it is a vanilla model with use_sparse_pattern, which no version of "
                "the original is known to have"
            )
        return LegacyConfig(**sizes)
    axes = _shape(state, "layers.0.attn.coord_proj_attn.weight")[0]
    cutoff = "soft" if switch["use_soft_cutoff"] else "hard"
    return LegacyConfig(
        **sizes,
        place=axes // sizes["n_heads"],
        cutoff=cutoff if switch["use_radius_cutoff"] else "none",
        mass_in_value=switch["mass_in_value"],
        moved_by=_moved_by(state, sizes["d_coord"], sizes["d_model"]),
        sparse=switch["use_sparse_pattern"],
    )


def _moved_by(state: dict[str, Tensor], d_coord: int, d_model: int) -> str:
    """What moves the coordinates in the version that wrote these weights."""
    biased = any(name.endswith(".gravity_bias") for name in state)
    width = _shape(state, "layers.0.attn.coord_proj_next.weight")[1]
    if width == d_coord and not (biased and d_coord == d_model):
        if d_coord == d_model:
            raise LegacyError(
                "it has no gravity_bias and its coord_dim is its hidden_dim, so that "
                "it does not tell which of two early versions of the original wrote it"
            )
        return "coordinates"
    return "output" if biased else "input"


def unwrapped(state: dict[str, Any]) -> dict[str, Any]:
    """Weights by the names that they had before a model was compiled or wrapped.

    >>> unwrapped({"module._orig_mod.head.bias": 1, "layers.0._orig_mod.norm1.bias": 2})
    {'head.bias': 1, 'layers.0.norm1.bias': 2}
    """
    bare: dict[str, Any] = {}
    for name, weight in state.items():
        parts = [part for part in str(name).split(".") if part not in WRAPPERS]
        if ".".join(parts) in bare:
            raise LegacyError(f"it holds {'.'.join(parts)} twice, once as {name}")
        bare[".".join(parts)] = weight
    return bare


def model_of(options: dict[str, Any], state: dict[str, Any]) -> LegacyModel:
    """The model of a file, in float32, ready to be read.

    options: its `config`; state: its `model_state`. Weights that older files lack take
    the values that make no difference: mass 1, β 0; a radius the one it begins with.
    """
    state = unwrapped(state)
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise LegacyError(f"its {name} holds no decimal numbers")
    config = config_of(options, state)
    with torch.device("meta"):  # no memory until the sizes are known to be the file's
        model = LegacyModel(config)
    wanted = model.state_dict()
    missing = {"mass_emb.weight": UNIT_MASS, "radius_param": FIRST_RADIUS}
    if not any(name.endswith(".gravity_bias") for name in state):
        missing["gravity_bias"] = 0.0
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
            or not all(isinstance(c, str) and len(c) == 1 for c in ids)
            or set(ids.values()) != set(range(len(ids)))):
        raise LegacyError("its vocabulary does not number characters from 0")
    return "".join(sorted(ids, key=ids.__getitem__))


def _shape(state: dict[str, Tensor], name: str) -> torch.Size:
    if name not in state or state[name].dim() != 2:
        raise LegacyError(f"it has no matrix {name}")
    return state[name].shape


def read(file: Path | str) -> tuple[LegacyModel, Tokens, dict[str, Any]]:
    """The model of a file, its tokenizer, and its configuration; runs nothing in it.

    LegacyError: what is wrong with it, in a sentence that begins with "it".
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual pickles; the error says enough
            held = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError,
            LookupError, TypeError, AttributeError, AssertionError) as error:
        raise LegacyError(_unreadable(error)) from None
    for name in ("model_state", "config", "vocab"):
        if not isinstance(held, dict) or not isinstance(held.get(name), dict):
            raise LegacyError(
                f"it has no {name}, as the original's files have{_instead(held)}"
            )
    model = model_of(held["config"], held["model_state"])
    tokens = tokens_of(held["vocab"])
    if tokens.vocab > model.config.vocab:
        raise LegacyError(
            f"its tokenizer has {tokens.vocab} tokens and its model "
            f"{model.config.vocab}"
        )
    return model, tokens, {
        "kind": "legacy_ngt", "model": asdict(model.config),
        "tokenizer": tokens.to_json(), "options": held["config"],
        "step": held.get("iter"), "best_valid": held.get("best_val"),
    }


def _unreadable(error: Exception) -> str:
    """What to say of a file that torch.load cannot read."""
    text = str(error)
    if isinstance(error, (pickle.UnpicklingError, RuntimeError)):
        if "TorchScript" in text:
            return "it is a program of TorchScript"
        if code := re.search(r"(?:GLOBAL|function|class) (\w+\.[\w.]+)", text):
            return (f"it asks for {code[1]}, which is code and no tensor or plain "
                    "value; it is refused and nothing in it was run")
    damaged = "it is damaged, or no file of torch.save"
    if isinstance(error, pickle.UnpicklingError):
        return damaged
    what = ": ".join((type(error).__name__, *text[:80].splitlines()[:1]))
    return f"{damaged} ({what})"


def _instead(held: Any) -> str:
    """What other programs' files hold, for a message."""
    if not isinstance(held, dict):
        return f"; it holds a {type(held).__name__}"
    if "pytorch-lightning_version" in held:
        return "; PyTorch Lightning wrote it"
    if held and all(isinstance(value, Tensor) for value in held.values()):
        return "; it holds weights alone, and no sizes or vocabulary with them"
    return f"; it holds {', '.join(map(str, list(held)[:5]))}" if held else ""


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
