"""Real data for tests: what no origin answers for is skipped, what came wrong fails."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from lib import data


def real(get: Callable[..., Any], *words: Any) -> Any:
    """What `get` gives; the test is skipped where no origin of it answers."""
    try:
        return get(*words)
    except data.Unreachable as error:
        pytest.skip(str(error))


def canonical(name: str) -> Path:
    """A file or folder of the canonical data, which no package carries.

    It is looked for in the folder that BOOK_DATA_MIRROR names and in `shared/data`
    beside the checkout; the test is skipped where it is in neither.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    named = os.environ.get("BOOK_DATA_MIRROR")
    for folder in ([Path(named).expanduser()] if named else []) + [beside]:
        if (folder / name).exists():
            return folder / name
    pytest.skip(f"{name} is in no package: put it into ../shared/data, or into a "
                "folder that BOOK_DATA_MIRROR names")


@cache
def gpt2() -> Tokenizer:
    """GPT-2's tokenizer; nobody may change it."""
    return real(data.gpt2_tokenizer)
