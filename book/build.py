"""Build the site: execute each notebook once, stage two editions, join them.

`python -m book.build [--profile smoke|book|gpu] [--jobs N] [--out DIR]`
"""

import argparse
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import yaml

from book.alone import alone
from book.assemble import assemble, install_modules
from book.cli import BUILD_NOTE, BUILDING
from book.editions import LANGS, Records, stage_notebook, stage_page, stage_toc
from book.execute import (
    Interrupted,
    MergeError,
    Result,
    execute_many,
    merge,
)
from book.instruments import Mounts, exports_of
from book.jobs import book_jobs
from book.landing import fill_markers, landing_page
from book.missing import notice, summary
from book.outputs import BuildError
from book.pairs import PairError
from book.sync import SyncError, paired, sync, write_atomically
from lib.page.profile import PROFILES, profile_name

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "_build"


def read_toc() -> tuple[dict, list[Path], list[Path]]:
    """Read `_toc.yml`: itself, its prose pages, its chapters' sources.

    Raises
    ------
    BuildError
        If it names a file that is not there.
    """
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    names = [toc["root"]] + [
        chapter["file"] for part in toc["parts"] for chapter in part["chapters"]
    ]
    pages, chapters = [], []
    for name in names:
        chapter = name.startswith("notebooks/")
        path = ROOT / (name + (".py" if chapter else ".md"))
        if not path.exists():
            raise BuildError(f"_toc.yml names {name}, but there is no {path.name}.")
        (chapters if chapter else pages).append(path)
    return toc, pages, chapters


def run_chapters(chapters: list[Path], profile: str, jobs: int) -> dict[str, Result]:
    """Execute the chapters, or take them from the cache; say which did not run.

    Raises
    ------
    BuildError
        If none runs: then there is nothing to make a site of.
    """
    wanted = {path.stem for path in chapters}
    items = [job for job in book_jobs(profile) if job.name in wanted]
    results = execute_many(items, jobs=jobs)
    failed = [result for result in results if not result.ok]
    for result in failed:
        rest = (f" What ran until then is in {shown(result.path)}."
                if result.path else "")
        print(f"{result.name} did not run: {result.error.rstrip('.')}.{rest}",
              file=sys.stderr, flush=True)
    if len(failed) == len(results):
        raise BuildError("no chapter ran (see above), so no site was made.")
    executed = [result for result in results if result.ok and not result.cached]
    took = sum(result.seconds for result in executed)
    print(f"Executed {len(executed)} of {len(results)} notebooks"
          + (f" in {took:.0f} s of computing." if executed else
             "." if failed else "; nothing in their code has changed."), flush=True)
    return {result.name: result for result in results}


def shown(path: Path) -> str:
    """Name a file from the root of the book."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def stage(toc: dict, pages: list[Path], results: dict[str, Result],
          notebooks: dict[str, nbformat.NotebookNode], lang: str, folder: Path,
          mounts: Mounts) -> None:
    """Write the sources of one edition into `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    records: Records = {
        name[:2]: {key: entry["text"] for key, entry in result.records.items()}
        if result.ok else None
        for name, result in results.items()
    }
    for name, notebook in notebooks.items():
        result = results[name]
        staged = stage_notebook(notebook, lang, records, name,
                                "" if result.ok else notice(result, lang), mounts)
        nbformat.write(staged, folder / f"{name}.ipynb")
    for page in pages:
        text = stage_page(page, lang, records)
        text = fill_markers(text, lang, notebooks)
        (folder / page.name).write_text(text, encoding="utf-8")
    (folder / "_toc.yml").write_text(stage_toc(toc, lang), encoding="utf-8")


def check_out(out: Path) -> None:
    """Refuse a folder for the site that holds something else: it would be replaced.

    Raises
    ------
    BuildError
        If `out` is not ours to replace, or its folder cannot be written to.
    """
    ours = all((out / name).exists() for name in ("index.html", "assets", *LANGS))
    empty = not os.path.lexists(out) or (out.is_dir() and not any(out.iterdir()))
    if not (ours or empty):
        raise BuildError(f"{out} holds something that is no site of this book, and "
                         "would be replaced: name an empty or a new folder with --out.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise BuildError(f"the site cannot be written to {out} ({error.strerror}): "
                         "name another folder with --out.") from None


def page_of(name: str, result: Result) -> nbformat.NotebookNode:
    """The notebook of a page: with its outputs, or without any if it did not run."""
    source = paired(ROOT / "notebooks" / f"{name}.py")
    return merge(source, nbformat.read(result.path, 4)) if result.ok else source


def build(profile: str, jobs: int, out: Path) -> list[Result]:
    """Build the site at `out` from what runs; return what did not.

    Raises
    ------
    BuildError
        If no chapter runs or a step fails; the last good site stays.
    """
    begun = time.monotonic()
    check_out(out)
    toc, pages, chapters = read_toc()
    sync()
    install_modules()
    results = run_chapters(chapters, profile, jobs)
    notebooks = {name: page_of(name, result) for name, result in results.items()}
    work = BUILD / "editions" / profile
    mounts = Mounts({name[:2]: exports_of(notebook) if results[name].ok else None
                     for name, notebook in notebooks.items()})
    running = {}
    for lang in LANGS:
        staged, html = work / f"staged-{lang}", work / f"html-{lang}"
        stage(toc, pages, results, notebooks, lang, staged, mounts)
        shutil.rmtree(html, ignore_errors=True)
        running[lang] = subprocess.Popen(
            [sys.executable, "-m", "book.edition", lang, str(staged), str(html)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            encoding="utf-8", env=os.environ | {"PYTHONUTF8": "1", "NO_COLOR": "1"},
        )
    said = {lang: process.communicate()[0] for lang, process in running.items()}
    broken = [lang for lang, process in running.items() if process.returncode]
    if broken:
        lines = [line for lang in broken for line in said[lang].splitlines()
                 if line.strip()]
        raise BuildError(
            f"Sphinx did not accept the {' and '.join(broken)} edition:\n"
            + "\n".join(lines[-30:])
        )
    assemble(
        {lang: work / f"html-{lang}" for lang in LANGS}, out,
        [path.with_suffix(".ipynb") for path in chapters], landing_page(notebooks),
        mounts,
    )
    took = time.monotonic() - begun
    print(f"The site is in {shown(out)} ({took:.0f} s).", flush=True)
    return [result for result in results.values() if not result.ok]


def positive(text: str) -> int:
    """Read a number of jobs."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Read the options and build; errors end in one sentence.

    0: all is there. 1: it could not be built, or (`--note` then says what) lacks
    chapters. 130: interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="build", description=str(__doc__).split("\n")[0])
    parser.add_argument("--profile", metavar="|".join(PROFILES))
    parser.add_argument("--jobs", type=positive, default=min(2, os.cpu_count() or 1),
                        help="notebooks executed at a time (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=BUILD / "site",
                        help="where the site goes (default: _build/site)")
    parser.add_argument("--note", type=Path,
                        help="a file for the last line of a site that lacks something")
    options = parser.parse_args(arguments)
    try:
        profile = profile_name(options.profile)
        with alone(*BUILDING, note=BUILD_NOTE):
            missing = build(profile, options.jobs, options.out.resolve())
    except (BuildError, MergeError, PairError, SyncError, ValueError) as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print("build: the disk is full: free some space and run the same again; what "
              "had been executed is kept.", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Interrupted):
        print("build: interrupted; what had been executed is kept, and the same "
              "command goes on from there.", file=sys.stderr)
        return 130
    if not missing:
        return 0
    line = summary(missing, profile)
    if options.note:
        write_atomically(options.note, line + "\n")
    print(line, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
