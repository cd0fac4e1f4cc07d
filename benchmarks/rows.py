"""Rows of results: a JSON object a line, each written when its run is finished."""

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def rows_in(file: Path) -> list[Row]:
    """The rows of the file; none where it is not there yet."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines if line]


def write(file: Path, *rows: Row) -> None:
    """Add rows to the file, all at once, and print them."""
    lines = [json.dumps(row) for row in rows]
    file.parent.mkdir(exist_ok=True)
    with open(file, "a", encoding="utf-8") as there:
        there.write("".join(f"{line}\n" for line in lines))
    print(*lines, sep="\n", flush=True)
