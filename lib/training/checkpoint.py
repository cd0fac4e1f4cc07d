"""Checkpoints: tensors as safetensors, all else as JSON beside them, never half a one.

    best/
      checkpoint.json                     step, configuration, history, sha256 …
      step-000400-9f2c11d0.safetensors    the tensors; the JSON names this file

The tensors are written under a name of their own and flushed; then `checkpoint.json`
is exchanged in one rename, and only then the tensors of the checkpoint before go. Cut
off at any moment, the folder holds a whole checkpoint: the new one or the one before.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lib.commands import say
from lib.files import flush, sha256_of, write_json
from lib.training.sharding import full, like

INDEX = "checkpoint.json"
FORMAT = 1
AGAIN = "train again, or name another checkpoint"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says what to do."""


def save(folder: Path | str, tensors: dict[str, Tensor], about: dict[str, Any]) -> Path:
    """Write a checkpoint in place of the one in `folder`; return the tensor file.

    Tensors that share memory are written once. `about` must be JSON; `step`, when it
    is there, goes into the name.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> save(folder, {"weight": torch.ones(2)}, {"step": 3}).name[:12]
    'step-000003-'
    >>> tensors, about = load(folder)
    >>> tensors["weight"].tolist(), about["step"]
    ([1.0, 1.0], 3)
    """
    folder = Path(folder)
    kept, shared, seen = {}, {}, {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in seen:
            shared[name] = seen[place]
            continue
        seen[place] = name
        kept[name] = tensor.detach().to("cpu", copy=True).contiguous()
    draft, file = folder / f".{os.getpid()}.part", None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(kept, draft)
        flush(draft)
        sha256 = sha256_of(draft)
        file = folder / f"step-{about.get('step', 0):06d}-{sha256[:8]}.safetensors"
        os.replace(draft, file)
        index = about | {"format": FORMAT, "file": file.name, "sha256": sha256,
                         "shared": shared}
        index["index_sha256"] = _index_sha256(index)
        write_json(folder / INDEX, index)
    except (OSError, SafetensorError) as error:
        named = None
        with suppress(CheckpointError):
            named = describe(folder)["file"]
        if file is not None and file.name != named:
            file.unlink(missing_ok=True)
        why = getattr(error, "strerror", None) or error
        raise CheckpointError(f"the checkpoint {folder} cannot be written ({why}); "
                              "free some space there or name another folder") from None
    finally:
        with suppress(OSError):
            draft.unlink()
    for old in [*folder.glob("*.safetensors"), *folder.glob(".*.part")]:
        if old.name != file.name:
            old.unlink(missing_ok=True)
    return file


def load(folder: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint: its tensors, on the CPU, and what stands beside them.

    Raises CheckpointError if nothing is there, or it is not what was written.
    """
    folder = Path(folder)
    about = describe(folder)
    file = folder / about["file"]
    if not file.is_file():
        raise CheckpointError(
            f"{folder / INDEX} names {file.name}, which is not there; {AGAIN}")
    came = sha256_of(file)
    if came != about["sha256"]:
        raise CheckpointError(
            f"{file} is damaged: its sha256 is {came[:12]}… and {INDEX} wants "
            f"{about['sha256'][:12]}…; {AGAIN}")
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise CheckpointError(f"{file} is no safetensors file ({error}); {AGAIN}"
                              ) from None
    return tensors | {a: tensors[b] for a, b in about["shared"].items()}, about


def describe(folder: Path | str) -> dict[str, Any]:
    """What stands beside the tensors: step, configuration, history; raises as `load`.
    """
    index = Path(folder) / INDEX
    try:
        about = json.loads(index.read_text(encoding="utf-8"))
        known = about["format"], about["file"], about["sha256"], about["shared"]
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no checkpoint in {folder} ({INDEX} is missing); "
            "train first, or name a folder that has one") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{index} is damaged ({type(error).__name__}: {error}); {AGAIN}") from None
    if known[0] != FORMAT:
        raise CheckpointError(
            f"{index} has format {known[0]} and this code reads format {FORMAT}; "
            "use the code that wrote it, or train again")
    wanted = about.pop("index_sha256", None)
    if wanted is not None and wanted != _index_sha256(about):
        raise CheckpointError(
            f"{index} is damaged: its own sha256 is not the one it tells; {AGAIN}")
    return about


def load_weights(folder: Path | str, model: nn.Module) -> dict[str, Any]:
    """Put the weights of a checkpoint into `model`; return what stands beside them.

    Raises CheckpointError also if the model has other names or shapes.
    """
    tensors, about = load(folder)
    put(part(tensors, "model"), model, folder)
    return about


def load_first(places: Iterable[Path], holds: str | None = None
               ) -> tuple[Path, dict[str, Tensor], dict[str, Any]]:
    """The first whole checkpoint of several: where, its tensors, what stands beside.

    What is wrong with those before it is said on stderr, a sentence each; where none
    is whole, what is wrong with the first is raised. holds: `training` to leave out
    those with weights alone.
    """
    wrong: list[CheckpointError] = []
    for place in places:
        try:
            tensors, about = load(place)
            if holds and (held := about.get("holds")) != holds:
                raise CheckpointError(f"{place} holds {held} and not a whole {holds}; "
                                      "start anew in another folder")
        except CheckpointError as error:
            wrong.append(error)
            continue
        for error in wrong:
            say(f"{str(error).rsplit('; ', 1)[0]}; going on from {place}")
        return place, tensors, about
    raise wrong[0]


def put(weights: dict[str, Tensor], model: nn.Module, where: Path | str) -> None:
    """Copy weights into a model whose names and shapes are the same."""
    wanted = model.state_dict()
    hint = f"build the model with the configuration in {Path(where) / INDEX}"
    for name, tensor in wanted.items():
        if name not in weights:
            raise CheckpointError(f"{where} has no {name}, which the model wants; "
                                  f"{hint}")
        if weights[name].shape != tensor.shape:
            raise CheckpointError(
                f"{where} holds {name} as {_by(weights[name])} and the model wants "
                f"{_by(tensor)}; {hint}")
    if more := [name for name in weights if name not in wanted]:
        raise CheckpointError(f"{where} holds {more[0]}, which the model has not; "
                              f"{hint}")
    model.load_state_dict({name: like(weights[name], tensor)
                           for name, tensor in wanted.items()})


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix.`, without it.

    >>> part({"model.weight": torch.ones(1), "rng.cpu": torch.ones(1)}, "rng")
    {'cpu': tensor([1.])}
    """
    return {name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items()
            if name.startswith(f"{prefix}.")}


def whole(**parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """The reverse of `part`: one dictionary with the names of the parts in front.

    >>> list(whole(model={"weight": torch.ones(1)}, rng={"cpu": torch.ones(1)}))
    ['model.weight', 'rng.cpu']
    """
    return {f"{prefix}.{name}": full(tensor) for prefix, inner in parts.items()
            for name, tensor in inner.items()}


def optimizer_parts(optimizer: torch.optim.Optimizer
                    ) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """The state of an optimizer: its tensors as `3.exp_avg`, its groups as JSON."""
    state = optimizer.state_dict()
    tensors = {f"{index}.{name}": torch.as_tensor(value)
               for index, values in state["state"].items()
               for name, value in values.items()}
    return tensors, state["param_groups"]


def put_optimizer(tensors: dict[str, Tensor], groups: list[dict[str, Any]],
                  optimizer: torch.optim.Optimizer) -> None:
    """Give an optimizer the state that `optimizer_parts` took."""
    state: dict[int, dict[str, Tensor]] = {}
    learned = [p for group in optimizer.param_groups for p in group["params"]]
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = like(tensor, learned[int(index)])
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _by(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"


def _index_sha256(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()
