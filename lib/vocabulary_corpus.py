"""The first stages of the vocabulary pipeline: init, analyze and distill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from lib.stages import TREE, StageError

INDEX = "corpora/cleaned.json"  # the cleaned files, where they lie, what they are of


def cleaned(root: Path) -> Iterator[str]:
    """The documents of the cleaned corpora, in the order of the file names.

    A cleaned file holds one document a line; a newline inside a document is written
    as U+2028, the line separator, and comes back as a newline here.

    Raises
    ------
    StageError
        If `init` has not been run.
    """
    for file in cleaned_files(root):
        with open(file, encoding="utf-8", newline="\n") as lines:
            for line in lines:
                yield line.removesuffix("\n").replace("\u2028", "\n")


def cleaned_files(root: Path) -> list[Path]:
    """The cleaned files.

    Raises
    ------
    StageError
        If `init` has not been run.
    """
    try:
        told = json.loads((root / INDEX).read_text("utf-8"))
    except FileNotFoundError:
        raise StageError(
            f"{root / INDEX} is not there; run ./setup_and_run.sh run init first"
        ) from None
    return [root / told["folder"] / name for name in told["files"]]


def original_model(root: Path) -> Path | str:
    """What `from_pretrained` takes to load the model that `init` found.

    Raises
    ------
    StageError
        If its weights could not be had.
    """
    from lib import data

    told = json.loads((root / TREE.ORIGINAL / "model.json").read_text("utf-8"))
    if told["weights"] == "none":
        raise StageError(
            f"the weights of {told['model']} could not be had ({told['why']}); run "
            "init with another model, such as smollm2"
        )
    return data.path("smollm2") if told["weights"] == "data" else told["place"]
