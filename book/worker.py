"""One notebook in a process of its own: `execute` starts it, nobody else.

    python -m book.worker FOLDER

FOLDER holds in.ipynb and job.json; out.ipynb and result.json are written there.
Standard output carries a JSON line for each cell that has run and for each state of a
bar that a cell shows. As soon as its standard input closes, the process interrupts its
kernel, so that a training is saved, and ends: when the parent asks it to, and when the
parent is gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from papermill import execute_notebook
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from book.progress import ANSI, last_bar

GRACE = 60  # seconds a cell gets to save and end, once it is interrupted

# Runs last: on what the notebook computed, and from which data. `cfg` is the settings
# of a chapter.
PROBE = """\
def _device():
    import sys
    torch = sys.modules.get("torch")
    if torch is None:
        return "cpu"
    device = getattr(globals().get("cfg"), "device", None)
    if device is None:
        used = torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0
        device = "cuda" if used else "cpu"
    kind = str(device)
    if kind.startswith("cuda"):
        return f"{kind} ({torch.cuda.get_device_name(device)})"
    return kind
def _data():
    import json, sys
    cache = sys.modules.get("lib.data.cache")
    return json.dumps(sorted(cache.ASKED) if cache else [])
try:
    print(_device())
except Exception:
    print("?")
print(_data())
"""


class Stopped(Exception):
    """The parent asked to stop, and a cell has ended."""


class OwnKernel(AsyncKernelManager):
    """The kernel of this very interpreter, whatever kernelspecs the machine has."""

    running: ClassVar[Any] = None

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        OwnKernel.running = self

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(**get_kernel_dict())


class BookEngine(NBClientEngine):
    """Papermill's engine, telling of each cell and keeping what a dead kernel did."""

    manager: ClassVar[Any] = None
    stopping = False

    # the rest is handed on as it comes
    @classmethod
    def execute_managed_notebook(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, nb_man, kernel_name, **kwargs
    ):
        cls.manager = nb_man
        of = sum(cell.cell_type == "code" for cell in nb_man.nb.cells) - 1
        done = 0
        complete = nb_man.cell_complete

        def told(cell, cell_index=None, **more):
            nonlocal done
            complete(cell, cell_index=cell_index, **more)
            failed = cell.metadata.get("papermill", {}).get("exception")
            if cls.stopping and not failed:
                raise Stopped("stopped between two cells")
            if cell.cell_type == "code" and done < of:
                done += 1
                print(json.dumps({"done": done, "of": of}), flush=True)

        nb_man.cell_complete = told
        return super().execute_managed_notebook(
            nb_man, kernel_name, kernel_manager_class=OwnKernel, **kwargs
        )


class Bars:
    """A file for the stderr of the cells: tells of each bar in it at once."""

    def write(self, text: str) -> None:
        if bar := last_bar(text):
            print(json.dumps({"bar": bar}), flush=True)

    def flush(self) -> None:
        """Nothing waits here."""


def one_line(text: str, most: int = 300) -> str:
    """The first line that says something, without colours, shortened."""
    lines = [line.strip() for line in ANSI.sub("", text).splitlines()]
    line = next((line for line in lines if line), "")
    return line if len(line) <= most else line[: most - 1] + "…"


def stopped_at(nb: nbformat.NotebookNode) -> str:
    """The id of the cell that failed: papermill marks it; else the last one begun."""
    marks = [(cell, cell.metadata.get("papermill", {})) for cell in nb.cells]
    failed = [cell for cell, mark in marks if mark.get("exception")]
    begun = [
        cell
        for cell, mark in marks
        if cell.cell_type == "code" and mark.get("start_time")
    ]
    found = failed[:1] or begun[-1:]
    return found[0].get("id", "") if found else ""


def failure(nb: nbformat.NotebookNode, kind: str, message: str) -> dict[str, str]:
    """Say in which cell a notebook failed, and how."""
    cell, said = stopped_at(nb), one_line(message)
    error = (f"cell {cell}: " if cell else "") + kind + (f": {said}" if said else "")
    return {"status": "failed", "error": error, "cell": cell, "kind": kind}


def run(folder: Path) -> dict:
    """Execute in.ipynb as job.json says; return what became of it.

    ``error`` is one sentence, ``cell`` the id of the cell that failed and ``kind`` the
    class of its exception; ``data`` are the rows of data asked for, None: not known.
    """
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    nb = nbformat.read(folder / "in.ipynb", as_version=4)
    probe = nbformat.v4.new_code_cell(PROBE, id="probe")
    nb.cells.append(probe)
    papermill_engines.register("book", BookEngine)
    out = folder / "out.ipynb"
    result = {"status": "ok", "error": "", "cell": "", "kind": "", "device": "",
              "data": None}
    try:
        done = execute_notebook(
            nb,
            None,
            parameters=job["parameters"],
            engine_name="book",
            kernel_name="python3",
            progress_bar=False,
            stderr_file=Bars(),
            start_timeout=120,
        )
    except PapermillExecutionError as error:
        done = BookEngine.manager.nb
        result |= failure(done, error.ename, error.evalue)
    except Exception as error:  # noqa: BLE001 - a kernel that died or never started
        done = BookEngine.manager.nb if BookEngine.manager else nb
        result |= failure(done, type(error).__name__, str(error))
    last = done.cells.pop()
    if last.get("outputs"):
        device, names = last.outputs[0].text.splitlines()
        result |= {"device": device, "data": json.loads(names)}
    out.write_text(nbformat.writes(done), encoding="utf-8")
    return result


def main() -> int:
    """Run the notebook of the folder named on the command line."""

    def leave_with_parent():
        sys.stdin.buffer.read()
        BookEngine.stopping = True
        with suppress(Exception):  # it has ended, or was never there
            asyncio.run(OwnKernel.running.provisioner.send_signal(signal.SIGINT))
            time.sleep(GRACE)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    folder = Path(sys.argv[1])
    result = run(folder)
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
