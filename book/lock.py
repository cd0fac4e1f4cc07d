"""Remake requirements.txt, the lock of requirements.in, with uv.

    python book/lock.py           write requirements.txt
    python book/lock.py --check   write nothing; 1 if it would change

The lock holds for Python 3.11 and later on every system. NVIDIA's packages and triton
are left out: torch asks for those of its own version where they exist, so that the
same file serves machines with and without CUDA. No index and no local version is
written.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"
HEADER = """\
# The lock of requirements.in, for Python 3.11 and later on every system.
# torch brings its own CUDA packages where there are any, so none is pinned here.
# Remade by: python book/lock.py
"""
LEFT_OUT = re.compile(r"(nvidia-|cuda-|triton\b|pytorch-triton)")


def pins(compiled: str) -> str:
    """Keep the pins of what uv wrote: no comments, no CUDA, no local versions.

    >>> pins("torch==2.13.0+cpu\\n    # via x\\nnvidia-nccl==2 ; extra\\n")
    'torch==2.13.0\\n'
    """
    kept = []
    for line in compiled.splitlines():
        pin = re.match(r"[A-Za-z0-9]\S*==\S+.*", line)
        if pin and not LEFT_OUT.match(line):
            kept.append(re.sub(r"(==[^\s+]+)\+[^\s;]+", r"\1", line.rstrip()))
    return "".join(f"{line}\n" for line in dict.fromkeys(kept))


def compile_pins(present: Path | None) -> str:
    """Run `uv pip compile`, starting from the present pins, and give its output."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        sys.exit(
            "uv is not here and only it writes a lock for every system; install uv."
        )
    environment = dict(os.environ)
    links = environment.get("UV_FIND_LINKS") or environment.get("PIP_FIND_LINKS")
    environment.pop("UV_FIND_LINKS", None)
    if links:
        environment["UV_FIND_LINKS"] = links
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "requirements.txt"
        if present and present.exists():  # uv keeps the pins that still hold
            shutil.copyfile(present, target)
        command = [uv, "pip", "compile", "requirements.in", "--universal"]
        command += ["--python-version", PYTHON, "--no-header", "--no-annotate"]
        command += ["--no-emit-index-url", "--no-emit-find-links", "--quiet"]
        done = subprocess.run(
            [*command, "--output-file", str(target)],
            check=False,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"uv found no versions that fit together:\n{done.stderr.strip()}")
        return target.read_text(encoding="utf-8")


def main() -> int:
    """Write the lock, or with `--check` say whether it would change."""
    parser = argparse.ArgumentParser(description="Remake requirements.txt with uv.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--upgrade", action="store_true", help="forget present pins")
    given = parser.parse_args()
    lock = ROOT / "requirements.txt"
    found = pins(compile_pins(None if given.upgrade else lock))
    text = HEADER + found
    if lock.exists() and lock.read_text(encoding="utf-8") == text:
        print("requirements.txt is what requirements.in asks for.")
        return 0
    if given.check:
        print("requirements.txt would change; run python book/lock.py and look.")
        return 1
    new = lock.with_suffix(".txt.new")
    new.write_text(text, encoding="utf-8", newline="\n")
    os.replace(new, lock)
    print(f"requirements.txt now has {len(found.splitlines())} pins.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
