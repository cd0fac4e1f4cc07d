"""A language model of Part II: from our folders, or the original's files."""

from pathlib import Path
from typing import Any

from lib.gravity import original_files
from lib.gravity.model import LanguageModel, LMConfig
from lib.gravity.original_model import LegacyModel
from lib.gravity.tokenizers import Tokens, from_json
from lib.training.checkpoint import AGAIN, INDEX, CheckpointError, load_first, part, put


def load_model(
    path: Path | str,
) -> tuple[LanguageModel | LegacyModel, Tokens, dict[str, Any]]:
    """A language model of Part II with its tokenizer and its configuration.

    path: the folder of a training (its `best`, else `last`, else `before`), one
    checkpoint of it, or a `.pt` file of the original, which is read without running
    anything. The model is on the CPU and in evaluation mode. CheckpointError: nothing
    is there, or it is damaged, of another kind, or would run code.
    """
    path = Path(path)
    path = path.parent if path.name == INDEX else path
    if path.is_dir():
        names = [path / name for name in ("best", "last", "before", ".")]
        there = [place for place in names if (place / INDEX).exists()]
        place, tensors, about = load_first(there or [path])
        told = about.get("configuration") or {}
        kind = told.get("kind")
        if kind != "gravity_lm":
            raise CheckpointError(
                f"{place} holds {f'a {kind}' if kind else 'weights'} and no language "
                "model of Part II; name a checkpoint of one"
            )
        try:
            tokens = from_json(told["tokenizer"])
            model = LanguageModel(LMConfig(**told["model"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the configuration in {place / INDEX} builds no model "
                f"({type(error).__name__}: {error}); {AGAIN}"
            ) from None
        put(part(tensors, "model"), model, place)
        return model.eval(), tokens, told
    if not path.exists():
        raise CheckpointError(
            f"there is no checkpoint at {path}; train first, or name a folder or a .pt "
            "file that is there"
        )
    if path.suffix == ".safetensors":
        raise CheckpointError(
            f"{path} holds tensors alone; name the folder of a training, which has "
            f"{INDEX} beside them"
        )
    try:
        return original_files.read(path)
    except original_files.LegacyError as error:
        raise CheckpointError(f"{path} cannot be used: {error}; {AGAIN}") from None
