"""What a run found: numbers that the prose quotes, and words in two languages."""

import math
import numbers
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from IPython.display import HTML, display

from lib.commands import ROOT, path_of
from lib.files import sha256_of

RECORD_MIME = "application/vnd.agt.record+json"
FILES_WRITTEN = "files_written"
FILES_USED = "files_used"


def as_text(value: Any) -> str:
    """Write a number the way the book prints it.

    Integers get thousands separators; other numbers three significant digits,
    in scientific notation below 1e-3 and from 1e6 on. A minus is a minus sign.

    >>> as_text(50257), as_text(-0.99653), as_text(3.14e-7), as_text("SmolLM2")
    ('50,257', '−0.997', '3.1e-07', 'SmolLM2')
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Number):
        return str(value)
    real = cast(float, value)  # of a Number nothing is known
    if real < 0:
        return "−" + as_text(-real)
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    number = float(real) + 0.0  # a negative zero is a zero
    if number and not 1e-3 <= number < 1e6:
        return f"{number:.1e}"
    return f"{number:.3g}" if number < 100 else f"{number:,.1f}"


def record(*pair: Any, text: str | None = None, **named: Any) -> None:
    """Record results under names, so that the prose can quote them as ⟨name⟩.

    The value travels in the executed notebook as a display of its own media type; the
    build fills each placeholder from there and fails on a missing one. pair: a name and
    a value, which the prose prints as `text`; named: several results at once, printed
    by `as_text`.
    """
    if pair and len(pair) != 2:
        raise TypeError(
            f"record got {len(pair)} arguments without a name; write "
            "record(name, value) or record(name=value, …)."
        )
    if not pair and text is not None:
        raise ValueError(
            f"text {text!r} belongs to a result: write record(name, value, text=…); "
            "a result cannot be called text."
        )
    entries = dict([pair] if pair else [], **named)
    payload = {}
    for key, entry in entries.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
            raise ValueError(
                f"result name {key!r} cannot be quoted; use lower-case letters, "
                "digits and _, beginning with a letter."
            )
        if hasattr(entry, "item"):
            entry = entry.item()
        shown = text if text is not None and key == pair[0] else as_text(entry)
        payload[key] = {"value": _plain(entry), "text": shown}
    _travel(payload, "\n".join(f"{key} = {entry['text']}"
                               for key, entry in payload.items()))


def _travel(payload: dict[str, dict[str, Any]], text: str) -> None:
    display({RECORD_MIME: payload, "text/plain": text}, raw=True)


def _plain(value: Any) -> Any:
    """A value that JSON can hold; it has no number for what is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def wrote(files: Iterable[Path | str]) -> None:
    """Tell which files a notebook left behind, so that a batch run can trust them.

    `./setup_and_run.sh run` does not execute again what has finished; it does when
    one of these files is gone since.
    """
    _list(FILES_WRITTEN, sorted(str(file) for file in files))


def used(paths: Iterable[Path | str | None]) -> None:
    """Tell which files a notebook read besides code, data and parameters.

    Its stored result is no longer taken once one of these is not what it was. A folder
    stands for all files in it, None for nothing; a relative path counts from the root
    of the repository.
    """
    files = sorted(file for path in paths if path is not None
                   for file in _files_of(path_of(path)))
    _list(FILES_USED, [f"{state_of(file)} {_from_root(file)}" for file in files])


def _list(name: str, lines: list[str]) -> None:
    count = as_text(len(lines))
    _travel({name: {"value": "\n".join(lines), "text": count}}, f"{count} files")


def state_of(file: Path) -> str:
    """The SHA-256 of a file, or `gone` where there is none."""
    return sha256_of(file) if file.is_file() else "gone"


def _files_of(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return (file for file in path.rglob("*") if file.is_file())
    return (path,)


def _from_root(file: Path) -> str:
    return (file.relative_to(ROOT) if file.is_relative_to(ROOT) else file).as_posix()


def bilingual(ko: str, en: str) -> HTML:
    """Show HTML in both languages; each edition of the site keeps its own.

    >>> bilingual("쿼리", "query").data
    '<span data-lang="ko">쿼리</span> <span data-lang="en">query</span>'
    """
    return HTML(f'<span data-lang="ko">{ko}</span> <span data-lang="en">{en}</span>')


