"""A small house for the set-up tests: our real scripts around tiny requirements.

The scripts, `book.cli` and `book.environment` are the real ones. The requirements
are one wheel made here, so that a whole set-up takes seconds and no network. Behind
the verbs stand modules that write down what they were called with.
"""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = (
    "setup_and_run.sh",
    "setup_and_run.bat",
    "book/__init__.py",
    "book/alone.py",
    "book/cli.py",
    "book/environment.py",
    "book/command.py",
    "book/files.py",
    "book/jobs.py",
    "book/parameters.py",
    "book/relink.py",
    "notebooks/batch.toml",
)
# Writes its profile and its words to called.txt, prints them, ends with code 7.
TOOL = """\
import os, sys
line = f"{__spec__.name} {os.environ.get('BOOK_PROFILE')} {sys.argv[1:]}"
open("called.txt", "a", encoding="utf-8").write(line + "\\n")
print(line)
sys.exit(7)
"""
DATA = "import sys\nopen('data.txt', 'a').write('asked ')\nsys.exit(0)\n"


def wheel(folder: Path, name: str, payload: bytes = b"") -> None:
    """Write the wheel `name` 1.0: a module, and `payload` beside it."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": b"here = __file__\n",
        f"{name}.bin": payload,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    files[f"{info}/RECORD"] = record
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)


def build(folder: Path) -> Path:
    """Make the small house in `folder`."""
    for name in OURS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for package in ("lib", "lib/data", "lib/workbench"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text("")
    (folder / "lib" / "data" / "__main__.py").write_text(DATA)
    for name in ("book/build", "book/batch", "lib/workbench/chat"):
        (folder / f"{name}.py").write_text(TOOL)
    wheel(folder / "wheels", "tiny")
    pins = "--no-index\n--find-links wheels\ntiny==1.0\n"
    (folder / "requirements.txt").write_text(pins)
    return folder


def system_python() -> str:
    """Return the Python behind this environment: what a reader would have."""
    return getattr(sys, "_base_executable", None) or sys.executable


def path_with(folder: Path, **programs: str) -> str:
    """Fill `folder` with programs and return the PATH that finds only these.

    A program is a shell script; one that begins with `/` is a link to that file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tools = ("sh", "cat", "kill", "true", "tail", "readlink")
    links = {name: shutil.which(name) for name in tools}
    links |= {name: to for name, to in programs.items() if to.startswith("/")}
    for name, to in links.items():
        if to and not (folder / name).exists():
            (folder / name).symlink_to(to)
    for name, text in programs.items():
        if not text.startswith("/"):
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
    return str(folder)


def environment(path: str, **more: str) -> dict[str, str]:
    """Return variables for a reader whose PATH is `path`."""
    keep = ("HOME", "LANG", "TMPDIR")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    return env | {"PATH": path, "PIP_NO_CACHE_DIR": "1"} | more


def hears_ctrl_c() -> None:
    """Let a process hear Ctrl-C where the tests were started so that they do not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def go(folder: Path, *words: str, path: str, shell: str = "/bin/sh", **more: str):
    """Run setup_and_run.sh with `words`; return the finished process."""
    return subprocess.run(
        [shell, str(folder / "setup_and_run.sh"), *words],
        env=environment(path, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd="/",
        check=False,
        preexec_fn=hears_ctrl_c,
    )
