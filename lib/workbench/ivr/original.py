"""The tokenizer and the model that the vocabulary pipeline starts from.

`tokenizers/original` holds `tokenizer.json`, what `transformers` wants beside it, the
configuration, and `model.json`: which model it is and where its weights are.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lib import data
from lib.commands import ROOT, say, stage_command
from lib.data.download import Refused, expect_host
from lib.data.pretrained import gpt2_tokenizer
from lib.data.tokenizer_files import (
    BESIDE,
    TokenizerFileError,
    load_tokenizer,
    write_beside,
)
from lib.files import write_json
from lib.tokens.sentencepiece import BYTES
from lib.tokens.teachers import expect_settings, expect_teacher
from lib.workbench.ivr.artifacts import TREE, Room, StageError, stage_errors

GPT2 = "openai-community/gpt2"
PARTS = ("tokenizer.json", "vocab.json", "merges.txt", "config.json",
         "generation_config.json", *BESIDE)
WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin")
#: The model `tiny`: as large as a test can bear, with SmolLM2's tokenizer.
TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}


def original_tokenizer(root: Path) -> Tokenizer:
    """The tokenizer that `init` found."""
    return read_tokenizer(root, TREE.ORIGINAL, "init")


def tokenizer_file(root: Path) -> Path:
    """The file of that tokenizer."""
    return _made(root, f"{TREE.ORIGINAL}/tokenizer.json", "init")


def read_tokenizer(root: Path, folder: str, stage: str) -> Tokenizer:
    """The tokenizer that a stage wrote, for whole texts."""
    with stage_errors(TokenizerFileError):
        return load_tokenizer(_made(root, f"{folder}/tokenizer.json", stage))


def original_model(root: Path) -> str:
    """What `from_pretrained` takes to load the model that `init` found."""
    file = _made(root, f"{TREE.ORIGINAL}/model.json", "init")
    model = json.loads(file.read_text("utf-8"))
    if model["weights"] == "none":
        raise StageError(
            f"the weights of {model['model']} could not be had ({model['why']}), and "
            f"align and train need them; run {stage_command('init')} with another "
            "model, such as -p model smollm2, or only the stages up to remap")
    places = {"data": lambda: data.path("smollm2"),
              "here": lambda: root / TREE.ORIGINAL}
    return str(places.get(model["weights"], lambda: model["place"])())


def _made(root: Path, output: str, stage: str) -> Path:
    """A file that a stage made."""
    if not (root / output).is_file():
        raise StageError(f"{output} is not there; run {stage_command(stage)} first")
    return root / output


def write_tokenizer(tokenizer: Tokenizer, folder: Path, root: Path) -> None:
    """Write a tokenizer with what `transformers` wants beside it, as the original has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_beside(root / TREE.ORIGINAL, folder)


def model_files(model: str) -> list[Path]:
    """The files of a model that is a folder; none where it is a name.

    >>> model_files("smollm2")
    []
    """
    folder = ROOT / model
    if model in ("smollm2", "gpt2", "tiny") or not folder.is_dir():
        return []
    names = (*PARTS, *WEIGHTS)
    return sorted(file for name in names for file in folder.glob(name))


def gather_original(options: Any, room: Room) -> dict[str, Any]:
    """Write the tokenizer and the configuration of a model; return what they are."""
    folder = room.make(TREE.ORIGINAL)
    folder.mkdir()
    model = options.model
    if model in ("smollm2", "tiny"):
        _copy(data.path("smollm2"), folder)
        told = {"weights": "here" if model == "tiny" else "data"}
    elif model == "gpt2":
        told = _gpt2(folder)
    elif (ROOT / model).is_dir():
        told = _from_folder(ROOT / model, folder)
    else:
        told = _from_hub(model, folder)
    tokenizer, config = _checked(model, folder, options.layer)
    if model == "tiny":
        _tiny(folder)
    write_beside(folder, folder)
    if told["weights"] == "none":
        say(f"The weights of {model} could not be had ({told['why']}): init to remap "
            "work without them, align and train do not.")
    write_json(folder / "model.json", {"model": model, **told})
    return {"model": model, "weights": told["weights"],
            "vocabulary": tokenizer.get_vocab_size(with_added_tokens=True),
            "rows": config["vocab_size"]}


def _copy(source: Path, folder: Path) -> None:
    for name in PARTS:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _from_folder(source: Path, folder: Path) -> dict[str, str]:
    _copy(source, folder)
    if any(file for name in WEIGHTS for file in source.glob(name)):
        return {"weights": "folder", "place": str(source.resolve())}
    return {"weights": "none", "why": "the folder has no safetensors file"}


def _gpt2(folder: Path) -> dict[str, str]:
    """GPT-2 from the Hub, else its tokenizer and its configuration alone."""
    from transformers import GPT2Config

    try:
        snapshot = _snapshot(GPT2, weights=True)
    except Refused as error:
        gpt2_tokenizer(*data.gpt2_files()).save(str(folder / "tokenizer.json"))
        end = "<|endoftext|>"
        names = {"bos_token": end, "eos_token": end, "unk_token": end,
                 "model_max_length": 1024}
        (folder / "tokenizer_config.json").write_text(json.dumps(names), "utf-8")
        GPT2Config(architectures=["GPT2LMHeadModel"]).save_pretrained(folder)
        return {"weights": "none", "why": str(error)}
    _copy(snapshot, folder)
    return {"weights": "hub", "place": GPT2}


def _from_hub(name: str, folder: Path) -> dict[str, str]:
    try:
        _copy(_snapshot(name), folder)
    except Refused as error:
        raise StageError(
            f"model {name!r} is neither smollm2, gpt2, tiny nor a folder that is "
            f"there, and the Hub did not give it ({error}); name one of these"
        ) from None
    return {"weights": "hub", "place": name}


def _snapshot(name: str, weights: bool = False) -> Path:
    """Files of a model on the Hub, or as they were brought from there before."""
    from huggingface_hub import snapshot_download

    wanted: list[str] = [*PARTS, "model.safetensors"] if weights else [*PARTS]
    why: Refused | None = None
    try:
        try:
            expect_host("huggingface.co")
        except Refused as error:
            why = error
        return Path(snapshot_download(name, allow_patterns=wanted,
                                      local_files_only=why is not None))
    except Exception as error:  # noqa: BLE001  the Hub's client has many kinds
        if why is not None:
            raise why from None
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Refused(first[:200]) from None


def _expect_settings(spec: Mapping[str, Any]) -> None:
    """Refuse at once what the settings tell; a large model takes seconds to be built.
    """
    expect_settings(spec)
    if spec["model"].get("byte_fallback") and {*BYTES} <= spec["model"]["vocab"].keys():
        raise ValueError(
            "it is a SentencePiece BPE, which lib.tokens.distill.distill can distill, "
            "but whose vocabulary select and remap cannot change yet"
        )


def _checked(model: str, folder: Path,
             layer: bool) -> tuple[Tokenizer, dict[str, Any]]:
    """Read back what was gathered: a byte-level BPE and a configuration that fits."""
    file, config = folder / "tokenizer.json", folder / "config.json"
    parts = folder / "vocab.json", folder / "merges.txt"
    try:
        if not file.exists() and all(part.exists() for part in parts):
            gpt2_tokenizer(*parts).save(str(file))
        if missing := [part.name for part in (file, config) if not part.exists()]:
            raise StageError(f"model {model!r} has no {missing[0]}; name one that has "
                             "tokenizer.json and config.json")
        tokenizer = load_tokenizer(file, _expect_settings)
        expect_teacher(tokenizer, layer, keeps=True)
        told = json.loads(config.read_text("utf-8"))
        rows = told["vocab_size"]
    except StageError:
        raise
    except KeyError as error:
        raise StageError(
            f"the tokenizer or configuration of model {model!r} lacks {error}; name a "
            "model with a byte-level BPE, such as smollm2 or gpt2") from None
    except Exception as error:  # noqa: BLE001  `tokenizers` raises no other
        raise StageError(
            f"the tokenizer or configuration of model {model!r} cannot be used: "
            f"{error}; name a model with another one") from None
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    if size > rows:
        raise StageError(
            f"model {model!r} has {rows:,} rows of embeddings and a tokenizer of "
            f"{size:,} pieces; name a model whose parts belong together")
    return tokenizer, told


def _tiny(folder: Path) -> None:
    """Put a small model with random weights into the folder, configuration and all."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from lib.data.pretrained import quiet

    config = AutoConfig.from_pretrained(folder, **TINY)
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
