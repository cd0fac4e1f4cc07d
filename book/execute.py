"""Execute notebooks, once for each content: the only place that does.

    result = execute(Path("notebooks/02_qkv_tracing.py"), "smoke")
    results = execute_many([Job(path, "book") for path in chapters], jobs=2)
    page = merge(source, nbformat.read(result.path, 4))

An executed notebook is kept in `_build/executed/<profile>/<name>-<key>.ipynb`;
the key is that of its code (`book.fingerprint`), and inside stands which data it asked
for, and in which state. It is written in one rename and only when every cell passed.
What a failed run did is kept beside it as `….failed.ipynb`.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import nbformat
from nbformat import NotebookNode

from book.files import ROOT, write_atomically
from book.fingerprint import code_cells, code_key, data_state, full_key, load
from book.jobs import Job
from book.places import PLACEHOLDER, fill_notebook
from book.progress import Progress
from lib.page.record import state_of

EXECUTED = ROOT / "_build" / "executed"
RECORD_MIME = "application/vnd.agt.record+json"
FILES_WRITTEN = "files_written"  # lib.page.record.wrote
FILES_USED = "files_used"  # lib.page.record.used
KEPT = 8  # executed versions kept of each notebook and profile
GRACE = 70  # seconds a worker gets to let its notebook save, and to end
DEAD = "DeadKernelError"  # the kind of a failure that left no exception


class MergeError(Exception):
    """An executed notebook that is not of this source."""


@dataclass(frozen=True)
class Result:
    """What became of a job.

    ``status`` is ``ok``, ``failed``, ``skipped`` (a notebook it needs failed) or
    ``interrupted``. ``path`` is the executed notebook; of a failed one the part
    that ran; else None. ``seconds`` is how long executing took, also when that was
    earlier (``cached``). ``records`` maps a name to ``{"value": …, "text": …}``.
    ``cell`` and ``kind`` are the cell that failed and the class of its exception;
    ``needs`` the notebooks for which it was skipped.
    """

    name: str
    profile: str
    status: str
    path: Path | None = None
    seconds: float = 0.0
    cached: bool = False
    device: str = ""
    records: dict[str, dict] = field(default_factory=dict)
    error: str = ""
    key: str = ""
    cell: str = ""
    kind: str = ""
    needs: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.status == "ok"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: ``results`` says what had finished and what had not."""

    def __init__(self, results: list[Result]):
        super().__init__("interrupted")
        self.results = results


def records(nb: NotebookNode) -> dict[str, dict]:
    """All results that the cells of an executed notebook recorded, by name."""
    found: dict[str, dict] = {}
    for cell in code_cells(nb):
        for output in cell.get("outputs", []):
            found |= output.get("data", {}).get(RECORD_MIME, {})
    return found


def listed(nb: NotebookNode, name: str) -> list[str]:
    """The lines of a list that several cells may have recorded, all of them."""
    return [line for cell in code_cells(nb) for output in cell.get("outputs", [])
            for line in output.get("data", {}).get(RECORD_MIME, {}).get(
                name, {}).get("value", "").splitlines()]


def merge(source: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """Put the outputs of an executed notebook onto the cells of the source.

    Prose, ids and tags are those of ``source``; outputs, execution counts, widget
    state and language are those of ``executed``. Cells that papermill put in are
    left out.

    Raises
    ------
    MergeError
        If the code cells are not the same, in the same order.
    """
    page = cast(NotebookNode, nbformat.from_dict(json.loads(json.dumps(source))))
    mine, theirs = code_cells(page), code_cells(executed)
    for place, (cell, done) in enumerate(zip(mine, theirs, strict=False)):
        if cell.source.rstrip() != done.source.rstrip():
            raise MergeError(
                f"code cell {place + 1} ({cell.get('id')}) of the source is not what "
                "was executed; execute the notebook again"
            )
        cell.outputs = nbformat.from_dict(json.loads(json.dumps(done.outputs)))
        cell.execution_count = done.execution_count
    if len(mine) != len(theirs):
        raise MergeError(
            f"the source has {len(mine)} code cells and the executed notebook "
            f"{len(theirs)}; execute the notebook again"
        )
    for part in ("widgets", "language_info", "agt"):
        if part in executed.metadata:
            page.metadata[part] = executed.metadata[part]
    return page


def execute(
    notebook: Path,
    profile: str = "book",
    parameters: dict[str, Any] | None = None,
    out: Path | None = None,
    force: bool = False,
    progress: bool = False,
) -> Result:
    """Execute one notebook, or take it from the cache; see `execute_many`."""
    job = Job(Path(notebook), profile, parameters or {}, out, force)
    return execute_many([job], progress=progress)[0]


def execute_many(
    items: Iterable[Job | Path], jobs: int = 1, progress: bool = True
) -> list[Result]:
    """Execute notebooks, up to ``jobs`` at a time, the longest first.

    Results come in the order of ``items``; a failure ends only its own notebook
    and those that need it. Ctrl-C stops the running ones and raises `Interrupted`.
    """
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}; use 1 or more")
    runs = [Run(item if isinstance(item, Job) else Job(Path(item))) for item in items]
    known = {run.job.name for run in runs}
    for run in runs:
        run.needs = set(run.job.needs) & known
    waiting = [run for run in runs if not run.from_cache()]
    past = _durations()
    waiting.sort(key=lambda run: -past.get(run.label, float("inf")))
    events: queue.Queue = queue.Queue()
    active: list[Run] = []
    cells = {run.job.name: len(code_cells(run.nb)) for run in waiting}
    with closing(Progress(cells, progress)) as bar:
        try:
            while waiting or active:
                _start_ready(runs, waiting, active, jobs, events, bar)
                if not active:
                    continue
                try:
                    run, event = events.get(timeout=0.5)
                except queue.Empty:
                    continue
                if event is None:
                    active.remove(run)
                    run.finish()
                    _tell(bar, run.result)
                elif "bar" in event:
                    bar.inside(run.job.name, event["bar"])
                else:
                    bar.cell(run.job.name, **event)
        except KeyboardInterrupt:
            for run in active:
                run.ask()
            print("interrupted: what runs is saving and ends; Ctrl-C again ends it at "
                  "once", file=sys.stderr)
            for run in active:
                run.stop()
            for run in runs:
                if run.result is None:
                    run.result = Result(run.job.name, run.job.profile, "interrupted")
            results = [run.result for run in runs if run.result]
            raise Interrupted(results) from None
        finally:
            for run in active:
                run.stop()
            _keep_durations([run.result for run in runs if run.result])
    return [run.result for run in runs if run.result]


def _start_ready(runs, waiting, active, jobs, events, bar) -> None:
    """Start what may run now; skip what needs something that did not pass."""
    state = {run.job.name: run.result for run in runs}
    for run in list(waiting):
        needed = {name: state[name] for name in run.needs}
        bad = sorted(name for name, result in needed.items()
                     if result and not result.ok)
        if bad:
            waiting.remove(run)
            error = f"not run, for it needs {', '.join(bad)}"
            run.result = Result(
                run.job.name, run.job.profile, "skipped", error=error, key=run.key,
                needs=tuple(bad),
            )
            _tell(bar, run.result)
            return
        if len(active) < jobs and all(needed.values()):
            waiting.remove(run)
            active.append(run)
            run.start(events)
    if waiting and not active:
        raise ValueError(
            "notebooks need one another in a circle: "
            + ", ".join(run.job.name for run in waiting)
        )


def _tell(bar: Progress, result: Result) -> None:
    said = result.error or f"{result.seconds:.1f} s"
    bar.finished(result.name, f"{result.status}, {said}")


class Run:
    """One job on its way: its key, its process, its result."""

    def __init__(self, job: Job):
        self.job = job
        self.nb = load(job.notebook)
        self.label = f"{job.profile}/{job.name}"
        self.code, self.files = code_key(self.nb, job.profile, job.parameters)
        self.key = self._key(None)
        self.needs: set[str] = set()
        self.result: Result | None = None

    def entry(self, kind: str = "") -> Path:
        name = f"{self.job.name}-{self.code[:16]}{kind}.ipynb"
        return EXECUTED / self.job.profile / name

    def _key(self, data: list[str] | None) -> str:
        """The key of this code with the rows of data that it asks for, as they are."""
        return full_key(self.code, data_state(self.files, data))

    def from_cache(self) -> bool:
        """Take the executed notebook of this key, from the cache or from ``out``."""
        if self.job.force:
            return False
        places = [self.entry(), *([self.job.out] if self.job.out else [])]
        for place in places:
            try:
                text = place.read_text(encoding="utf-8")
                nb = cast(NotebookNode, nbformat.from_dict(json.loads(text)))
                about = nb.metadata["agt"]
                key = self._key(about["data"])
                if about["key"] != key or not (
                    self._files_are_there(nb) and self._files_are_as_read(nb)
                ):
                    continue
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # none there, or damaged: execute again
            self.key = key
            self._publish(text, new=place != self.entry())
            self.result = self._passed(nb, about, cached=True)
            return True
        return False

    def _files_are_there(self, nb: NotebookNode) -> bool:
        """Whether what the notebook wrote is there still; a page needs none of it."""
        if self.job.out is None:
            return True
        return all((ROOT / name).is_file() for name in listed(nb, FILES_WRITTEN))

    def _files_are_as_read(self, nb: NotebookNode) -> bool:
        """Whether the files that the notebook read are what they were."""
        told = (line.partition(" ") for line in listed(nb, FILES_USED))
        return all(state_of(ROOT / name) == state for state, _, name in told)

    def start(self, events: queue.Queue) -> None:
        """Start the worker; its events, then None, go to the queue."""
        self.folder = tempfile.TemporaryDirectory(prefix="book-")
        folder = Path(self.folder.name)
        job = json.dumps({"parameters": self.job.parameters}, allow_nan=False)
        (folder / "in.ipynb").write_text(nbformat.writes(self.nb), encoding="utf-8")
        (folder / "job.json").write_text(job, encoding="utf-8")
        env = self._variables(folder)
        own_group: dict[str, Any] = (
            {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
            if os.name == "nt"
            else {"start_new_session": True}
        )
        self.began = time.monotonic()
        with open(folder / "log.txt", "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "book.worker", str(folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                cwd=ROOT, env=env, text=True, encoding="utf-8", errors="replace",
                **own_group,
            )

        def listen():
            with cast(IO[str], self.process.stdout) as lines:
                for line in lines:
                    if line.startswith(('{"done"', '{"bar"')):
                        events.put((self, json.loads(line)))
            self.process.wait()
            events.put((self, None))

        threading.Thread(target=listen, daemon=True).start()

    def _variables(self, folder: Path) -> dict[str, str]:
        """The worker's environment, without what the reader set for other work.

        Startup files, settings of IPython and a style of matplotlib would change what
        a notebook computes and shows, and nobody would see it.
        """
        style = folder / "matplotlibrc"
        style.touch()
        env = {"OMP_NUM_THREADS": "1", **os.environ, "BOOK_PROFILE": self.job.profile,
               "IPYTHONDIR": str(folder / "ipython"), "MATPLOTLIBRC": str(style)}
        for name in ("PYTHONSTARTUP", "MPLBACKEND"):
            env.pop(name, None)
        return env

    def finish(self) -> None:
        """Read what the worker left, and publish it when every cell passed."""
        folder, seconds = Path(self.folder.name), time.monotonic() - self.began
        try:
            told: dict[str, Any] = json.loads(
                (folder / "result.json").read_text(encoding="utf-8")
            )
            nb = nbformat.read(folder / "out.ipynb", as_version=4)
        except (OSError, ValueError):
            log = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
            last = (log.strip().splitlines() or ["no message"])[-1]
            code = self.process.returncode
            told = {"status": "failed", "device": "", "cell": "", "kind": DEAD,
                    "error": f"the process ended with code {code}: {last}"}
            nb = self.nb
        if told["status"] == "ok":
            self.passed(nb, seconds, told["device"], told["data"])
        else:
            text = self._tidied(nb, seconds, told["device"], None)
            place = self.entry(".failed")
            write_atomically(place, text)
            for path in self._failed_out():
                write_atomically(path, self._filled(text))
            self.result = Result(
                self.job.name, self.job.profile, "failed", path=place,
                seconds=seconds, device=told["device"], records=records(nb),
                error=told["error"], key=self.key, cell=told["cell"],
                kind=told["kind"],
            )
        self._close()

    def passed(
        self, nb: NotebookNode, seconds: float, device: str,
        data: list[str] | None = None,
    ) -> None:
        """Keep a notebook of which every cell passed, whoever executed it.

        ``data`` are the rows of data that it asked for; None: not known, so any.
        """
        self.key = self._key(data)  # data fetched by the run itself is part of it
        self._publish(self._tidied(nb, seconds, device, data), new=True)
        self.result = self._passed(nb, nb.metadata["agt"], cached=False)

    def ask(self) -> None:
        """Ask the worker to interrupt its kernel and end; see `book.worker`."""
        with suppress(OSError):
            cast(IO[str], self.process.stdin).close()

    def stop(self) -> None:
        """End the worker and its kernel, once the notebook has saved what it can."""
        self.ask()
        try:
            self.process.wait(GRACE)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self.process.kill()
            self.process.wait()
        with suppress(OSError, ValueError):
            file = Path(self.folder.name) / "result.json"
            told = json.loads(file.read_text(encoding="utf-8"))
            if self.result is None:
                self.result = Result(self.job.name, self.job.profile, "interrupted",
                                     error=told["error"], key=self.key)
        self._close()

    def _close(self) -> None:
        self.ask()
        self.folder.cleanup()

    def _failed_out(self) -> list[Path]:
        return [self.job.out.with_suffix(".failed.ipynb")] if self.job.out else []

    def _publish(self, text: str, new: bool) -> None:
        if new:
            write_atomically(self.entry(), text)
            versions = sorted(
                (p for p in self.entry().parent.glob(f"{self.job.name}-*.ipynb")),
                key=lambda p: p.stat().st_mtime,
            )
            for old in versions[:-KEPT]:
                old.unlink(missing_ok=True)
        if self.job.out:
            text = self._filled(text)
            same = self.job.out.exists() and self.job.out.read_bytes() == text.encode()
            if not same:
                write_atomically(self.job.out, text)
        for stale in [self.entry(".failed"), *self._failed_out()]:
            stale.unlink(missing_ok=True)

    def _filled(self, text: str) -> str:
        """The notebook as a reader gets it: the results stand in its prose."""
        if not PLACEHOLDER.search(text):
            return text
        nb = nbformat.reads(text, as_version=4)
        fill_notebook(nb, records(nb), self._records_of)
        return nbformat.writes(nb).rstrip("\n") + "\n"

    def _records_of(self, number: str) -> dict[str, dict]:
        """What another chapter recorded when it last passed in this profile."""
        kept = (path for path in self.entry().parent.glob(f"{number}_*.ipynb")
                if not path.name.endswith(".failed.ipynb"))
        last = max(kept, key=lambda path: path.stat().st_mtime, default=None)
        return records(nbformat.read(last, as_version=4)) if last else {}

    def _tidied(
        self, nb: NotebookNode, seconds: float, device: str, data: list[str] | None
    ) -> str:
        """Drop what names this machine or pairs the copy with a source; say what it is.

        The notebook is changed; the text of its file is returned.
        """
        nb.metadata.pop("jupytext", None)
        nb.metadata.pop("papermill", None)
        nb.metadata["agt"] = {
            "key": self.key, "profile": self.job.profile,
            "parameters": self.job.parameters, "seconds": round(seconds, 2),
            "device": device, "data": data,
        }
        for cell in nb.cells:
            for clock in ("papermill", "execution"):
                cell.metadata.pop(clock, None)
            if not cell.metadata.get("tags"):
                cell.metadata.pop("tags", None)
        return nbformat.writes(nb).rstrip("\n") + "\n"

    def _passed(self, nb: NotebookNode, about: dict, cached: bool) -> Result:
        return Result(
            self.job.name, self.job.profile, "ok", path=self.entry(),
            seconds=about["seconds"], cached=cached, device=about["device"],
            records=records(nb), key=self.key,
        )


def _durations() -> dict[str, float]:
    """Seconds that each notebook took last time."""
    try:
        text = (EXECUTED / "durations.json").read_text(encoding="utf-8")
        return {str(k): float(v) for k, v in json.loads(text).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _keep_durations(results: list[Result]) -> None:
    new = {
        f"{r.profile}/{r.name}": round(r.seconds, 2)
        for r in results
        if r.ok and not r.cached
    }
    if new:
        text = json.dumps(_durations() | new, indent=1, sort_keys=True)
        write_atomically(EXECUTED / "durations.json", text + "\n")
