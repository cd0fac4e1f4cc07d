"""The words of `./setup_and_run.sh run`: reading them, their help, the list of names.

Standard library only: `run --help` answers before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import textwrap
from pathlib import Path
from typing import NoReturn

from book.jobs import Catalogue
from book.parameters import UNKNOWN, Parameter, UsageError, parameters_of, quoted

SCRIPT = "setup_and_run.bat" if os.name == "nt" else "./setup_and_run.sh"
COLUMN, WIDE = 34, 100  # where the meaning of a parameter begins; a line
EXAMPLES = f"""\
examples
  {SCRIPT} run 02 -p sentence "나는 학교에 간다"
  {SCRIPT} run book --profile smoke --jobs 2
  {SCRIPT} run ngt -p max_steps 200 -p hidden_dim 64 -p num_layers 2
  {SCRIPT} run ngt --list

Exit code: 0 all passed, 1 some failed, 2 the command is wrong, 130 interrupted.
종료 코드: 0 모두 끝남, 1 실패한 것이 있음, 2 명령에 틀린 말이 있음, 130 중단함.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {SCRIPT} run --help")


def parser(known: Catalogue | None = None) -> argparse.ArgumentParser:
    """The parser of the words, its help naming the groups of a catalogue."""
    words = _Parser(
        prog=f"{SCRIPT} run", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run a group of notebooks, or one, and report. What has finished "
        "is not run again.\n노트북 묶음이나 노트북 하나를 실행하고 보고합니다. "
        "끝난 것은 다시 실행하지 않습니다.",
        epilog=(f"{groups_of(known)}\n\n" if known else "") + EXAMPLES,
    )
    words.add_argument("what", nargs="?", metavar="GROUP|NOTEBOOK",
                       help="a group, a number (02), a name, or a path | "
                       "묶음, 번호, 이름, 경로 가운데 하나")
    words.add_argument("-p", "--parameter", nargs=2, action="append", default=[],
                       metavar=("NAME", "VALUE"),
                       help="set a notebook's parameter, as often as you like; --list "
                       "shows them | 노트북의 매개변수를 정합니다")
    words.add_argument("--profile", metavar="P",
                       help="smoke, book or gpu (default: BOOK_PROFILE, else book)")
    words.add_argument("--jobs", default="1", metavar="N",
                       help="notebooks at a time (default 1) | 동시에 실행할 수")
    words.add_argument("--out", metavar="DIR",
                       help="executed notebooks and the report (default runs/…) | "
                       "실행된 노트북과 보고서를 둘 폴더")
    words.add_argument("--force", action="store_true",
                       help="run again what has finished | 끝난 것도 다시 실행합니다")
    words.add_argument("--list", action="store_true",
                       help="explain groups, notebooks and parameters; after a "
                       "NOTEBOOK its own | 묶음과 노트북과 매개변수를 설명합니다")
    return words


def parse(argv: list[str], known: Catalogue | None = None) -> argparse.Namespace:
    """Read the command line; ``others`` are the words that no option knows.

    The catalogue gives its groups to the help.

    Raises
    ------
    UsageError
        If a word is missing, or is not text.
    """
    for word in argv:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{quoted(word)} is not text in UTF-8 from character {error.start + 1} "
                "on; write it in a terminal that uses UTF-8"
            ) from None
    pairs, words = _parameters(argv)
    options, others = parser(known).parse_known_args(words)
    options.parameter, options.others = pairs, others
    return options


def _parameters(words: list[str]) -> tuple[list[list[str]], list[str]]:
    """The pairs after each -p, of which a value may begin with a minus; the rest."""
    pairs, rest, words = [], [], list(words)
    while words:
        word = words.pop(0)
        if word in ("-p", "--parameter"):
            if len(words) < 2:
                raise UsageError(
                    f"argument {word}: expected 2 arguments, a name and a value; see "
                    f"{SCRIPT} run --help"
                )
            pairs.append(words[:2])
            del words[:2]
        else:
            rest.append(word)
    return pairs, rest


def refuse_others(others: list[str], names: set[str]) -> NoReturn:
    """Say what an unknown option should be; a notebook's parameter needs `-p`."""
    word, equals, value = others[0].partition("=")
    name = word.lstrip("-").replace("-", "_")
    if word.startswith("--") and name in names:
        follows = [value] if equals else others[1:2]
        value = "True" if not follows or follows[0].startswith("--") else follows[0]
        raise UsageError(
            f"{word} is a parameter of the notebook; write -p {name} "
            f"{value if value.isidentifier() or value.isalnum() else quoted(value)}"
        )
    raise UsageError(
        f"unrecognized arguments: {' '.join(others)}; see {SCRIPT} run --help"
    )


def groups_of(known: Catalogue) -> str:
    """The groups with their notebooks and meanings, as lines."""
    lines = ["groups | 묶음"]
    for group, entries in known.groups.items():
        own = known.presets.get(group, {})
        own = "".join(f"; {name} {value}" for name, value in own.items())
        lines.append(f"  {group:<12} {', '.join(entries)}{own}")
        lines += [f"  {'':<12} {words}" for words in known.meanings.get(group, ())]
    return "\n".join(lines)


def listed(known: Catalogue, what: str | None = None) -> str:
    """Groups, notebooks and profiles; with ``what`` the notebooks that it means alone.

    Raises
    ------
    UsageError
        If ``what`` means none.
    """
    paths = known.find(what) if what else known.chapters()
    notebooks = "\n".join(explained(path) for path in paths)
    if what:
        return notebooks
    return "\n".join([
        groups_of(known), "", "notebooks and their parameters | 노트북과 매개변수",
        notebooks, f"profiles | 프로필\n  {', '.join(known.profiles)}",
    ])


def explained(notebook: Path) -> str:
    """A notebook and, for each parameter, its default, kind, choices and meaning."""
    lines = [f"  {notebook.stem}"]
    for name, parameter in parameters_of(notebook).items():
        default = parameter.default
        left = f"    {name}" + ("" if default is UNKNOWN else f" = {default!r}")
        if len(left) >= COLUMN:
            lines.append(left)
            left = ""
        words = textwrap.wrap(f"{_kind(parameter)}: {parameter.meaning}", WIDE - COLUMN)
        lines.append(f"{left:<{COLUMN}}{words[0]}")
        lines += [" " * COLUMN + more for more in words[1:]]
    return "\n".join(lines if len(lines) > 1 else [*lines, "    no parameters"])


def _kind(parameter: Parameter) -> str:
    names = {"str": "text", "int": "whole number", "float": "number",
             "bool": "True or False", "dict": "table", "": "value"}
    kind, _, item = parameter.kind.rstrip("]").partition("[")
    return f"list of {names[item]}s" if item else names.get(kind, kind)
