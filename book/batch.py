"""Run a group of notebooks, or one, with papermill and a report.

    ./setup_and_run.sh run GROUP|NOTEBOOK [-p name value]… [--profile P] [--jobs N]
                       [--out DIR] [--force] [--list]

Groups stand in `notebooks/batch.toml`; one may bring values of its own for parameters
(`[presets]`), over which `-p` wins. A notebook is named by its number (`02`), its name
(`02_qkv_tracing`) or a path. What has finished with the same code, data
and parameters is not run again. One failure leaves the results of the others; the
report, `report.md` and `report.json` in the output folder, names it.

Exit code: 0 all passed, 1 some failed, 2 the command is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import errno
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml
from papermill.iorw import NoDatesSafeLoader

from book.execute import Interrupted, Job, execute_many
from book.fingerprint import code_cells, library, load
from book.report import report
from book.sync import ROOT, SyncError, shown

NOTEBOOKS = ROOT / "notebooks"
RUNS = ROOT / "runs"
UNKNOWN = object()  # a default that is not a plain value


class UsageError(Exception):
    """A command that cannot be meant; the message is the one sentence to print."""


@dataclass(frozen=True)
class Catalogue:
    """What `batch.toml` names: profiles, groups and what belongs to each."""

    folder: Path
    profiles: tuple[str, ...]
    groups: dict[str, list[str]]
    needs: dict[str, list[str]]
    key_results: dict[str, list[str]]
    pages: dict[str, dict[str, Any]]
    presets: dict[str, dict[str, Any]]
    always: tuple[str, ...] = ()

    def chapters(self) -> list[Path]:
        """The chapter notebooks that are there, by either file of the pair."""
        files = {
            p.stem: p
            for suffix in ("ipynb", "py")
            for p in self.folder.glob(f"[0-9][0-9]_*.{suffix}")
        }
        return [files[name] for name in sorted(files)]

    def numbered(self, number: str) -> Path | None:
        """The notebook of a chapter number."""
        found = [p for p in self.chapters() if p.name.startswith(f"{number}_")]
        return found[0] if found else None

    def members(self, group: str) -> list[Path]:
        """The notebooks of a group, groups inside it opened, each once."""
        found: list[Path] = []
        for entry in self.groups[group]:
            inner = self.groups.get(entry)
            paths = self.members(entry) if inner else [self.numbered(entry)]
            for path in paths:
                if path is None:
                    raise UsageError(
                        f"group '{group}' in batch.toml names notebook {entry}, which "
                        f"is not in {shown(self.folder)}; the folder has: "
                        f"{', '.join(p.stem for p in self.chapters()) or 'none'}"
                    )
                if path not in found:
                    found.append(path)
        return found

    def needed(self, path: Path) -> tuple[str, ...]:
        """Names of the notebooks that must pass before this one."""
        numbers = self.needs.get(path.stem[:2], [])
        return tuple(p.stem for n in numbers if (p := self.numbered(n)))

    def page(self, path: Path) -> dict[str, Any]:
        """The parameters with which the page of the book is made."""
        return self.pages.get(path.stem[:2], {})

    def find(self, what: str) -> list[Path]:
        """The notebooks that a GROUP, number, name or path means."""
        if what in self.groups:
            return self.members(what)
        for path in self.chapters():
            if what in (path.stem, path.stem[:2], path.stem[:2].lstrip("0")):
                return [path]
        path = Path(what)
        if path.suffix in (".ipynb", ".py") and path.is_file():
            return [path]
        raise UsageError(
            f"'{what}' is no group, notebook or file; groups: "
            f"{', '.join(self.groups)}; notebooks: "
            f"{', '.join(p.stem for p in self.chapters()) or 'none yet'}"
        )


def catalogue(folder: Path = NOTEBOOKS) -> Catalogue:
    """Read `batch.toml` of a folder of notebooks."""
    file = folder / "batch.toml"
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        return Catalogue(
            folder, tuple(table["profiles"]), table["groups"],
            table.get("needs", {}), table.get("key_results", {}),
            table.get("pages", {}), table.get("presets", {}),
            tuple(table.get("always", ())),
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise UsageError(f"{shown(file)} cannot be used: {error}") from None


def book_jobs(profile: str = "book", folder: Path = NOTEBOOKS) -> list[Job]:
    """One job for each chapter that is there, as `run book` makes them."""
    known = catalogue(folder)
    return [
        Job(path, profile, known.page(path), needs=known.needed(path))
        for path in known.chapters()
    ]


def parameters_of(notebook: Path) -> dict[str, Any]:
    """Name and default of each parameter: the assignments of the tagged cell.

    A default that is not a plain value is `UNKNOWN`.
    """
    found: dict[str, Any] = {}
    cells = load(notebook).cells
    tagged = (c for c in cells if "parameters" in c.metadata.get("tags", []))
    cell = next(tagged, None)
    try:
        lines = ast.parse(cell.source).body if cell else []
    except SyntaxError as error:
        raise UsageError(
            f"the parameter cell of {shown(notebook)} is not Python "
            f"(line {error.lineno}: {error.msg}); mend it and run this again"
        ) from None
    for node in lines:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value:
            targets, value = [node.target], node.value
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                try:
                    found[target.id] = ast.literal_eval(value)
                except ValueError:
                    found[target.id] = UNKNOWN
    return found


def parse_value(text: str) -> Any:
    """Read a value as papermill's -p does; [lists] and {tables} as its YAML.

    >>> parse_value("3"), parse_value("1e-4"), parse_value("True"), parse_value("no")
    (3, 0.0001, True, 'no')
    >>> parse_value("[1, 2]"), parse_value("None"), parse_value("안녕하세요")
    ([1, 2], None, '안녕하세요')
    """
    plain = {"True": True, "False": False, "None": None}
    if text in plain:
        return plain[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if text[:1] in ("[", "{"):
        try:
            return yaml.load(text, Loader=NoDatesSafeLoader)
        except yaml.YAMLError:
            return text
    return text


def fitting(name: str, text: str, default: Any, notebook: str) -> Any:
    """The value of ``-p name text`` as the kind of value that the default is.

    >>> fitting("sentence", "42", "The dog ran.", "02")
    '42'
    >>> fitting("lr", "1", 3e-4, "09")
    1.0
    """
    value = parse_value(text)
    if default is None or default is UNKNOWN:
        return value
    if isinstance(default, str):
        return text if text != "None" else None
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is type(default):
        return value
    if isinstance(default, (list, tuple)) and isinstance(value, list):
        return value
    kinds = {
        bool: "True or False", int: "a whole number", float: "a number",
        list: "a list such as [1, 2]", tuple: "a list such as [1, 2]",
        dict: "a table such as {a: 1}",
    }
    wanted = kinds.get(type(default), f"a {type(default).__name__}")
    raise UsageError(
        f"parameter {name} of {notebook} is {wanted} (default {default!r}), "
        f"and '{text}' is not; give one"
    )


def assign(paths: list[Path], given: list[tuple[str, str]]) -> dict[Path, dict]:
    """Give each notebook those parameters that it has.

    Raises
    ------
    UsageError
        If no notebook has a parameter of that name, or the value does not fit.
    """
    have = {path: parameters_of(path) for path in paths}
    for name, _ in given:
        if any(name in known for known in have.values()):
            continue
        names = sorted({n for known in have.values() for n in known})
        near = difflib.get_close_matches(name, names, 1)
        who = (
            f"this notebook ({paths[0].stem}) has"
            if len(paths) == 1
            else "these notebooks have"
        )
        raise UsageError(
            f"unknown parameter '{name}'"
            + (f" (did you mean '{near[0]}'?)" if near else "")
            + f"; {who}: {', '.join(names) or 'no parameters'}"
        )
    return {
        path: {
            name: fitting(name, text, known[name], path.stem)
            for name, text in given
            if name in known
        }
        for path, known in have.items()
    }


def place(
    what: str, profile: str, given: list[tuple[str, str]], out: str | None
) -> Path:
    """The output folder: ``--out``, else runs/<what>-<profile>[-<parameters>]."""
    if out:
        folder = Path(out).absolute()
    else:
        words = [Path(what).stem, profile, *(f"{n}={v}" for n, v in given)]
        name = re.sub(r"[^\w.=-]+", "_", "-".join(words))
        if len(name.encode()) > 80:
            sign = hashlib.sha256(name.encode()).hexdigest()[:8]
            name = f"{Path(what).stem}-{profile}-{sign}"
        folder = RUNS / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"the output folder {folder} cannot be written "
            f"({error.strerror or error}); name another with --out"
        ) from None
    return folder


def show_list(known: Catalogue) -> None:
    """Print groups, notebooks and their parameters."""
    print("groups")
    for group, entries in known.groups.items():
        own = known.presets.get(group, {})
        own = "".join(f"; {name} {value}" for name, value in own.items())
        print(f"  {group:<12} {', '.join(entries)}{own}")
    print("notebooks and their parameters")
    for path in known.chapters():
        print(f"  {path.stem:<28} {', '.join(parameters_of(path)) or 'none'}")
    print(f"profiles\n  {', '.join(known.profiles)}")


def have_data(jobs: list[Job]) -> int:
    """Have the data in place before notebooks that read it ask for it all at once.

    Returns the exit code of `lib.data`, which has said in one sentence what is wrong;
    0 as well where no notebook reads data.
    """
    cells = (cell.source for job in jobs for cell in code_cells(load(job.notebook)))
    if ROOT / "lib" / "data.py" not in library(cells):
        return 0
    command = [sys.executable, "-m", "lib.data", "--quick"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see ./setup_and_run.sh run --help")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = _Parser(
        prog="./setup_and_run.sh run", allow_abbrev=False,
        description="Run a group of notebooks, or one, and report.",
    )
    parser.add_argument("what", nargs="?", metavar="GROUP|NOTEBOOK",
                        help="a group, a number (02), a name, or a path")
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[],
                        metavar=("NAME", "VALUE"), help="set a notebook's parameter")
    parser.add_argument("--profile", help="default: BOOK_PROFILE, else book")
    parser.add_argument("--jobs", default="1", metavar="N",
                        help="notebooks at a time (default 1)")
    parser.add_argument("--out", metavar="DIR",
                        help="executed notebooks and the report (default runs/…)")
    parser.add_argument("--force", action="store_true",
                        help="run again what has finished")
    parser.add_argument("--list", action="store_true",
                        help="show groups, notebooks and their parameters")
    return parser.parse_args(argv)


def plan(
    options: argparse.Namespace, known: Catalogue
) -> tuple[list[Job], Path, int, list]:
    """Check the whole command before anything runs; say what will."""
    if options.what is None:
        raise UsageError(
            f"name a group ({', '.join(known.groups)}) or a notebook; --list shows all"
        )
    given = [(name, value) for name, value in options.parameter if name != "profile"]
    named = [value for name, value in options.parameter if name == "profile"]
    profile = options.profile or (named or [None])[-1]
    profile = profile or os.environ.get("BOOK_PROFILE") or "book"
    if profile not in known.profiles:
        raise UsageError(
            f"profile '{profile}' is not known; use one of {', '.join(known.profiles)}"
        )
    if not options.jobs.isdigit() or int(options.jobs) < 1:
        raise UsageError(f"--jobs is '{options.jobs}'; give a whole number from 1 on")
    paths = known.find(options.what)
    values = assign(paths, given)
    folder = place(options.what, profile, given, options.out)
    preset = known.presets.get(options.what, {})
    pages = {path: known.page(path) for path in paths if options.what == "book"}
    anew = {path for path in paths
            if path.stem[:2] in known.always and path not in pages}
    jobs = [
        Job(
            path, profile, pages.get(path, preset) | values[path],
            folder / f"{path.stem}.ipynb",
            options.force or path in anew, known.needed(path),
        )
        for path in paths
    ]
    return jobs, folder, int(options.jobs), given


def main(argv: list[str] | None = None, folder: Path = NOTEBOOKS) -> int:
    """The command line; ``folder`` is where the notebooks and batch.toml are."""
    try:
        options = parse(argv)
        known = catalogue(folder)
        if options.list:
            show_list(known)
            return 0
        jobs, out, workers, given = plan(options, known)
    except (UsageError, SyncError) as error:
        print(error, file=sys.stderr)
        return 2
    title = f"{options.what}, profile {jobs[0].profile}"
    stopped = False
    try:
        if code := have_data(jobs):
            return code
        results = execute_many(jobs, workers)
    except Interrupted as error:
        results, stopped = error.results, True
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print("the disk is full: free some space and run the same again; what has "
              "finished is kept", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from there", file=sys.stderr)
        return 130
    report(results, out, title, given, known.key_results)
    print(f"report and notebooks: {shown(out)}")
    bad = [r for r in results if not r.ok]
    if stopped:
        done = [r.name for r in results if r.ok]
        print(f"interrupted; finished: {', '.join(done) or 'none'}; "
              "the same command goes on from there", file=sys.stderr)
        return 130
    if bad:
        names = ", ".join(r.name for r in bad)
        print(f"{len(bad)} of {len(results)} did not pass: {names}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
