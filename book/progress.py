"""How far the notebooks are: cells, the bar at work inside a cell, what has ended.

On a terminal a bar over the cells and, below it, a line for each notebook with the bar
that its kernel shows; elsewhere lines, at a modest pace.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable

from tqdm import tqdm

#: How a progress bar of tqdm prints; it is nothing to read later.
PROGRESS = re.compile(r":?\s*\d+%\|")
GRAPH = re.compile(r"(\d+%)\|[^|]*\|")
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
#: Seconds from one line of a notebook to the next; fewer for the second line of a bar,
#: which has an estimate, and for another bar.
PACE, SOON = 30.0, 5.0


def last_bar(text: str) -> str:
    """The newest state of a bar in what a cell wrote to stderr; empty where none is.

    >>> last_bar("\\rngt:   0%|   | 0/9 [00:00<?]\\rngt:  11%|▎  | 1/9 [00:01<00:08]")
    'ngt:  11%|▎  | 1/9 [00:01<00:08]'
    >>> last_bar("UserWarning: 100% sure")
    ''
    """
    parts = re.split(r"[\r\n]+", ANSI.sub("", text))
    return next((p.strip() for p in reversed(parts) if PROGRESS.search(p)), "")


class Progress:
    """Shows on stderr what it is told.

    ``cells`` maps each notebook that will run to its number of code cells; ``clock``
    gives seconds.
    """

    def __init__(
        self, cells: dict[str, int], on: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.at: dict[str, str] = {}
        self.cells, self.clock, self.ran = cells, clock, {}
        self.lines: dict[str, tqdm] = {}  # of a terminal, below the bar
        # of the line last told: its bar, when, and how long until the next
        self.told: dict[str, tuple[str, float, float]] = {}
        self.bar = None
        if on and cells:
            what = "1 notebook" if len(cells) == 1 else f"{len(cells)} notebooks"
            self.bar = tqdm(
                total=sum(cells.values()), unit="cell", desc=what,
                disable=not sys.stderr.isatty(), dynamic_ncols=True,
            )

    def close(self) -> None:
        """Leave the terminal as it was."""
        for name in list(self.lines):
            self._clear(name)
        if self.bar is not None:
            self.bar.close()

    def cell(self, name: str, done: int, of: int) -> None:
        """One more cell of a notebook has run."""
        self.at[name] = f"{name[:2]} {done}/{of}"
        self.ran[name] = done
        self._clear(name)
        if self.bar is not None:
            self.bar.set_postfix_str(", ".join(self.at.values()), refresh=False)
            self.bar.update(1)

    def inside(self, name: str, bar: str) -> None:
        """The bar of a cell has gone on; ``bar`` is the line that tqdm prints."""
        if self.bar is None:
            return
        place = f"{name}, cell {self.ran.get(name, 0) + 1} of {self.cells[name]}"
        if self.bar.disable:
            self._tell(name, place, bar)
            return
        if name not in self.lines:
            self.lines[name] = tqdm(bar_format="{desc}", leave=False,
                                    dynamic_ncols=True)
        self.lines[name].set_description_str(f"{place}: {bar}")

    def _tell(self, name: str, place: str, bar: str) -> None:
        what, now = PROGRESS.split(bar)[0], self.clock()
        before, then, wait = self.told.get(name, ("", float("-inf"), SOON))
        if self.bar is not None and now - then >= (wait if what == before else SOON):
            self.told[name] = (what, now, PACE if what == before else SOON)
            plain = GRAPH.sub(r"\1", bar)
            self.bar.write(f"{place}: {plain}", file=sys.stderr)

    def _clear(self, name: str) -> None:
        if name in self.lines:
            self.lines.pop(name).close()

    def finished(self, name: str, said: str) -> None:
        """A notebook has ended; ``said`` is how."""
        self.at.pop(name, None)
        self._clear(name)
        if self.bar is not None:
            self.bar.write(f"{name}: {said}", file=sys.stderr)
