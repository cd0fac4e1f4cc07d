"""What a program tells at the terminal, and how it names commands and places."""

import os
import shlex
import sys
from contextvars import ContextVar
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def path_of(path: str | Path) -> Path:
    """A path as a reader gives it: `~` is the home, a relative one counts from here.

    >>> path_of("runs/a") == ROOT / "runs/a", path_of("~/a").is_absolute()
    (True, True)
    """
    return ROOT / Path(path).expanduser()


def say(sentence: str) -> None:
    """Tell the person at the terminal, apart from a program's output."""
    print(sentence, file=sys.stderr, flush=True)


def module_command(module: str, *words: str) -> str:
    """`PYTHON -m MODULE WORDS…` with the Python that runs now, for the book's folder.

    A bare `python` would be another one, or none, without the packages of the book.
    """
    python = Path(sys.executable)
    if python.is_relative_to(ROOT):
        python = python.relative_to(ROOT)
    typed = [str(python).removesuffix(".exe"), "-m", module, *words]
    return " ".join(f'"{word}"' if " " in word else word for word in typed)


#: The option `artifacts_dir` of the stage that works at present.
ARTIFACTS: ContextVar[str] = ContextVar("artifacts", default="")


def stage_command(stage: str, artifacts_dir: str = "") -> str:
    """What a reader types to run a stage, in the profile and with the folder of
    artifacts that are worked with at present.

    >>> stage_command("align", "artifacts/my poems").endswith("'artifacts/my poems'")
    True
    """
    smoke = os.environ.get("BOOK_PROFILE") == "smoke"
    plain = "artifacts/smoke" if smoke else "artifacts"
    folder = artifacts_dir or ARTIFACTS.get() or plain
    where = "" if folder == plain else f" -p artifacts_dir {shlex.quote(folder)}"
    return f"./setup_and_run.sh run {stage}{' --profile smoke' * smoke}{where}"
