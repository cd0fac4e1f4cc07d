"""Real data for tests: what no origin answers for is skipped, what came wrong fails."""

from collections.abc import Callable
from functools import cache
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


@cache
def gpt2() -> Tokenizer:
    """GPT-2's tokenizer; nobody may change it."""
    return real(data.gpt2_tokenizer)
