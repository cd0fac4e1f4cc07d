"""The book's own Python environment: `.venv`, made once and repaired when needed.

Standard library only: this runs before anything is installed, with the reader's
Python, on every system. Four rules keep it safe to interrupt and to repeat:

- `.venv/ready.json` is written last and atomically. Without it, whatever stands
  in `.venv` is half made and is made again.
- It names the requirements' hash, the Python version and the folder: scripts in a
  virtual environment hold absolute paths, so those of a moved checkout are written
  anew (`book.relink`), or all of it where its Python is gone.
- One set-up at a time (`book.alone`, by `requirements.txt`). The installer inherits
  the lock, so that one whose parent was killed still keeps a second set-up waiting.
- The checkout is importable from every notebook through a relative `.pth` line.
"""

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import IO, cast

from book.alone import alone
from book.relink import relink

FREE_BYTES = 4_000_000_000  # 2.2 GB of packages, the data, and room to build
WINDOWS = os.name == "nt"
# Settings of pip and uv that would put the packages elsewhere, or nowhere.
ASTRAY = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_DRY_RUN",
          "PIP_NO_DEPS", "PIP_PYTHON", "UV_SYSTEM_PYTHON", "UV_BREAK_SYSTEM_PACKAGES",
          "UV_NO_DEPS", "UV_DRY_RUN")
FULL = ("no space left on device", "errno 28", "not enough space on the disk")


class SetupError(Exception):
    """The set-up cannot go on; its text is one sentence for the reader."""


def say(text: str) -> None:
    """Print one plain line at once, also where output goes to a file."""
    print(text, flush=True)


def venv_python(root: Path) -> Path:
    """Return where the environment's Python is, whether or not it is there."""
    inside = "Scripts/python.exe" if WINDOWS else "bin/python"
    return root / ".venv" / inside


def wanted_stamp(root: Path, version: str) -> dict[str, str]:
    """Return what `ready.json` must say for Python `version` to count as ready."""
    try:
        pins = (root / "requirements.txt").read_bytes()
    except OSError as error:
        raise SetupError(
            f"requirements.txt cannot be read in {root} ({error.strerror}): "
            "get a complete copy of the book and run this again."
        ) from error
    return {
        "requirements": hashlib.sha256(pins.replace(b"\r\n", b"\n")).hexdigest(),
        "python": version,
        "folder": str(root / ".venv"),
    }


def venv_version(root: Path) -> str | None:
    """Return the version of the environment's Python, None where it does not run."""
    python = venv_python(root)
    code = "import platform; print(platform.python_version())"
    try:
        answer = subprocess.run(
            [python, "-I", "-S", "-c", code],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return None
    return answer.stdout.strip() or None


def state(root: Path) -> str:
    """Say how `.venv` stands.

    One of `ready`, `missing`, `broken` (half made, or its Python is gone), `moved`
    (made in another folder), `changed` (whole, but for other requirements).
    """
    if not os.path.lexists(root / ".venv"):
        return "missing"
    version = venv_version(root)
    try:
        text = (root / ".venv" / "ready.json").read_text("utf-8")
        stamp = json.loads(text)
        folder, python = stamp["folder"], stamp["python"]
    except (OSError, ValueError, KeyError, TypeError):
        return "broken"
    wanted = wanted_stamp(root, version or "")
    if folder != wanted["folder"]:
        return "moved"
    if python != version:
        return "broken"
    return "ready" if stamp == wanted else "changed"


def check_folder(root: Path, needed: int = FREE_BYTES) -> None:
    """Raise `SetupError` where `root` is read-only or has less than `needed` bytes.

    What an existing `.venv` holds counts as free: it is replaced.
    """
    try:
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise SetupError(
                f"The folder {root} cannot be written to ({error.strerror}): "
                "copy the book to a folder of your own and run this again."
            ) from error
    free = shutil.disk_usage(root).free
    if free < needed:
        free += _size(root / ".venv")
    if free < needed:
        raise SetupError(
            f"Only {free / 1e9:.1f} GB are free for {root} and the set-up needs "
            f"{needed / 1e9:.0f} GB: free some space, or move the book to another "
            "disk, and run this again."
        )


def _size(folder: Path) -> int:
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(here, name)).st_size
    return total


def remove(path: Path) -> None:
    """Remove a folder, a file or a link (never what the link points to)."""
    try:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
    except OSError as error:
        raise SetupError(
            f"{path} cannot be removed ({error.strerror}): close what uses it "
            "(a notebook, a terminal), remove it by hand and run this again."
        ) from error


def run_logged(command: list, log, env: dict, keep: tuple) -> tuple[int, list[str]]:
    """Run an installer quietly; return its exit code and its last lines.

    Every line goes to `log`. On a terminal the line at work is shown in place.
    The child is ended with us when we are interrupted.
    """
    tail: deque[str] = deque(maxlen=12)
    live = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns - 1
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=env,
        pass_fds=keep,
    )
    try:
        for line in cast(IO[str], child.stdout):
            log.write(line)
            log.flush()
            tail.append(line.rstrip())
            if live:
                shown = " ".join(line.split())[:width]
                print(f"\r\033[K{shown}", end="", flush=True)
        return child.wait(), list(tail)
    finally:
        if live:
            print("\r\033[K", end="", flush=True)
        if child.poll() is None:
            child.terminate()
            child.wait()


def installer_environment() -> dict[str, str]:
    """Return the environment for pip and uv.

    uv reads its own variable for folders of wheels, separated by commas; where
    only pip's is set (separated by spaces), uv is given that one.
    """
    env = dict(os.environ, PYTHONUTF8="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    links = env.get("UV_FIND_LINKS") or ",".join(env.get("PIP_FIND_LINKS", "").split())
    for name in ("UV_FIND_LINKS", *ASTRAY):
        env.pop(name, None)
    if links:
        env["UV_FIND_LINKS"] = links
    return env


def _fail(what: str, code: int, tail: list[str], root: Path) -> SetupError:
    if any(mark in line.lower() for line in tail for mark in FULL):
        free = shutil.disk_usage(root).free / 1e9
        return SetupError(
            f"The disk is full ({free:.1f} GB free for {root}) and {what} did not "
            f"end: free at least {FREE_BYTES / 1e9:.0f} GB and run this again."
        )
    for line in tail:
        print(f"  | {line}", file=sys.stderr)
    return SetupError(
        f"{what[0].upper()}{what[1:]} failed with exit code {code} (last lines above, "
        "all of them in .venv/install.log): check the network, or name a folder of "
        "wheels in PIP_FIND_LINKS, and run this again."
    )


def make_venv(root: Path, keep: tuple = ()) -> None:
    """Make an empty `.venv`, still without pip, with the Python that runs this."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    command = [base, "-m", "venv", "--without-pip", str(root / ".venv")]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        code, tail = run_logged(command, log, installer_environment(), keep)
    if code:
        raise _fail("making .venv", code, tail, root)


def check_python() -> None:
    """Raise `SetupError` where this Python is one that the packages do not exist for.

    It would end in pip's words that there is no torch, which sound like the network.
    """
    if sys.maxsize < 1 << 32:
        raise SetupError(
            f"{sys.executable} is a 32-bit Python, and the packages exist for 64-bit "
            "ones only: install a 64-bit Python from https://www.python.org/downloads/ "
            "and run this again."
        )


ABSENT = r"""
import re, sys
from importlib import metadata
have = {}
for one in metadata.distributions():
    name = re.sub("[-_.]+", "-", one.metadata["Name"] or "").lower()
    have[name] = one.version.split("+")[0]
for line in open(sys.argv[1], encoding="utf-8"):
    pin = re.match(r"([A-Za-z0-9][\w.-]*)==([^\s;+]+)\S*\s*$", line)
    if pin and have.get(re.sub("[-_.]+", "-", pin[1]).lower()) != pin[2]:
        print(pin[0].strip())
"""


def absent(root: Path) -> list[str]:
    """Return the pins of every system that `.venv` does not hold."""
    command = [venv_python(root), "-I", "-c", ABSENT, str(root / "requirements.txt")]
    answer = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", check=True
    )
    return answer.stdout.split()


def check_pip() -> None:
    """Raise `SetupError` where this Python brings no pip and there is no uv."""
    if importlib.util.find_spec("ensurepip") or shutil.which("uv"):
        return
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    raise SetupError(
        f"Python {minor} ({sys.executable}) is here without its part that makes "
        f"environments: install it (on Debian and Ubuntu: sudo apt install "
        f"python{minor}-venv) and run this again."
    )


def install(root: Path, keep: tuple = ()) -> None:
    """Install `requirements.txt` into `.venv`: by uv where it is there, else by pip."""
    python, env = str(venv_python(root)), installer_environment()
    pins = ["-r", str(root / "requirements.txt")]
    with open(root / ".venv" / "install.log", "w", encoding="utf-8") as log:
        if uv := shutil.which("uv"):
            say("Installing the packages with uv (about 2 GB).")
            command = [uv, "pip", "install", "--python", python, *pins]
            code, tail = run_logged(command, log, env, keep)
            lost = [] if code else absent(root)
            if not code and not lost:
                return
            why = f"no {lost[0]} in .venv" if lost else tail[-1] if tail else code
            say(f"uv could not ({why}); trying pip.")
        say("Installing the packages with pip (some minutes, about 2 GB).")
        command = [python, "-m", "ensurepip"]
        code, tail = run_logged(command, log, env, keep)
        if not code:
            # Without compiling: Python does that for the few files that it reads.
            options = ["--no-input", "--no-user", "--no-compile"]
            command = [python, "-m", "pip", "install", *options, *pins]
            code, tail = run_logged(command, log, env, keep)
        if code:
            raise _fail("installing the packages", code, tail, root)
        if lost := absent(root):
            raise SetupError(
                f"pip ended well and {lost[0]} is not in .venv: a setting of yours "
                "(target, prefix, root, no-deps or dry-run; `pip config list` shows "
                "it) leads the packages elsewhere; take it out and run this again."
            )


def link_checkout(root: Path) -> Path:
    """Make `lib` and `book` importable in `.venv` through a relative `.pth` line."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    answer = subprocess.run(
        [venv_python(root), "-I", "-c", code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=dict(os.environ, PYTHONIOENCODING="utf-8"),
        check=True,
    )
    site = Path(answer.stdout.strip())
    line = os.path.relpath(root, site)  # '../../../..': ASCII wherever the book is
    target = site / "attention_gravity_tokens.pth"
    target.write_text(line + "\n", encoding="ascii")
    return target


def finish(root: Path) -> None:
    """Write the stamp that says `.venv` is whole: the last act of a set-up."""
    link_checkout(root)
    write_stamp(root, wanted_stamp(root, venv_version(root) or ""))


def write_stamp(root: Path, stamp: dict[str, str]) -> None:
    """Write `ready.json`, whole or not at all."""
    publish(root / ".venv" / "ready.json", json.dumps(stamp, indent=1) + "\n")


def publish(file: Path, text: str) -> None:
    """Write a file in one rename, so that no reader sees half of it."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.part")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, file)


WHY = {
    "missing": "Making .venv, the book's own Python environment.",
    "broken": "The environment in .venv is not whole: making it again.",
    "moved": "The book has moved to another folder: making .venv again.",
    "relinked": "The book has moved to another folder: bringing the scripts in .venv "
    "along.",
    "changed": "The requirements have changed: bringing .venv up to date.",
}


def ensure(root: Path) -> Path:
    """Return the environment's Python, making or repairing `.venv` when needed.

    Does nothing (one short process, no network) where it is whole.

    Raises:
        SetupError: with one sentence on what is wrong and what to do.
    """
    if state(root) == "ready":
        return venv_python(root)
    if state(root) == "moved":
        with alone(root / "requirements.txt", "set-up"), _endable():
            brought_along(root)
        if state(root) == "ready":
            return venv_python(root)
    check_python()
    check_pip()
    check_folder(root)
    with alone(root / "requirements.txt", "set-up") as keep, _endable():
        now = state(root)  # another set-up may have ended while we waited
        if now == "ready":
            return venv_python(root)
        say(WHY[now])
        if now == "changed":
            remove(root / ".venv" / "ready.json")
        else:
            remove(root / ".venv")
        try:
            if now != "changed":
                make_venv(root, keep)
            install(root, keep)
            finish(root)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise _fail("the set-up", 1, [FULL[0]], root) from error
        say("The environment is ready.")
    return venv_python(root)


def brought_along(root: Path) -> bool:
    """Whether `.venv` had moved and is whole again: its scripts, and then the stamp.

    Not on Windows, where the path stands within programs, and not where the Python
    that it was made with is gone.
    """
    if WINDOWS or state(root) != "moved":
        return False
    stamp = json.loads((root / ".venv" / "ready.json").read_text("utf-8"))
    if stamp["python"] != venv_version(root):
        return False
    say(WHY["relinked"])
    try:
        relink(root / ".venv", stamp["folder"])
        link_checkout(root)
        write_stamp(root, stamp | {"folder": str(root / ".venv")})
    except OSError as error:
        say(f"That could not be done ({error.strerror}).")
        return False
    return True


@contextlib.contextmanager
def _endable():
    """Turn the polite signals into an exception, so that children are ended too."""

    def stop(number, _frame):
        raise KeyboardInterrupt(number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
