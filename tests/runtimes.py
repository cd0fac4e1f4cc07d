"""The readers of exports for tests: where CI runs, one that cannot be had fails."""

import os

import pytest

from lib.tokens.runtimes import RuntimeRefusal, fetched, here


def all_readers() -> None:
    """Have the library for browsers and llama.cpp; else skip, or fail in CI."""
    try:
        fetched("tokenizers_js")
        fetched(f"llama_cpp_{here()}")
    except RuntimeRefusal as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
