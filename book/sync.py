"""Write the paired notebook (.ipynb) of every chapter source (.py).

    python -m book.sync                      every notebooks/NN_*.py
    python -m book.sync notebooks/02_x.py    only these
    python -m book.sync --check              write nothing, name what is out of step
    python -m book.sync --take notebooks/02_x.ipynb   write the source from its notebook

The source of a chapter is ``notebooks/NN_name.py`` (py:percent). Its pair
``notebooks/NN_name.ipynb`` holds the same cells, no outputs and cell ids that
follow from the labels, so that an unchanged source gives the same bytes again
and an edit in one section leaves the ids of the others alone. JupyterLab and
``jupytext --sync`` carry an edit from either file to the other.

Which of two files that differ was edited is told by content, never by the clock, which
a checkout or a copy moves: the pair carries a hash of the text that was last in step
(``stamp``). An edit made in the .ipynb is never written over.
"""

from __future__ import annotations

import argparse
import hashlib
import json
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
STAMP = "synced"  # in the metadata of an .ipynb, under "agt"


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
        agt={STAMP: stamp(notebook)},
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


def stamp(notebook: NotebookNode) -> str:
    """A hash of what a person edits in a notebook."""
    text = json.dumps(inputs(notebook), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def edited(source: NotebookNode, ipynb: NotebookNode) -> tuple[bool, bool]:
    """Whether the source and whether the .ipynb was edited since they were in step.

    Both, for all we know, where the .ipynb carries no stamp.
    """
    last = ipynb.metadata.get("agt", {}).get(STAMP)
    return stamp(source) != last, stamp(ipynb) != last


def chosen(source: Path, mine: NotebookNode, theirs: NotebookNode) -> NotebookNode:
    """Of the two texts of a pair the one that was edited, or the source's.

    Raises
    ------
    SyncError
        If both were edited; the message says how to choose.
    """
    if inputs(mine) == inputs(theirs):
        return mine
    match edited(mine, theirs):
        case True, True:
            raise conflict(source, "the two differ")
        case False, True:
            return theirs
    return mine


def conflict(source: Path, reason: str) -> SyncError:
    """What to say of an .ipynb with an edit that its source does not have."""
    ipynb = source.with_suffix(".ipynb")
    return SyncError(
        f"{shown(ipynb)} holds an edit that {shown(source)} does not have ({reason}): "
        f"take it over with `{module_command('book.sync', '--take', shown(ipynb))}`, "
        f"or drop it with `{module_command('book.sync', '--force', shown(source))}`"
    )


def difference(
    source: NotebookNode, ipynb: NotebookNode | None
) -> tuple[bool, str]:
    """Does a person's text differ between the two, and where?"""
    if ipynb is None:
        return False, "is not a readable notebook"
    mine, theirs = inputs(source), inputs(ipynb)
    if mine != theirs:
        first = next(
            (n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b),
            min(len(mine), len(theirs)),
        )
        return True, f"differs from the source at cell {first + 1}"
    if any(cell.get("outputs") for cell in ipynb.cells):
        return False, "holds outputs"
    return False, "has other ids or metadata than the source gives"


def sync_one(source: Path, check: bool = False, force: bool = False) -> Pair:
    """Bring the pair of one source in step; see `sync`."""
    source = Path(source)
    times = source.stat()
    notebook = paired(source)
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    ipynb = source.with_suffix(".ipynb")
    if not ipynb.exists():
        reason = "is missing"
    else:
        if ipynb.read_bytes() == text.encode():
            return Pair(ipynb, "same")
        theirs = readable(ipynb)
        differs, reason = difference(notebook, theirs)
        if (theirs is not None and differs and not (check or force)
                and edited(notebook, theirs)[1]):
            raise conflict(source, reason)
        if theirs is None and not check:
            reason += f", and is kept as {shown(keep(ipynb))}"
    if check:
        return Pair(ipynb, "differs", reason)
    write_atomically(ipynb, text)
    # as old as the source it came from: to Jupytext neither of them is outdated
    os.utime(ipynb, ns=(times.st_atime_ns, times.st_mtime_ns))
    return Pair(ipynb, "written", reason)


def readable(ipynb: Path) -> NotebookNode | None:
    """The notebook in a file, None where there is none to read."""
    try:
        return nbformat.read(ipynb, as_version=4)
    except Exception:  # noqa: BLE001 - nbformat raises many kinds for a broken file
        return None


def keep(ipynb: Path) -> Path:
    """Put a broken .ipynb aside: somebody's cells may be in it."""
    place = ipynb.with_name(ipynb.name + ".kept")
    os.replace(ipynb, place)
    return place


def take(ipynb: Path) -> Pair:
    """Write the source of a pair from its .ipynb, and bring the two in step."""
    source, notebook = as_source(ipynb), readable(ipynb)
    if notebook is None:
        raise SyncError(f"{shown(ipynb)} is not a readable notebook; mend it first")
    header = paired(source).metadata
    notebook.metadata = NotebookNode(
        jupytext=header["jupytext"], kernelspec=header["kernelspec"]
    )
    write_atomically(source, jupytext.writes(notebook, fmt="py:percent"))
    return sync_one(source, force=True)


def sync(
    files: list[Path] | None = None, check: bool = False, force: bool = False
) -> list[Pair]:
    """Bring the .ipynb of each source in step with it (all sources by default).

    A file already in step is not touched. With ``check`` nothing is written and
    a pair out of step has the state ``"differs"``. Outputs in an .ipynb are
    dropped. An .ipynb with an edit of its own raises `SyncError` instead of losing
    it, unless ``force``.
    """
    found = sources() if files is None else [as_source(Path(f)) for f in files]
    return [sync_one(source, check, force) for source in found]


def expect_no_edit(source: Path) -> None:
    """Raise `SyncError` where the .ipynb holds an edit that the source does not."""
    theirs = readable(source.with_suffix(".ipynb"))
    if theirs is not None:
        mine = paired(source)
        differs, reason = difference(mine, theirs)
        if differs and edited(mine, theirs)[1]:
            raise conflict(source, reason)


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
        "--force", action="store_true", help="drop edits made in an .ipynb"
    )
    parser.add_argument(
        "--take", action="store_true", help="write the sources from these .ipynb"
    )
    parser.add_argument(
        "--edited", action="store_true",
        help="write nothing; name each .ipynb with an edit that its source lacks",
    )
    options = parser.parse_args(argv)
    if options.take and not options.files:
        parser.error("--take wants the .ipynb files by name")
    files = options.files or sources()
    bad = 0
    for file in files:
        try:
            if options.edited:
                expect_no_edit(as_source(file))
                continue
            if options.take:
                print(f"wrote {shown(take(file).ipynb.with_suffix('.py'))}")
                continue
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
