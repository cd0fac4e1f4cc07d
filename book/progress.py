"""How far the notebooks are: a bar over their cells, a line for each that ends."""

from __future__ import annotations

import sys

from tqdm import tqdm


class Progress:
    """A bar on a terminal; elsewhere only the lines.

    ``cells`` maps each notebook that will run to its number of code cells.
    """

    def __init__(self, cells: dict[str, int], on: bool = True):
        self.at: dict[str, str] = {}
        self.bar = None
        if on and cells:
            what = "1 notebook" if len(cells) == 1 else f"{len(cells)} notebooks"
            self.bar = tqdm(
                total=sum(cells.values()), unit="cell", desc=what,
                disable=not sys.stderr.isatty(), dynamic_ncols=True,
            )

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.close()

    def cell(self, name: str, done: int, of: int) -> None:
        """One more cell of a notebook has run."""
        self.at[name] = f"{name[:2]} {done}/{of}"
        if self.bar is not None:
            self.bar.set_postfix_str(", ".join(self.at.values()), refresh=False)
            self.bar.update(1)

    def finished(self, name: str, said: str) -> None:
        """A notebook has ended; ``said`` is how."""
        self.at.pop(name, None)
        if self.bar is not None:
            self.bar.write(f"{name}: {said}", file=sys.stderr)
