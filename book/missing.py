"""What the site says of a chapter that did not run: why, and the command that mends it.

The words are in `words.toml`, under `notice`. Everything else about such a chapter is
the work of its page's neighbours: `editions` leaves a dash for each of its results.
"""

import re
from collections.abc import Iterable
from html import escape

from book.cli import SCRIPT
from book.execute import DEAD, Result
from book.words import WORDS
from lib.data import cache
from lib.data.download import DataError

NO_DATA = {kind.__name__ for kind in (DataError, *DataError.__subclasses__())}


def again(profile: str, cause: str = "") -> str:
    """The command that runs what did not run, and nothing else.

    >>> again("smoke", "kernel").split(" ", 1)[1]
    'build --profile smoke --jobs 1'
    """
    words = [SCRIPT, "build"]
    words += ["--profile", profile] if profile != "book" else []
    words += ["--jobs", "1"] if cause == "kernel" else []
    return " ".join(words)


def cause_of(result: Result) -> str:
    """Why a chapter did not run: `data`, `kernel`, `needs` or `error`."""
    if result.status == "skipped":
        return "needs"
    if result.kind in NO_DATA and data_in(result.error):
        return "data"
    return "kernel" if result.kind == DEAD else "error"


def data_in(sentence: str) -> str:
    """The row of data that a sentence of `lib.data` names, if any."""
    words = re.findall(r"\w+", sentence)
    return next((word for word in words if word in cache.rows()), "")


def notice(result: Result, lang: str) -> str:
    """The HTML that stands below the title of a chapter that did not run."""
    cause, words = cause_of(result), WORDS[lang]["notice"]
    what = {
        "data": code(data_in(result.error)),
        "needs": links(result.needs),
        "error": code(result.error.removeprefix(f"cell {result.cell}: ")),
        "kernel": "",
    }[cause]
    why = words[cause].format(what=what, cell=code(result.cell or "?"))
    then = words[f"{cause}_again"].format(mirror=code(cache.MIRROR))
    command = escape(again(result.profile, cause))
    return (f'<div class="notice" role="note"><p>{why}</p><p>{then}</p>'
            f'<div class="highlight"><pre><code>{command}</code></pre></div></div>')


def code(text: str) -> str:
    """Words that are neither Korean nor English prose, on one line."""
    return f'<code translate="no">{escape(" ".join(text.split()))}</code>'


def links(names: Iterable[str]) -> str:
    """Chapters by number, each leading to its page."""
    return ", ".join(f'<a href="{name}.html">{name[:2]}</a>' for name in names)


def summary(results: Iterable[Result], profile: str) -> str:
    """The last line of a build in which something is missing."""
    names = [result.name for result in results if not result.ok]
    say, them = ("its page says", "it") if len(names) == 1 else (
        "their pages say", "them")
    return (f"Missing in the site: {', '.join(names)} did not run and {say} why; once "
            f"that is mended, {again(profile)} runs {them} and nothing else.")
