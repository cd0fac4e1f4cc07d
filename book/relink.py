"""A virtual environment that was moved or copied: its scripts made to find it again.

Packages do not know where they lie; scripts do. Each begins with the full path of its
Python, and `activate` and `pyvenv.cfg` name the folder. Where that Python still runs,
writing these lines anew is all that a move asks for.
"""

import os
from pathlib import Path

#: A first line that is longer, or has a blank, no system takes: `sh` is asked then.
LONGEST = 127


def first_lines(python: Path) -> bytes:
    r"""How a script begins that this Python is to run, as pip writes it.

    >>> first_lines(Path("/home/me/a book/.venv/bin/python")).decode().splitlines()
    ['#!/bin/sh', '\'\'\'exec\' "/home/me/a book/.venv/bin/python" "$0" "$@"', "' '''"]
    """
    plain = f"#!{python}\n"
    if len(plain.encode()) <= LONGEST and " " not in plain:
        return os.fsencode(plain)
    quoted = "".join(f"\\{char}" if char in '\\"$`' else char for char in str(python))
    return os.fsencode(f"#!/bin/sh\n'''exec' \"{quoted}\" \"$0\" \"$@\"\n' '''\n")


def relink(folder: Path, before: str) -> None:
    """Write the paths in an environment anew: from `before` to where it is.

    What was written anew already is left alone, so that it can be cut off and repeated.
    """
    old, new = os.fsencode(before), os.fsencode(folder)
    for file in [folder / "pyvenv.cfg", *sorted((folder / "bin").iterdir())]:
        if file.is_symlink() or not file.is_file():
            continue
        content = file.read_bytes()
        if old not in content or b"\0" in content[:4096]:
            continue
        _write(file, _script(content, old, folder) or content.replace(old, new))


def _script(content: bytes, old: bytes, folder: Path) -> bytes | None:
    """A script of the environment's Python with other first lines; None: it is none."""
    lines = content.splitlines(keepends=True)
    if lines[0].startswith(b"#!" + old):
        name, rest = lines[0][2:].strip(), lines[1:]
    elif lines[0].startswith(b"#!/bin/sh") and lines[1].startswith(b"'''exec' "):
        name, rest = lines[1].split(b" ", 1)[1].rpartition(b' "$0"')[0], lines[3:]
        name = name.strip(b'"')
    else:
        return None
    python = folder / "bin" / os.path.basename(os.fsdecode(name))
    return first_lines(python) + b"".join(rest)


def _write(file: Path, content: bytes) -> None:
    draft = file.with_name(f".{file.name}.part")
    draft.write_bytes(content)
    draft.chmod(file.stat().st_mode)
    os.replace(draft, file)
