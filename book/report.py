"""What a batch run says at its end: a table on screen, report.md and report.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from book.execute import Result
from book.files import write_atomically


def minutes(seconds: float) -> str:
    """A duration as people say it.

    >>> minutes(7.26), minutes(59.97), minutes(754)
    ('7.3 s', '1 min 00 s', '12 min 34 s')
    """
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    return f"{round(seconds) // 60} min {round(seconds) % 60:02d} s"


def key_results(result: Result, names: Sequence[str] = (), most: int = 4) -> str:
    """The recorded numbers named, else the last few that the notebook recorded."""
    chosen = [n for n in names if n in result.records] or list(result.records)[-most:]
    return "; ".join(f"{name} = {result.records[name]['text']}" for name in chosen)


def table(
    results: list[Result], shown: Mapping[str, Sequence[str]] | None = None
) -> list[list[str]]:
    """The report as rows of text, the heading first.

    ``shown`` maps the number of a notebook to the records it is known by.
    """
    rows = [["notebook", "status", "duration", "device", "key results"]]
    for r in results:
        ran = r.status in ("ok", "failed")
        rows.append([
            r.name,
            f"{r.status}, kept" if r.cached else r.status,
            minutes(r.seconds) if ran else "–",
            r.device or "–",
            r.error or key_results(r, (shown or {}).get(r.name[:2], ())) or "–",
        ])
    return [[" ".join(cell.split()) for cell in row] for row in rows]


def as_text(rows: list[list[str]]) -> str:
    """Rows in columns, for the terminal."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )


def as_markdown(rows: list[list[str]], title: str) -> str:
    """Rows as a markdown table."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return f"# {title}\n\n" + "\n".join(lines) + "\n"


def report(
    results: list[Result],
    folder: Path,
    title: str,
    given: Sequence[tuple[str, str]] = (),
    shown: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Print the report and write report.md and report.json."""
    rows = table(results, shown)
    print(as_text(rows))
    write_atomically(folder / "report.md", as_markdown(rows, title))
    whole = {
        "title": title,
        "parameters": dict(given),
        "notebooks": [
            {
                "name": r.name, "profile": r.profile, "status": r.status,
                "seconds": round(r.seconds, 2), "kept": r.cached, "device": r.device,
                "results": r.records, "error": r.error, "key": r.key,
            }
            for r in results
        ],
    }
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / "report.json", text + "\n")
