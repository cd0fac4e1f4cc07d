"""Run a group of notebooks, or one, with papermill and a report.

    ./setup_and_run.sh run GROUP|NOTEBOOK [-p name value]… [--profile P] [--jobs N]
                       [--out DIR] [--force] [--list]

Groups stand in `notebooks/batch.toml`; one may bring values of its own for parameters
(`[presets]`), over which `-p` wins. A notebook is named by its number (`02`), its name
(`02_qkv_tracing`) or a path. What has finished with the same code, data
and parameters is not run again. One failure leaves the results of the others; the
report, `report.md` and `report.json` in the output folder, names it.

The whole command is checked before anything starts, and before what takes seconds to
import is imported. `book.command` reads its words.

Exit code: 0 all passed, 1 some failed, 2 the command is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import importlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from book.alone import alone
from book.command import listed, parse, refuse_others
from book.files import ROOT, SyncError, shown
from book.jobs import NOTEBOOKS, Catalogue, Job, catalogue
from book.parameters import UsageError, fitting, parameters_of, quoted

RUNS = ROOT / "runs"


def assign(
    paths: list[Path], given: list[tuple[str, str]], known: Catalogue
) -> dict[Path, dict]:
    """Give each notebook those parameters that it has.

    Raises
    ------
    UsageError
        If no notebook has a parameter of that name, or the value does not fit.
    """
    have = {path: parameters_of(path) for path in paths}
    given = [(name.replace("-", "_"), text) for name, text in given]
    for name, _ in given:
        if any(name in table for table in have.values()):
            continue
        names = sorted({n for table in have.values() for n in table})
        near = known.known(name, names)
        who = (
            f"this notebook ({paths[0].stem}) has"
            if len(paths) == 1
            else "these notebooks have"
        )
        raise UsageError(
            f"unknown parameter {quoted(name)}"
            + (f" (did you mean '{near}'?)" if near else "")
            + f"; {who}: {', '.join(names) or 'no parameters'}"
        )
    return {
        path: {
            name: fitting(table[name], text, path.stem)
            for name, text in given
            if name in table
        }
        for path, table in have.items()
    }


def place(
    what: str, profile: str, given: list[tuple[str, str]], out: str | None
) -> Path:
    """The output folder: ``--out``, else runs/<what>-<profile>[-<parameters>]."""
    if out:
        folder = Path(out).expanduser().absolute()
    else:
        words = [Path(what).stem, profile, *(f"{n}={v}" for n, v in given)]
        whole = "-".join(words)
        name = re.sub(r"[^\w.=-]+", "_", whole)
        if name != whole or len(name.encode()) > 80:  # two values may look the same
            sign = hashlib.sha256(whole.encode("utf-8", "surrogateescape"))
            short = name if len(name.encode()) <= 60 else f"{Path(what).stem}-{profile}"
            name = f"{short}-{sign.hexdigest()[:8]}"
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


def data_is_read(jobs: list[Job]) -> bool:
    """Whether a notebook reaches `lib.data`.

    Raises
    ------
    SyncError
        If a notebook cannot be read.
    """
    from book.fingerprint import code_cells, library, load, reads_data

    cells = (cell.source for job in jobs for cell in code_cells(load(job.notebook)))
    return reads_data(library(cells))


def have_data() -> int:
    """Have the data in place before notebooks that read it ask for it all at once.

    Returns the exit code of `lib.data`, which has said in one sentence what is wrong.
    """
    command = [sys.executable, "-m", "lib.data", "--quick"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


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
    if not options.jobs.isdecimal() or int(options.jobs) < 1:
        raise UsageError(f"--jobs is '{options.jobs}'; give a whole number from 1 on")
    paths = known.find(options.what)
    if options.others:
        names = {name for path in paths for name in parameters_of(path)}
        refuse_others(options.others, names)
    values = assign(paths, given, known)
    group = known.group(options.what)
    preset = known.presets.get(group, {}) if group else {}
    pages = {path: known.page(path) for path in paths if group == "book"}
    anew = {path for path in paths
            if path.stem[:2] in known.always and path not in pages}
    anyway = {"force": True} if options.force else {}
    values = {
        path: pages.get(path, preset)
        | {name: value for name, value in anyway.items() if name in parameters_of(path)}
        | values[path]
        for path in paths
    }
    for path in paths:
        check(path, values[path], profile, known)
    folder = place(options.what, profile, given, options.out)
    jobs = [
        Job(
            path, profile, values[path],
            folder / f"{path.stem}.ipynb",
            options.force or path in anew, known.needed(path),
        )
        for path in paths
    ]
    return jobs, folder, int(options.jobs), given


def check(
    notebook: Path, given: dict[str, Any], profile: str, known: Catalogue
) -> None:
    """Refuse values that the words, or the check that `batch.toml` names, refuse.

    Raises
    ------
    UsageError
        One sentence: what came and what works.
    """
    table = parameters_of(notebook)
    if name := known.checks.get(notebook.stem[:2]):
        module, _, function = name.partition(":")
        values = {name: p.default for name, p in table.items() if name != "profile"}
        try:
            getattr(importlib.import_module(module), function)(values | given, profile)
        except ValueError as error:
            raise UsageError(str(error)) from None
        return
    for name, value in given.items():
        choices = table[name].choices
        if choices and value is not None and value not in choices:
            raise UsageError(
                f"{name} {quoted(value)} is not known to {notebook.stem}; use one of "
                f"{', '.join(choices)}"
            )


def main(argv: list[str] | None = None, folder: Path = NOTEBOOKS) -> int:
    """The command line; ``folder`` is where the notebooks and batch.toml are."""
    try:
        known = catalogue(folder)
        options = parse(sys.argv[1:] if argv is None else argv, known)
        if options.list:
            print(listed(known, options.what))
            return 0
        jobs, out, workers, given = plan(options, known)
        needed = data_is_read(jobs)
    except (UsageError, SyncError) as error:
        print(error, file=sys.stderr)
        return 2
    lock = out / ".lock"
    lock.touch()
    try:
        with alone(lock, "run", note=out / ".running.json", where=shown(out)):
            return run(jobs, workers, needed, options.what, out, given, known)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from there", file=sys.stderr)
        return 130


def run(
    jobs: list[Job], workers: int, needed: bool, what: str, out: Path,
    given: list[tuple[str, str]], known: Catalogue,
) -> int:
    """Execute and report; data is had first where it is ``needed``."""
    from book.execute import Interrupted, execute_many
    from book.report import report

    title = f"{what}, profile {jobs[0].profile}"
    stopped = False
    try:
        if needed and (code := have_data()):
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
    report(results, out, title, given, known.key_results)
    print(f"report and notebooks: {shown(out)}")
    bad = [r for r in results if not r.ok]
    if stopped:
        done = [r.name for r in results if r.ok]
        for result in results:
            if result.error and result.status == "interrupted":
                print(f"{result.name}: {result.error}", file=sys.stderr)
        anew = any(job.force and job.parameters.get("force") for job in jobs)
        without = " without --force" if anew else ""
        print(f"interrupted; finished: {', '.join(done) or 'none'}; "
              f"the same command{without} goes on from there", file=sys.stderr)
        return 130
    if bad:
        names = ", ".join(r.name for r in bad)
        print(f"{len(bad)} of {len(results)} did not pass: {names}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
