"""The parameters of a notebook: name, kind, default, choices and meaning of each.

They are the assignments of the cell tagged `parameters`, a line each:

    cutoff: str = None  # none, hard, soft or compact; None: by the two flags
    layer = 16  # 0 to 29: the layer that is recomputed step by step

The kind is that of the default, or what the annotation says where the default is None,
which then is a value as well. A comment that begins with words (`a, b or c`) or limits
(`0 to 29`) says what else a value must be. Standard library only, as long as the value
is no [list] and the two files of a pair agree: a wrong word is answered at once.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from book.files import shown

UNKNOWN = object()  # a default that is not a plain value
PLAIN = {"True": True, "False": False, "None": None}
KINDS = {
    "bool": "True or False", "int": "a whole number", "float": "a number",
    "list": "a list such as [1, 2]", "dict": "a table such as {a: 1}", "str": "text",
}
OF_ITEMS = {"int": "whole numbers", "float": "numbers", "str": "texts"}
EXAMPLES = {"int": "[1, 2]", "float": "[0.5, 1]", "str": "[a, b]"}
WORDS = re.compile(r"([\w+.-]+(?:, [\w+.-]+)*) or ([\w+.-]+)(?=[;:]|$)")
LIMITS = re.compile(r"(-?[\d.]+) to (-?[\d.]+)(?=[;:]|$)")
HEAD = re.compile(r"# %%(?!%)(.*)")
SEEDS = (0.0, 2.0**32 - 1)  # what every generator of random numbers takes
LONGEST = 60  # characters of a value that a message repeats


class UsageError(Exception):
    """A command that cannot be meant; the message is the one sentence to print."""


@dataclass(frozen=True)
class Parameter:
    """A parameter; ``kind`` is empty where neither default nor annotation tells it."""

    name: str
    default: Any = None
    kind: str = ""  # a key of KINDS, or of a list with its items: "list[int]"
    meaning: str = ""

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that the meaning begins with, where it is text.

        >>> Parameter("cutoff", None, "str", "none, hard or soft; None: none").choices
        ('none', 'hard', 'soft')
        """
        words = WORDS.match(self.meaning) if self.kind == "str" else None
        return (*words[1].split(", "), words[2]) if words else ()

    @property
    def limits(self) -> tuple[float, float] | None:
        """The least and the most that a number may be; a seed has the same everywhere.

        >>> Parameter("layer", 3, "int", "0 to 29: which").limits
        (0.0, 29.0)
        """
        if self.name == "seed" and self.kind == "int":
            return SEEDS
        numbers = LIMITS.match(self.meaning) if self.kind in ("int", "float") else None
        return (float(numbers[1]), float(numbers[2])) if numbers else None

    @property
    def wanted(self) -> str:
        """What a value must be, in words."""
        kind, _, item = self.kind.rstrip("]").partition("[")
        words = KINDS.get(kind, "a value that JSON can hold")
        if item:
            words = f"a list of {OF_ITEMS[item]} such as {EXAMPLES[item]}"
        if self.limits:
            words += " from {:.12g} to {:.12g}".format(*self.limits)
        if self.default is None:
            words = words.replace(" or ", ", ") + " or None"
        return words


def parameters_of(notebook: Path) -> dict[str, Parameter]:
    """The parameters of a notebook, by name.

    Raises
    ------
    UsageError
        If the tagged cell is not Python.
    SyncError
        If the notebook cannot be read.
    """
    source = cell_of(notebook)
    try:
        lines = ast.parse(source).body
    except SyntaxError as error:
        raise UsageError(
            f"the parameter cell of {shown(notebook)} is not Python "
            f"(line {error.lineno}: {error.msg}); mend it and run this again"
        ) from None
    comments = comments_of(source)
    found: dict[str, Parameter] = {}
    for node in lines:
        if isinstance(node, ast.Assign):
            targets, annotation, value = node.targets, "", node.value
        elif isinstance(node, ast.AnnAssign) and node.value:
            targets, annotation = [node.target], declared(node.annotation)
            value = node.value
        else:
            continue
        try:
            default = ast.literal_eval(value)
        except ValueError:
            default = UNKNOWN
        kind = annotation or kind_of(default)
        for target in targets:
            if isinstance(target, ast.Name):
                meaning = comments.get(node.end_lineno or 0, "")
                found[target.id] = Parameter(target.id, default, kind, meaning)
    return found


def declared(annotation: ast.expr) -> str:
    """The kind that an annotation tells, whether None is named beside it or not.

    >>> [declared(ast.parse(text, mode="eval").body)
    ...  for text in ("int", "list[int] | None", "'str'", "Path")]
    ['int', 'list[int]', 'str', '']
    """
    text = ast.unparse(annotation).strip("'\"").replace(" | None", "")
    kind, _, item = text.rstrip("]").partition("[")
    return text if kind in KINDS and item in ("", *OF_ITEMS) else ""


def kind_of(value: Any) -> str:
    """The kind of a value; empty for one that tells none."""
    kind = "list" if isinstance(value, tuple) else type(value).__name__
    return kind if kind in KINDS else ""


def comments_of(source: str) -> dict[int, str]:
    """The comment that ends a line of code, by its number from 1 on."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens
            if t.type == tokenize.COMMENT}


def cell_of(notebook: Path) -> str:
    """The source of the tagged cell, empty where there is none.

    Where the two files of a pair differ in it, or one cannot be read, `load` decides.
    """
    pair = {file: _read for file, _read in (
        (notebook.with_suffix(".py"), _in_source),
        (notebook.with_suffix(".ipynb"), _in_notebook)) if file.exists()}
    try:
        sources = {read(file.read_text(encoding="utf-8")).rstrip()
                   for file, read in pair.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        sources = set()
    if len(sources) == 1:
        return sources.pop()
    from book.fingerprint import load  # takes seconds to import

    return next((cell.source for cell in load(notebook).cells
                 if "parameters" in cell.metadata.get("tags", [])), "")


def _in_source(text: str) -> str:
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        if head := HEAD.match(line):
            if inside:
                break
            inside = '"parameters"' in head[1]
        elif inside:
            lines.append(line)
    return "\n".join(lines)


def _in_notebook(text: str) -> str:
    cells = (cell for cell in json.loads(text)["cells"]
             if "parameters" in cell["metadata"].get("tags", []))
    return "".join(next(cells, {"source": ""})["source"])


def parse_value(text: str) -> Any:
    """Read a value as papermill's -p does; [lists] and {tables} as its YAML.

    >>> parse_value("3"), parse_value("1e-4"), parse_value("True"), parse_value("no")
    (3, 0.0001, True, 'no')
    >>> parse_value("[1, 2]"), parse_value("None"), parse_value("안녕하세요")
    ([1, 2], None, '안녕하세요')
    """
    if text in PLAIN:
        return PLAIN[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if text[:1] in ("[", "{"):
        import yaml
        from papermill.iorw import NoDatesSafeLoader  # takes seconds to import

        try:
            return yaml.load(text, Loader=NoDatesSafeLoader)
        except yaml.YAMLError:
            return text
    return text


def fitting(parameter: Parameter, text: str, notebook: str) -> Any:
    """The value of ``-p name text`` as the kind of value that the parameter has.

    Raises
    ------
    UsageError
        If it is of another kind, beyond the limits, or no value of JSON, which has
        neither `nan` nor `inf`.

    >>> fitting(Parameter("sentence", "The dog ran.", "str"), "42", "02")
    '42'
    >>> fitting(Parameter("lr", 3e-4, "float"), "1", "09")
    1.0
    """
    if text == "None" and parameter.default is None:
        return None
    value = text if parameter.kind == "str" else parse_value(text)
    value = as_kind(parameter.kind, value)
    limits = parameter.limits
    if value is UNKNOWN or (limits and not limits[0] <= value <= limits[1]):
        default = parameter.default
        default = "" if default is UNKNOWN else f" (default {default!r})"
        raise UsageError(
            f"parameter {parameter.name} of {notebook} is {parameter.wanted}{default}, "
            f"and {quoted(text)} is not; give one"
        )
    return value


def as_kind(kind: str, value: Any) -> Any:
    """The value as one of that kind; UNKNOWN where it is none.

    >>> as_kind("float", 3), as_kind("list[int]", [1, 2]), as_kind("", "no")
    (3.0, [1, 2], 'no')
    >>> as_kind("int", True) is as_kind("float", float("nan")) is UNKNOWN
    True
    """
    kind, _, item = kind.rstrip("]").partition("[")
    if kind == "float" and type(value) is int:
        value = _as_float(value)
    if kind and type(value).__name__ != kind:
        return UNKNOWN
    if item:
        value = [as_kind(item, entry) for entry in value]
        return UNKNOWN if UNKNOWN in value else value
    try:  # what a notebook and a report can hold, and read back as it was
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (ValueError, TypeError, RecursionError):
        return UNKNOWN
    return value if same else UNKNOWN


def _as_float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def quoted(text: str) -> str:
    """A value as a message repeats it: on one line, in quotes, not too long.

    >>> quoted("a\\nb"), quoted("a" * 100) == repr("a" * 59 + "…")
    ("'a\\\\nb'", True)
    """
    return repr(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
