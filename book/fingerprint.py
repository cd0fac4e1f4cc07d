"""What a run depends on, as one key: code, library, data, pins, profile, parameters.

Prose is not in the key, so that an edit of words re-renders without executing.
Everything a code cell can reach in the repository is: the modules of `lib` that it
imports, theirs in turn, the files those packages carry, and the data in the cache.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from book.files import ROOT, SyncError, shown
from book.sync import chosen, paired
from lib.commands import module_command

FORMAT = 1  # raise it when the executed notebook itself changes its form
# tags that change what is executed; the others only change how it looks
TAGS = {"parameters", "raises-exception", "skip-execution"}
MODULE = re.compile(r"lib(\.[A-Za-z_]\w*)*")


def load(notebook: Path) -> NotebookNode:
    """Read a chapter by either file of its pair, without outputs.

    Of a pair whose two texts differ, the one that was edited counts.

    Raises
    ------
    SyncError
        If a file of the pair cannot be read, or both were edited; the message says
        what to do.
    """
    notebook = Path(notebook)
    source, ipynb = notebook.with_suffix(".py"), notebook.with_suffix(".ipynb")
    if notebook.suffix == ".py" and not ipynb.exists():
        return paired(source)
    try:
        nb = nbformat.read(ipynb, as_version=4)
        nbformat.validate(nb)
    except Exception as error:  # noqa: BLE001 - nbformat raises many kinds
        why = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        remedy = (
            f"write it anew with `{module_command('book.sync', shown(source))}`"
            if source.exists()
            else "open and save it in JupyterLab, or bring back a good copy"
        )
        raise SyncError(
            f"{shown(ipynb)} is no notebook that can be read ({why[:120]}): {remedy}"
        ) from None
    if source.exists():
        nb = chosen(source, paired(source), nb)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nb


def code_cells(nb: NotebookNode) -> list[NotebookNode]:
    """The code cells of a notebook, without those that papermill put in."""
    return [
        cell
        for cell in nb.cells
        if cell.cell_type == "code"
        and "injected-parameters" not in cell.metadata.get("tags", [])
    ]


@functools.lru_cache(maxsize=512)
def imported(code: str, package: str = "") -> frozenset[str]:
    """Names of `lib` modules that this code may import.

    ``package`` is the package of the file, for relative imports. A string that
    reads like a module name counts too (`importlib.import_module("lib.data")`).

    >>> sorted(imported("from lib.page.figures import show; import os"))
    ['lib', 'lib.page', 'lib.page.figures', 'lib.page.figures.show']
    >>> sorted(imported("from . import qkv", package="lib.exercises"))
    ['lib', 'lib.exercises', 'lib.exercises.qkv']
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    mine = {name for name in found if MODULE.fullmatch(name)}
    for name in list(mine):
        parts = name.split(".")
        mine |= {".".join(parts[:n]) for n in range(1, len(parts))}
    return frozenset(mine)


def library(cells: Iterable[str], root: Path = ROOT) -> list[Path]:
    """The files of `lib` that these code cells reach, directly or not."""
    plain = TransformerManager().transform_cell  # %magics and !commands → Python
    waiting: set[str] = set()
    for cell in cells:
        try:
            waiting |= imported(plain(cell))
        except SyntaxError:  # the cell will fail when executed; that is its result
            continue
    seen: set[str] = set()
    files: set[Path] = set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        base = root.joinpath(*name.split("."))
        if (base / "__init__.py").is_file():
            file, package = base / "__init__.py", name
            files |= set(_carried(base))
        elif base.with_suffix(".py").is_file():
            file, package = base.with_suffix(".py"), name.rpartition(".")[0]
        else:
            continue  # a function or a class, not a module
        files.add(file)
        try:
            waiting |= imported(file.read_text(encoding="utf-8"), package) - seen
        except SyntaxError:
            continue
    return sorted(files)


def _carried(package: Path) -> Iterable[Path]:
    """Files a package ships beside its code, not those of packages inside it."""
    for entry in package.iterdir():
        if entry.name.startswith((".", "__pycache__")):
            continue
        if entry.is_dir():
            if not (entry / "__init__.py").exists():
                yield from _carried(entry)
        elif entry.suffix not in (".py", ".pyc"):
            yield entry


def reads_data(files: Iterable[Path], root: Path = ROOT) -> bool:
    """Whether these files of `lib` have the door to the data among them."""
    return root / "lib" / "data" / "__init__.py" in files


def data_state(
    files: list[Path], names: list[str] | None = None, root: Path = ROOT
) -> str:
    """The data that is there, as one hash; empty when the code reads no data.

    ``names`` are the rows that an execution asked for; without them all count.
    """
    if not reads_data(files, root):
        return ""
    from lib import data

    return data.fingerprint(names)


def code_key(
    nb: NotebookNode,
    profile: str,
    parameters: dict[str, Any],
    root: Path = ROOT,
) -> tuple[str, list[Path]]:
    """Hash all that a run depends on but the data, and the `lib` files it reaches."""
    cells = code_cells(nb)
    files = library((cell.source for cell in cells), root)
    pins = root / "requirements.txt"
    whole = {
        "format": FORMAT,
        "python": platform.python_version(),
        "profile": profile,
        "parameters": parameters,
        "cells": [
            [cell.source.rstrip(), sorted(TAGS & set(cell.metadata.get("tags", [])))]
            for cell in cells
        ],
        "lib": {str(f.relative_to(root)): _sha256(f) for f in files},
        "pins": _sha256(pins) if pins.exists() else "",
        "data": "",
    }
    table = root / "data" / "sources.toml"
    if reads_data(files, root) and table.exists():
        whole["data"] = _sha256(table)
    text = json.dumps(whole, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest(), files


def full_key(code: str, data: str) -> str:
    """Join the key of the code with the state of the data."""
    return hashlib.sha256(f"{code}\n{data}".encode()).hexdigest()


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
