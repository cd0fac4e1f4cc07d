"""Write the paired notebook (.ipynb) of every chapter source (.py).

    python -m book.sync                      every notebooks/NN_*.py
    python -m book.sync notebooks/02_x.py    only these
    python -m book.sync --check              write nothing, name what is out of step

The source of a chapter is ``notebooks/NN_name.py`` (py:percent). Its pair
``notebooks/NN_name.ipynb`` holds the same cells, no outputs and cell ids that
follow from the labels, so that an unchanged source gives the same bytes again
and an edit in one section leaves the ids of the others alone. JupyterLab and
``jupytext --sync`` carry an edit from either file to the other.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from book.files import ROOT, SyncError, shown, write_atomically
from lib.commands import module_command

NOTEBOOKS = ROOT / "notebooks"
LABEL = re.compile(r"^<!--\s*label:\s*([^\s]+)\s*-->", re.MULTILINE)
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
# what reaches the .py; the same as in pyproject.toml, [tool.jupytext]
FILTERS = {
    "notebook_metadata_filter": "kernelspec,jupytext.formats,-all",
    "cell_metadata_filter": "tags,-all",
}
LANGUAGES = {"lang-ko": "ko", "lang-en": "en"}


@dataclass(frozen=True)
class Pair:
    """What `sync` found: the file, its state and one sentence about it.

    ``state`` is ``"same"``, ``"written"`` or, when only checking, ``"differs"``.
    """

    ipynb: Path
    state: str
    reason: str = ""


def sources() -> list[Path]:
    """Every chapter source, in the order of the book."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))


def cell_ids(cells: list[NotebookNode]) -> list[str]:
    """An id for each cell: label of its section, kind, place in the section.

    A kind is ``ko``, ``en``, ``md``, ``raw`` or ``code``; the first of a kind in
    a section carries no number. Ids change only inside a section where cells
    come or go.

    >>> from nbformat.v4 import new_code_cell, new_markdown_cell
    >>> def prose(lang):
    ...     meta = {"tags": [f"lang-{lang}"]}
    ...     return new_markdown_cell("<!-- label: q -->\\n## Q", metadata=meta)
    >>> cell_ids([new_code_cell("1"), prose("ko"), prose("en"),
    ...           new_code_cell("2"), new_code_cell("2")])
    ['top-code', 'q-ko', 'q-en', 'q-code', 'q-code-2']
    """
    label, seen, ids = "top", Counter(), []
    for cell in cells:
        kind = {"code": "code", "raw": "raw"}.get(cell.cell_type, "md")
        if kind == "md":
            for tag in cell.metadata.get("tags", []):
                kind = LANGUAGES.get(tag, kind)
            if found := LABEL.search(cell.source):
                label = re.sub(r"[^a-zA-Z0-9_-]", "-", found[1])[:48] or "top"
        seen[label, kind] += 1
        number = seen[label, kind]
        ids.append(f"{label}-{kind}" + (f"-{number}" if number > 1 else ""))
    taken: set[str] = set()
    for place, name in enumerate(ids):  # labels "a" and "a-code" may collide
        while name in taken:
            name += "_"
        taken.add(name)
        ids[place] = name
    return ids


def paired(source: Path) -> NotebookNode:
    """The notebook of a py:percent source: its cells, no outputs, fixed ids."""
    try:
        text = source.read_text(encoding="utf-8-sig")  # some editors put a mark first
        notebook = jupytext.reads(text, fmt="py:percent")
    except (UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise SyncError(
            f"{shown(source)} cannot be read as py:percent: {error}"
        ) from None
    about = notebook.metadata
    formats = about.get("jupytext", {}).get("formats", "ipynb,py:percent")
    notebook.metadata = NotebookNode(
        jupytext={"formats": formats, **FILTERS},
        kernelspec=about.get("kernelspec") or KERNEL,
        language_info={"name": "python"},
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell, name in zip(notebook.cells, cell_ids(notebook.cells), strict=True):
        cell.id = name
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def rendered(source: Path) -> str:
    """The exact text of the paired .ipynb of ``source``."""
    return nbformat.writes(paired(source)).rstrip("\n") + "\n"


def inputs(notebook: NotebookNode) -> list[tuple]:
    """What a person edits in a notebook: kind, tags and text of each cell."""
    return [
        (cell.cell_type, tuple(cell.metadata.get("tags", [])), cell.source.rstrip())
        for cell in notebook.cells
    ]


def difference(new: NotebookNode, old: Path) -> tuple[bool, str]:
    """Does a person's text differ between ``new`` and the file, and where?"""
    try:
        was = nbformat.read(old, as_version=4)
    except Exception:  # noqa: BLE001 - nbformat raises many kinds for a broken file
        return False, "is not a readable notebook"
    mine, theirs = inputs(new), inputs(was)
    if mine != theirs:
        first = next(
            (n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b),
            min(len(mine), len(theirs)),
        )
        return True, f"differs from the source at cell {first + 1}"
    if any(cell.get("outputs") for cell in was.cells):
        return False, "holds outputs"
    return False, "has other ids or metadata than the source gives"


def sync_one(source: Path, check: bool = False, force: bool = False) -> Pair:
    """Bring the pair of one source in step; see `sync`."""
    source = Path(source)
    stamp = source.stat()
    notebook = paired(source)
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    ipynb = source.with_suffix(".ipynb")
    if not ipynb.exists():
        state, reason, edited = "differs", "is missing", False
    else:
        if ipynb.read_bytes() == text.encode():
            return Pair(ipynb, "same")
        edited, reason = difference(notebook, ipynb)
        state = "differs"
    if check:
        return Pair(ipynb, state, reason)
    if edited and not force and ipynb.stat().st_mtime_ns > stamp.st_mtime_ns:
        raise SyncError(
            f"{shown(ipynb)} {reason} and is newer: take its edit with "
            f"`{module_command('jupytext', '--sync', shown(ipynb))}`, or drop it with "
            f"`{module_command('book.sync', '--force', shown(source))}`"
        )
    write_atomically(ipynb, text)
    # as old as the source it came from: an edit made meanwhile stays newer
    os.utime(ipynb, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    return Pair(ipynb, "written", reason)


def sync(
    files: list[Path] | None = None, check: bool = False, force: bool = False
) -> list[Pair]:
    """Bring the .ipynb of each source in step with it (all sources by default).

    A file already in step is not touched. With ``check`` nothing is written and
    a pair out of step has the state ``"differs"``. Outputs in an .ipynb are
    dropped. An .ipynb with a newer edit of its own raises `SyncError` instead of
    losing it, unless ``force``.
    """
    found = sources() if files is None else [as_source(Path(f)) for f in files]
    return [sync_one(source, check, force) for source in found]


def as_source(path: Path) -> Path:
    """The .py of a pair named by either file."""
    source = path.with_suffix(".py")
    if path.suffix not in (".py", ".ipynb") or not source.is_file():
        known = ", ".join(p.name for p in sources()) or "none yet"
        raise SyncError(f"{path} is not a chapter source; the book has: {known}")
    return source


def orphans() -> list[Path]:
    """Chapter notebooks whose source is gone."""
    return [
        p for p in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
        if not p.with_suffix(".py").exists()
    ]


def main(argv: list[str] | None = None) -> int:
    """The command line: 0 when every pair is in step (or now is), else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m book.sync",
        description="Write the .ipynb of every chapter source (.py), without outputs.",
    )
    parser.add_argument("files", nargs="*", type=Path, help="sources; default: all")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; name pairs out of step"
    )
    parser.add_argument(
        "--force", action="store_true", help="drop newer edits made in an .ipynb"
    )
    options = parser.parse_args(argv)
    files = options.files or sources()
    bad = 0
    for file in files:
        try:
            pair = sync_one(as_source(file), options.check, options.force)
        except SyncError as error:
            print(error, file=sys.stderr)
            bad += 1
            continue
        if pair.state == "written":
            print(f"wrote {shown(pair.ipynb)}")
        elif pair.state == "differs":
            bad += 1
            print(
                f"{shown(pair.ipynb)} {pair.reason}: "
                f"run `{module_command('book.sync')}`",
                file=sys.stderr,
            )
    for lost in [] if options.files else orphans():
        bad += 1
        print(
            f"{shown(lost)} has no source {lost.stem}.py beside it: "
            f"bring the source back or delete the notebook",
            file=sys.stderr,
        )
    if not bad and options.check:
        print(f"{len(files)} notebook pairs are in step")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
