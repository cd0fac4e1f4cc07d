"""How a message names a command of the book, so that it works as it is typed."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def module_command(module: str, *words: str) -> str:
    r"""`PYTHON -m MODULE WORDS…` with the Python that runs now, for the book's folder.

    In the environment of the book that is `.venv/bin/python -m lib.data korean`, on
    Windows `.venv\Scripts\python -m lib.data korean`. A bare `python` would be another
    one, or none, without the packages of the book.
    """
    python = Path(sys.executable)
    if python.is_relative_to(ROOT):
        python = python.relative_to(ROOT)
    typed = [str(python).removesuffix(".exe"), "-m", module, *words]
    return " ".join(f'"{word}"' if " " in word else word for word in typed)
